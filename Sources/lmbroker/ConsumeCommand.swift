import ArgumentParser
import KafkaClient
import KafkaProtocol

struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Write a topic's records to standard output.",
        discussion: """
            Each value on a line of its own, unless a format says otherwise; waits for more until it is interrupted, unless \
            --until-end or --count says otherwise. Records of one partition come in order.

              lmbroker consume greetings --until-end
              lmbroker consume events --from @2026-11-22T16:00 --format '%p:%o %k %s\\n'
              lmbroker consume events --json --count 10

            In a format: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp in milliseconds since 1970, \
            %h headers, %K and %S the lengths of key and value (-1 for null), %% a percent sign; \\n, \\t, \\r, \\0, \\xHH, \\\\.
            """
    )

    @Argument(help: "The topic to read.")
    var topic: String

    @OptionGroup var client: ClientOptions

    @Option(
        help: ArgumentHelp(
            "Where to begin: beginning, end, an offset, or @ and a time (milliseconds since 1970, or ISO 8601, UTC unless it says otherwise).",
            valueName: "place"))
    var from = StartPoint(.earliest)

    @Option(help: ArgumentHelp("Read this partition only; may be given several times.", valueName: "n"))
    var partition: [Int32] = []

    @Option(help: ArgumentHelp("End after so many records.", valueName: "n"))
    var count: Int?

    @Flag(help: "End where the partitions ended when reading began.")
    var untilEnd = false

    @Option(help: ArgumentHelp("How to write a record.", valueName: "format"))
    var format: String?

    @Flag(help: "Write each record as one line of JSON; what is not UTF-8 comes in base64.")
    var json = false

    @Flag(help: "Leave out records of open and aborted transactions.")
    var readCommitted = false

    func validate() throws {
        if json, format != nil { throw ValidationError("--json and --format exclude each other.") }
        if let count, count < 0 { throw ValidationError("--count cannot be negative.") }
        if let format {
            do { _ = try RecordFormat(parsing: format) } catch { throw ValidationError("--format: \(error).") }
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            var options = ConsumerOptions()
            options.isolation = readCommitted ? .readCommitted : .readUncommitted
            let consumer = Consumer(cluster, options: options)
            defer { consumer.close() }
            let interruption = Interruption { consumer.close() }
            let partitions = try await partitions(cluster)
            // Ends first: what is written between the two questions is not missed but left out.
            let ends = untilEnd ? try await Admin(cluster).offsets(all(partitions, .latest), isolation: options.isolation) : nil
            let starts = try await consumer.assign(all(partitions, from.place))
            var printer = RecordPrinter(
                format: json ? nil : try format.map { try RecordFormat(parsing: $0) } ?? .lines, starts: starts, ends: ends, limit: count)
            do {
                try await print(consumer, &printer)
            } catch is StandardOutput.ReaderGone {
                return
            }
            if interruption.wasInterrupted, !printer.isDone, printer.hasEnd { throw Outcome.interrupted }
        }
    }

    private func partitions(_ cluster: Cluster) async throws(ClientError) -> [TopicPartition] {
        let found = try await cluster.topic(topic)
        for number in partition where !found.partitions.indices.contains(Int(number)) {
            throw .invalid("the topic \(topic) has no partition \(number), only 0 to \(found.partitions.count - 1)")
        }
        let numbers = partition.isEmpty ? found.partitions.map(\.index) : partition
        return numbers.map { TopicPartition(topic, $0) }
    }

    private func all(_ partitions: [TopicPartition], _ place: PartitionPlace) -> [TopicPartition: PartitionPlace] {
        Dictionary(partitions.map { ($0, place) }) { first, _ in first }
    }

    private func print(_ consumer: Consumer, _ printer: inout RecordPrinter) async throws {
        while !printer.isDone {
            var next = try consumer.takeReady()
            if next == nil {
                try printer.out.flush()
                next = try await consumer.next()
            }
            guard let records = next else { break }
            try printer.print(records)
        }
        try printer.out.flush()
    }
}

/// Writes records out until enough have come.
struct RecordPrinter {
    let out = StandardOutput()
    /// Nil for JSON.
    private let format: RecordFormat?
    private var left: Int?
    /// Partitions whose end is still to come, with it; nil to go on for ever.
    private var ends: [TopicPartition: Int64]?

    init(format: RecordFormat?, starts: [TopicPartition: Int64], ends: [TopicPartition: Int64]?, limit: Int?) {
        self.format = format
        left = limit
        self.ends = ends?.filter { end in starts[end.key].map { $0 < end.value } ?? false }
    }

    /// Whether there was to be an end at all.
    var hasEnd: Bool { left != nil || ends != nil }
    var isDone: Bool { left == 0 || ends?.isEmpty == true }

    mutating func print(_ records: FetchedRecords) throws {
        let partition = records.partition
        let end = ends == nil ? Int64.max : ends?[partition] ?? Int64.min
        var left = left
        try records.forEachRecord { record, reader in
            guard record.offset < end, left != 0 else { return false }
            try out.append { bytes in
                if let format {
                    format.write(record, reader, topic: partition.topic, partition: partition.partition, to: &bytes)
                } else {
                    JSONText.write(record, reader, topic: partition.topic, partition: partition.partition, to: &bytes)
                }
            }
            left = left.map { $0 - 1 }
            return true
        }
        self.left = left
        if records.nextOffset >= end { ends?[partition] = nil }
    }
}
