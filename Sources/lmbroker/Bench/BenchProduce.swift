import ArgumentParser

/// `lmbroker bench produce`: as many records a second as the broker takes.
struct BenchProduce: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Write as fast as records are acknowledged.",
        discussion: """
            What counts are acknowledgements between the end of the warm-up and the end. One record in 64 is timed, from when it was \
            offered to its acknowledgement: at full speed that is mostly the time it waits in the client's buffer, and \
            `bench latency` is the measure of latency.
            """)

    @OptionGroup var writing: BenchWriting

    func run() async throws { try await writing.measure("produce", rate: nil, lingerMsByDefault: 5) }
}
