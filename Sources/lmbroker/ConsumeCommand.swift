import ArgumentParser
import KafkaClient
import KafkaProtocol
import NIOCore

struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Write the records of topics to standard output.",
        discussion: """
            Each value on a line of its own, unless a view says otherwise; waits for more until it is interrupted, unless \
            --to, --until-end or --count says otherwise. Records of one partition come in order. A broker that goes away is waited \
            for, with --to and --until-end for a minute.

              lmbroker consume greetings --until-end
              lmbroker consume events --from @2026-11-22T16:00 --format '%p:%o %k %s\\n'
              lmbroker consume events --from @2026-11-22T16:00 --to @2026-11-22T17:00
              lmbroker consume events --json --count 10
              lmbroker consume events --key 'user-1*' --header source=web --keys
              lmbroker consume images --hex --count 1
              lmbroker consume payments --isolation read_committed

            With --group it shares the topics' partitions with everyone who reads in the same group, goes on where the group left \
            off, and commits what has been written; after a crash some records may come again, none is left out. Ctrl-C leaves the \
            group. `lmbroker group describe` shows how far a group has come, `lmbroker group reset` moves it.

              lmbroker consume orders payments --group billing
              lmbroker consume orders --group billing --until-end --json

            In a format: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp in milliseconds since 1970, \
            %h headers, %K and %S the lengths of key and value (-1 for null), %% a percent sign; \\n, \\t, \\r, \\0, \\xHH, \\\\. \
            %k and %s can be followed by {hex}, {base64} or {json}.

            In a pattern, * stands for any bytes or none and ? for one byte; \\* and \\? for themselves.
            """
    )

    @Argument(help: "The topics to read.", completion: Completions.topics)
    var topics: [String]

    @OptionGroup var client: ClientOptions

    @Option(
        help: ArgumentHelp(
            "Where to begin: beginning, end, an offset, or @ and a time (milliseconds since 1970, or ISO 8601, UTC unless it says otherwise).",
            valueName: "place"))
    var from = LogPlace(.earliest)

    @Option(
        help: ArgumentHelp(
            "Where to end, a place as in --from, before the record there; what is not written yet when reading begins is not waited for.",
            valueName: "place"))
    var to: LogPlace?

    @Flag(help: "The same as --to end.")
    var untilEnd = false

    @Option(help: ArgumentHelp("Read this partition only; may be given several times.", valueName: "n"))
    var partition: [Int32] = []

    @OptionGroup(title: "Reading in a group") var group: GroupReadingOptions

    @Option(help: ArgumentHelp("End after so many records were written.", valueName: "n"))
    var count: Int?

    @Option(help: ArgumentHelp("Only records whose key matches.", valueName: "pattern"))
    var key: BytePattern?

    @Option(
        help: ArgumentHelp(
            "Only records with this header, with a value that matches; may be given several times for several headers.",
            valueName: "name[=pattern]"))
    var header: [HeaderPattern] = []

    @Option(help: ArgumentHelp("How to write a record.", valueName: "format"))
    var format: String?

    @Flag(help: "Write each record as one line of JSON; what is not UTF-8 comes in base64.")
    var json = false

    @Flag(help: "Write the key and a tab before each value.")
    var keys = false

    @Flag(help: "Write each record's place, then its key, headers and value as hexdump -C does.")
    var hex = false

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
        if [json, keys, hex, format != nil].count(where: { $0 }) > 1 {
            throw ValidationError("--json, --keys, --hex and --format exclude each other.")
        }
        if untilEnd, to != nil { throw ValidationError("--to and --until-end exclude each other.") }
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
            let consumer = Consumer(cluster, options: fetching)
            defer { consumer.close() }
            let interruption = Interruption { consumer.close() }
            let partitions = try await partitions(cluster)
            // Ends first: what is written between the two questions is not missed but left out.
            let ends = try await ends(cluster, partitions)
            let starts = try await consumer.assign(try await places(cluster, partitions))
            var printer = RecordPrinter(view: try view, filter: filter, starts: starts, ends: ends, limit: count)
            try await print(consumer, &printer)
            if interruption.wasInterrupted, !printer.isDone, printer.hasEnd { throw Outcome.interrupted }
        }
    }

    private var view: RecordView {
        get throws {
            if json { return .json }
            if hex { return .hex }
            if keys { return .format(.keys) }
            return .format(try format.map { try RecordFormat(parsing: $0) } ?? .lines)
        }
    }

    /// Who waits for records that are still to come waits for a broker, too; what is there already is to come within a minute.
    private var fetching: ConsumerOptions {
        var options = ConsumerOptions()
        options.isolation = isolationLevel
        options.onUnreachable = { Outcome.complain($0.map { "\($0); trying again" } ?? "a broker answers again") }
        if untilEnd || to != nil { options.unreachableTimeout = .minutes(1) }
        return options
    }

    private var filter: RecordFilter { RecordFilter(key: key, headers: header) }

    private func read(_ cluster: Cluster, group name: String) async throws {
        let partitions = try await partitions(cluster)
        let ends = try await ends(cluster, partitions)
        let reading = GroupReading(cluster, group: name, options: group.options(from: from, fetching: fetching), ends: ends)
        var printer = RecordPrinter(view: try view, filter: filter, starts: nil, ends: ends, limit: count)
        try await reading.run(topics, &printer)
    }

    private func partitions(_ cluster: Cluster) async throws(ClientError) -> [TopicPartition] {
        var all: [TopicPartition] = []
        for topic in topics {
            guard let found = try await Admin(cluster).topic(topic) else { throw .invalid("there is no topic \(topic)") }
            for number in partition where !found.partitions.indices.contains(Int(number)) {
                throw .invalid("the topic \(topic) has no partition \(number), only 0 to \(found.partitions.count - 1)")
            }
            let numbers = partition.isEmpty ? found.partitions.map(\.index) : partition
            all += numbers.map { TopicPartition(topic, $0) }
        }
        return all
    }

    /// Nil to go on for ever.
    private func ends(_ cluster: Cluster, _ partitions: [TopicPartition]) async throws -> [TopicPartition: Int64]? {
        guard let place = untilEnd ? .latest : to?.place else { return nil }
        let admin = Admin(cluster)
        let latest = try await admin.offsets(all(partitions, .latest), isolation: isolationLevel)
        if place == .latest { return latest }
        return latest.merging(try await admin.offsets(all(partitions, place), isolation: isolationLevel)) { min($0, $1) }
    }

    /// Where to begin. A partition that ends before the offset that was asked for is read from its end, as by other clients.
    private func places(_ cluster: Cluster, _ partitions: [TopicPartition]) async throws -> [TopicPartition: PartitionPlace] {
        guard case .offset(let offset) = from.place else { return all(partitions, from.place) }
        // Of those without a leader nobody knows the end now; they keep nobody from the others.
        let led = partitions.filter { cluster.metadata.leader(of: $0) != nil }
        let ends = try await Admin(cluster).offsets(all(led, .latest))
        return Dictionary(partitions.map { ($0, .offset(min(offset, ends[$0] ?? offset))) }) { first, _ in first }
    }

    private func all(_ partitions: [TopicPartition], _ place: PartitionPlace) -> [TopicPartition: PartitionPlace] {
        Dictionary(partitions.map { ($0, place) }) { first, _ in first }
    }

    private func print(_ consumer: Consumer, _ printer: inout RecordPrinter) async throws {
        do {
            while !printer.isDone {
                var next = try consumer.takeReady()
                if next == nil {
                    try printer.out.flush()
                    next = try await consumer.next()
                }
                guard let records = next else { break }
                try printer.print(records)
            }
        } catch let error as ClientError {
            // What came before is good.
            try printer.out.flush()
            throw error
        }
        try printer.out.flush()
    }
}

/// Named as Kafka's clients do.
enum ReadingIsolation: String, ExpressibleByArgument, CaseIterable {
    case uncommitted = "read_uncommitted"
    case committed = "read_committed"
}
