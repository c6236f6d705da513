import ArgumentParser
import KafkaClient

/// What `bench produce` and `bench latency` have in common: records go in, and their acknowledgements are counted and timed.
struct BenchWriting: ParsableArguments {
    @OptionGroup var client: ClientOptions
    @OptionGroup(title: "The topic") var topic: BenchTopicOptions
    @OptionGroup(title: "The load") var load: BenchLoadOptions
    @OptionGroup(title: "The run") var time: BenchTimeOptions
    @OptionGroup(title: "Output") var output: BenchOutputOptions

    /// - Parameter rate: Records a second; nil for as many as are taken.
    func measure(_ workload: String, rate: Double?, lingerMsByDefault: Int) async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await topic.run(on: cluster) { name in
                let run = BenchRun(time)
                let writer = BenchWriter(cluster, load, lingerMsByDefault: lingerMsByDefault, during: run)
                let interruption = Interruption { writer.stop() }
                let ticker = BenchTicker(writer.meter, isWanted: !output.json)
                async let writing: Void = writer.run(to: name, rate: rate)
                let marks = await run.measure([writer.meter]) { interruption.wasInterrupted || writer.failure != nil }[0]
                writer.stop()
                await writer.close()
                await ticker.stop()
                try await writing
                let report = BenchReport(
                    workload: workload, settings: load.settings(rate: rate), seconds: (marks.end.time - marks.begin.time) / .seconds(1),
                    flows: [.init("produced", from: marks.begin, to: marks.end)], latencies: [("acknowledged", writer.latencies.summary)],
                    failed: writer.failedCount, late: writer.backlog?.count)
                try concludeBench(report, writer.failure, interruption, json: output.json) { try output.write(writer.latencies) }
            }
        }
    }
}
