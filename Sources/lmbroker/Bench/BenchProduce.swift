import ArgumentParser
import KafkaClient

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

    @OptionGroup var client: ClientOptions
    @OptionGroup(title: "The topic") var topic: BenchTopicOptions
    @OptionGroup(title: "The load") var load: BenchLoadOptions
    @OptionGroup(title: "The run") var time: BenchTimeOptions
    @OptionGroup(title: "Output") var output: BenchOutputOptions

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await topic.run(on: cluster) { name in
                let run = BenchRun(time)
                let writer = BenchWriter(cluster, load, timingFrom: run.begin)
                let interruption = Interruption { writer.stop() }
                let ticker = BenchTicker(writer.meter, isWanted: !output.json)
                async let writing: Void = writer.run(to: name)
                let marks = await run.measure([writer.meter]) { interruption.wasInterrupted || writer.failure != nil }[0]
                writer.stop()
                await writer.close()
                await ticker.stop()
                try await writing
                try output.write(writer.latencies)
                let report = BenchReport(
                    workload: "produce", settings: load.settings, seconds: (marks.end.time - marks.begin.time) / .seconds(1),
                    flows: [.init("produced", from: marks.begin, to: marks.end)], latencies: [("acknowledged", writer.latencies.summary)],
                    failed: writer.failedCount)
                try concludeBench(report, writer.failure, interruption, json: output.json)
            }
        }
    }
}
