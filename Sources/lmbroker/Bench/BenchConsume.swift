import ArgumentParser
import KafkaClient
import KafkaProtocol
import NIOCore

/// `lmbroker bench consume`: how fast what is in a topic comes out.
struct BenchConsume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Read what is in a topic as fast as it comes.",
        discussion: """
            From the beginning of every partition to where it ended at the start, or until --records were read. Checksums are \
            checked and records taken apart. Timed from the first question to the last record.

              lmbroker bench produce --topic filled --seconds 30 && lmbroker bench consume --topic filled
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("The topic to read.", valueName: "name"))
    var topic: String

    @Option(help: ArgumentHelp("End after so many records.", valueName: "n"))
    var records: Int?

    @Flag(help: "Leave out what belongs to open and aborted transactions.")
    var readCommitted = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            var options = ConsumerOptions()
            options.isolation = readCommitted ? .readCommitted : .readUncommitted
            options.unreachableTimeout = .minutes(1)
            let consumer = Consumer(cluster, options: options)
            defer { consumer.close() }
            let interruption = Interruption { consumer.close() }
            let found = try await cluster.topic(topic)
            var open = try await Admin(cluster).offsets(found.places(.latest), isolation: options.isolation)
            let meter = BenchMeter()
            let ticker = BenchTicker(meter, isWanted: !json)
            let begin = meter.now
            for (partition, start) in try await consumer.assign(found.places(.earliest)) where start >= open[partition] ?? 0 { open[partition] = nil }
            while !open.isEmpty, meter.now.records < records ?? .max, let fetched = try await consumer.next() {
                var count = 0
                var bytes = 0
                try fetched.forEachRecord { record, _ in
                    count += 1
                    bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0)
                    return true
                }
                meter.add(records: count, bytes: bytes)
                if fetched.nextOffset >= open[fetched.partition] ?? 0 { open[fetched.partition] = nil }
            }
            let end = meter.now
            await ticker.stop()
            let report = BenchReport(
                workload: "consume", settings: [("topic", .text(topic))], seconds: (end.time - begin.time) / .seconds(1),
                flows: [.init("consumed", from: begin, to: end)])
            try concludeBench(report, nil, interruption, json: json)
        }
    }
}
