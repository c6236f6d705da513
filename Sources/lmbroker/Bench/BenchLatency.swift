import ArgumentParser
import KafkaClient

/// `lmbroker bench latency`: how long a record waits for its acknowledgement at a steady rate.
struct BenchLatency: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "Write at a steady rate and time every record.",
        discussion: """
            Records are offered by the clock, whether or not those before were acknowledged, each in a batch of its own unless \
            --linger-ms says otherwise, and timed from when they were due: a broker that stands still for a second is charged for \
            everyone who came in that second (no coordinated omission).
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("Records a second.", valueName: "n"))
    var rate = 1000.0

    @OptionGroup(title: "The topic") var topic: BenchTopicOptions
    @OptionGroup(title: "The load") var load: BenchLoadOptions
    @OptionGroup(title: "The run") var time: BenchTimeOptions
    @OptionGroup(title: "Output") var output: BenchOutputOptions

    func validate() throws {
        if !(rate > 0 && rate.isFinite) { throw ValidationError("--rate is more than nothing.") }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await topic.run(on: cluster) { name in
                let run = BenchRun(time)
                let writer = BenchWriter(cluster, load, lingerMsByDefault: 0, timingFrom: run.begin)
                let interruption = Interruption { writer.stop() }
                let ticker = BenchTicker(writer.meter, isWanted: !output.json)
                async let writing: Void = writer.run(to: name, rate: rate)
                let marks = await run.measure([writer.meter]) { interruption.wasInterrupted || writer.failure != nil }[0]
                writer.stop()
                await writer.close()
                await ticker.stop()
                try await writing
                try output.write(writer.latencies)
                let report = BenchReport(
                    workload: "latency", settings: [("rate", "\(rate)")] + load.settings,
                    seconds: (marks.end.time - marks.begin.time) / .seconds(1), flows: [.init("produced", from: marks.begin, to: marks.end)],
                    latencies: [("acknowledged", writer.latencies.summary)], failed: writer.failedCount)
                try concludeBench(report, writer.failure, interruption, json: output.json)
            }
        }
    }
}
