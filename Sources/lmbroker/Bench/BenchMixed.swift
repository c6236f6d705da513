import ArgumentParser
import KafkaClient
import KafkaProtocol
import Synchronization

/// `lmbroker bench mixed`: a producer and a consumer at the tail, and how long a record takes from the one to the other.
struct BenchMixed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mixed",
        abstract: "Write and read at the same time; time records from end to end.",
        discussion: """
            The reader is at the end of the topic before the first record is written. With --rate records are due by the clock, and \
            timed from then, those included that could not be offered by the end (late); without, they come as fast as they are \
            taken. One record in 17 is timed when it is read. Reading ends when all that was delivered is read, or for ten seconds \
            nothing comes; what is missing then is told as unread, with exit status 1.
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("Records a second; without it, as many as are taken.", valueName: "n"))
    var rate: Double?

    @OptionGroup(title: "The topic") var topic: BenchTopicOptions
    @OptionGroup(title: "The load") var load: BenchLoadOptions
    @OptionGroup(title: "The run") var time: BenchTimeOptions
    @OptionGroup(title: "Output") var output: BenchOutputOptions

    func validate() throws {
        try Pace.validate(rate)
        if load.size < BenchRecord.stampByteCount { throw ValidationError("--size is \(BenchRecord.stampByteCount) at least: the time goes along.") }
    }

    func run() async throws {
        try await Outcome.of {
            // Two clients, as in two processes: neither waits for the other's answers.
            let (writing, reading) = (client.cluster(), client.cluster())
            defer {
                writing.close()
                reading.close()
            }
            try await topic.run(on: writing) { name in try await run(name, writing, reading) }
        }
    }

    private func run(_ name: String, _ writing: Cluster, _ reading: Cluster) async throws {
        let reader = try await BenchReader(reading, topic: name)
        let run = BenchRun(time)
        let writer = BenchWriter(writing, load, during: run)
        let interruption = Interruption { writer.stop() }
        let ticker = BenchTicker(reader.meter, isWanted: !output.json)
        async let read: Void = reader.run(timingFrom: run.begin)
        async let written: Void = writer.run(to: name, rate: rate)
        let marks = await run.measure([writer.meter, reader.meter]) { interruption.wasInterrupted || writer.failure != nil }
        writer.stop()
        await writer.close()
        try await written
        await reader.finish(at: writer.meter.now.records)
        try await read
        await ticker.stop()
        writer.backlog?.record(in: reader.latencies, oneIn: BenchReader.recordsPerTiming)
        let report = BenchReport(
            workload: "mixed", settings: load.settings(rate: rate),
            seconds: (marks[0].end.time - marks[0].begin.time) / .seconds(1),
            flows: [.init("produced", from: marks[0].begin, to: marks[0].end), .init("consumed", from: marks[1].begin, to: marks[1].end)],
            latencies: [("acknowledged", writer.latencies.summary), ("end to end", reader.latencies.summary)], failed: writer.failedCount,
            late: writer.backlog?.count, unread: max(writer.meter.now.records - reader.meter.now.records, 0))
        try concludeBench(report, writer.failure, interruption, json: output.json) { try output.write(reader.latencies) }
    }
}

/// Reads a topic from its end on, and times what the writer of the same process has stamped.
final class BenchReader: Sendable {
    let meter = BenchMeter()
    /// From when a record was offered, or due, to when it was read.
    let latencies = LatencyRecorder()
    private let consumer: Consumer

    /// One record of so many is timed: the histogram is not to be what is measured. A prime, so that of fetches that are alike it is
    /// not always the same ones.
    static let recordsPerTiming = 17

    /// Nothing comes any more that has not come for so long.
    private static let patience = Duration.seconds(10)

    init(_ cluster: Cluster, topic: String) async throws {
        consumer = Consumer(cluster)
        try await consumer.assign(cluster.topic(topic).places(.latest))
    }

    /// Reads until `finish` has closed the consumer.
    func run(timingFrom begin: ContinuousClock.Instant) async throws {
        var count = 0
        while let fetched = try await consumer.next() {
            let before = count
            var bytes = 0
            let now = ContinuousClock.now
            try fetched.forEachRecord { record, reader in
                count += 1
                guard let value = record.value else { return true }
                bytes += value.length
                if count % Self.recordsPerTiming == 1, let stamp = BenchRecord.stamp(reader.bytes(value)), stamp >= begin {
                    latencies.record(now - stamp)
                }
                return true
            }
            meter.add(records: count - before, bytes: bytes)
        }
    }

    /// Waits for what was delivered to be read, for as long as any of it comes, then ends the reading.
    func finish(at records: Int) async {
        var last = meter.now
        while last.records < records, ContinuousClock.now < last.time + Self.patience {
            try? await Task.sleep(for: .milliseconds(20))
            let now = meter.now
            if now.records > last.records { last = now }
        }
        consumer.close()
    }
}
