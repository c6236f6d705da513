import ArgumentParser

/// `lmbroker bench latency`: how long a record waits for its acknowledgement at a steady rate.
struct BenchLatency: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "Write at a steady rate and time every record.",
        discussion: """
            Records are offered by the clock, whether or not those before were acknowledged, each in a batch of its own unless \
            --linger-ms says otherwise, and timed from when they were due: a broker that stands still for a second is charged for \
            everyone who came in that second (no coordinated omission). Where the rate cannot be held, the records that were due by \
            the end and not offered are told as late, and charged with their wait until then.
            """)

    @Option(help: ArgumentHelp("Records a second.", valueName: "n"))
    var rate = 1000.0

    @OptionGroup var writing: BenchWriting

    func validate() throws { try Pace.validate(rate) }

    func run() async throws { try await writing.measure("latency", rate: rate, lingerMsByDefault: 0) }
}
