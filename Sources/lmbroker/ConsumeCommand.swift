import ArgumentParser
import KafkaClient
import KafkaProtocol

struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Write the records of topics to standard output.",
        discussion: """
            Each value on a line of its own, unless a format says otherwise; waits for more until it is interrupted, unless \
            --until-end or --count says otherwise. Records of one partition come in order.

              lmbroker consume greetings --until-end
              lmbroker consume events --from @2026-11-22T16:00 --format '%p:%o %k %s\\n'
              lmbroker consume events --json --count 10
              lmbroker consume payments --isolation read_committed

            With --group it shares the topics' partitions with everyone who reads in the same group, goes on where the group left \
            off, and commits what has been written; after a crash some records may come again, none is left out. Ctrl-C leaves the \
            group. `lmbroker group describe` shows how far a group has come, `lmbroker group reset` moves it.

              lmbroker consume orders payments --group billing
              lmbroker consume orders --group billing --until-end --json

            In a format: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp in milliseconds since 1970, \
            %h headers, %K and %S the lengths of key and value (-1 for null), %% a percent sign; \\n, \\t, \\r, \\0, \\xHH, \\\\.
            """
    )

    @Argument(help: "The topics to read.")
    var topics: [String]

    @OptionGroup var client: ClientOptions

    @Option(
        help: ArgumentHelp(
            "Where to begin: beginning, end, an offset, or @ and a time (milliseconds since 1970, or ISO 8601, UTC unless it says otherwise).",
            valueName: "place"))
    var from = StartPoint(.earliest)

    @Option(help: ArgumentHelp("Read this partition only; may be given several times.", valueName: "n"))
    var partition: [Int32] = []

    @OptionGroup(title: "Reading in a group") var group: GroupReadingOptions

    @Option(help: ArgumentHelp("End after so many records.", valueName: "n"))
    var count: Int?

    @Flag(help: "End where the partitions ended when reading began.")
    var untilEnd = false

    @Option(help: ArgumentHelp("How to write a record.", valueName: "format"))
    var format: String?

    @Flag(help: "Write each record as one line of JSON; what is not UTF-8 comes in base64.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "Which records of transactions to read: read_uncommitted for all, read_committed for none of open and aborted ones.",
            valueName: "level"))
    var isolation: ReadingIsolation?

    @Flag(help: "The same as --isolation read_committed.")
    var readCommitted = false

    private var isolationLevel: IsolationLevel { readCommitted || isolation == .committed ? .readCommitted : .readUncommitted }

    func validate() throws {
        if Set(topics).count < topics.count { throw ValidationError("A topic is named twice.") }
        if topics.count > 1, !partition.isEmpty { throw ValidationError("--partition goes with one topic only.") }
        if group.group != nil { try group.validate(from: from, partitions: partition) } else { try group.validateAbsence() }
        if json, format != nil { throw ValidationError("--json and --format exclude each other.") }
        if readCommitted, isolation == .uncommitted { throw ValidationError("--read-committed and --isolation read_uncommitted exclude each other.") }
        if let count, count < 0 { throw ValidationError("--count cannot be negative.") }
        if let format {
            do { _ = try RecordFormat(parsing: format) } catch { throw ValidationError("--format: \(error).") }
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            if let name = group.group { return try await read(cluster, group: name) }
            var options = ConsumerOptions()
            options.isolation = isolationLevel
            let consumer = Consumer(cluster, options: options)
            defer { consumer.close() }
            let interruption = Interruption { consumer.close() }
            let partitions = try await partitions(cluster)
            // Ends first: what is written between the two questions is not missed but left out.
            let ends = untilEnd ? try await Admin(cluster).offsets(all(partitions, .latest), isolation: options.isolation) : nil
            let starts = try await consumer.assign(all(partitions, from.place))
            var printer = RecordPrinter(format: try recordFormat, starts: starts, ends: ends, limit: count)
            do {
                try await print(consumer, &printer)
            } catch is StandardOutput.ReaderGone {
                return
            }
            if interruption.wasInterrupted, !printer.isDone, printer.hasEnd { throw Outcome.interrupted }
        }
    }

    /// Nil for JSON.
    private var recordFormat: RecordFormat? {
        get throws { json ? nil : try format.map { try RecordFormat(parsing: $0) } ?? .lines }
    }

    private func read(_ cluster: Cluster, group name: String) async throws {
        let partitions = try await partitions(cluster)
        let ends = untilEnd ? try await Admin(cluster).offsets(all(partitions, .latest), isolation: isolationLevel) : nil
        var fetching = ConsumerOptions()
        fetching.isolation = isolationLevel
        let reading = GroupReading(cluster, group: name, options: group.options(from: from, fetching: fetching), ends: ends)
        var printer = RecordPrinter(format: try recordFormat, starts: [:], ends: nil, limit: count)
        try await reading.run(topics, &printer)
    }

    private func partitions(_ cluster: Cluster) async throws(ClientError) -> [TopicPartition] {
        var all: [TopicPartition] = []
        for topic in topics {
            let found = try await cluster.topic(topic)
            for number in partition where !found.partitions.indices.contains(Int(number)) {
                throw .invalid("the topic \(topic) has no partition \(number), only 0 to \(found.partitions.count - 1)")
            }
            let numbers = partition.isEmpty ? found.partitions.map(\.index) : partition
            all += numbers.map { TopicPartition(topic, $0) }
        }
        return all
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

/// Named as Kafka's clients do.
enum ReadingIsolation: String, ExpressibleByArgument, CaseIterable {
    case uncommitted = "read_uncommitted"
    case committed = "read_committed"
}
