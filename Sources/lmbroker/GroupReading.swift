import ArgumentParser
import Glibc
import KafkaClient
import Synchronization

/// Options of `consume` that only make sense in a group.
struct GroupReadingOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Read as a member of this consumer group.", valueName: "name"), completion: Completions.groups)
    var group: String?

    @Option(
        name: .customLong("protocol"),
        help: ArgumentHelp(
            "How the group divides partitions: 'classic' works with every broker; with 'consumer' (KIP-848) the broker divides them, and moves one without stopping the others.",
            valueName: "name"))
    var groupProtocol: ReadingProtocol?

    @Option(
        help: ArgumentHelp(
            "Who gets which partitions. Classic: range, roundrobin, sticky, cooperative-sticky. Consumer: uniform, range.", valueName: "name"))
    var assignor: String?

    @Option(
        help: ArgumentHelp(
            "Be the same member after a restart: nothing moves if it is back within the session timeout. Unique in the group.",
            valueName: "name"))
    var instanceID: String?

    private var isConsumer: Bool { groupProtocol == .consumer }

    func validate(from place: LogPlace, partitions: [Int32]) throws {
        if group?.isEmpty == true { throw ValidationError("--group needs a name.") }
        if !partitions.isEmpty { throw ValidationError("--group and --partition exclude each other: the group says who reads which partition.") }
        guard place.place == .earliest || place.place == .latest else {
            throw ValidationError(
                "--group goes on where the group left off; --from can only be beginning or end, for partitions it has not read yet. `lmbroker group reset` moves a group.")
        }
        guard let assignor else { return }
        if !isConsumer, GroupAssignor(rawValue: assignor) == nil {
            let known = GroupAssignor.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--assignor: '\(assignor)' is none of \(known).")
        }
        if isConsumer, assignor.isEmpty { throw ValidationError("--assignor needs a name, such as uniform.") }
    }

    func validateAbsence() throws {
        if groupProtocol != nil { throw ValidationError("--protocol goes with --group.") }
        if assignor != nil { throw ValidationError("--assignor goes with --group.") }
        if instanceID != nil { throw ValidationError("--instance-id goes with --group.") }
    }

    func options(from place: LogPlace, fetching: ConsumerOptions) -> GroupConsumerOptions {
        var options = GroupConsumerOptions()
        options.groupProtocol = isConsumer ? .consumer : .classic
        if isConsumer {
            options.serverAssignor = assignor
        } else if let assignor = assignor.flatMap(GroupAssignor.init(rawValue:)) {
            options.assignors = [assignor]
        }
        options.instanceID = instanceID
        options.offsetReset = place.place == .latest ? .latest : .earliest
        options.fetching = fetching
        return options
    }
}

enum ReadingProtocol: String, ExpressibleByArgument, CaseIterable { case classic, consumer }

/// `consume --group`: prints, and commits what has been printed.
struct GroupReading {
    private let consumer: GroupConsumer
    private let watch: RebalanceWatch
    private let hasEnds: Bool

    /// - Parameter ends: Where the topics end now; nil to go on for ever.
    init(_ cluster: Cluster, group: String, options: GroupConsumerOptions, ends: [TopicPartition: Int64]?) {
        let watch = RebalanceWatch(group: group, ends: ends)
        var options = options
        options.onRebalance = { watch.rebalanced($0) }
        consumer = GroupConsumer(cluster, group: group, options: options)
        watch.begin(consumer)
        self.watch = watch
        hasEnds = ends != nil
    }

    func run(_ topics: [String], _ printer: inout RecordPrinter) async throws {
        let interruption = Interruption { [consumer] in consumer.stop() }
        try consumer.subscribe(topics)
        var isDone = false
        do {
            try await print(&printer)
            isDone = printer.isDone || watch.isAtEnd
        } catch is StandardOutput.ReaderGone {
            isDone = true
        } catch {
            await end()
            throw error
        }
        await end()
        if interruption.wasInterrupted, !isDone, printer.hasEnd || hasEnds { throw Outcome.interrupted }
    }

    private func end() async {
        await consumer.close()
        watch.end()
    }

    private func print(_ printer: inout RecordPrinter) async throws {
        while !printer.isDone, !watch.isAtEnd, let records = try await consumer.next() {
            // Nothing of these is done before it has been written.
            consumer.done(before: records.firstOffset)
            let next = try printer.print(records)
            try printer.out.flush()
            consumer.done(before: next)
        }
    }
}

/// Looks on as partitions come and go.
private final class RebalanceWatch: Sendable {
    private let group: String
    private let ends: [TopicPartition: Int64]?
    /// The consumer is made with the watch, so it comes later; it goes first, since each knows the other.
    private let consumer = Mutex<GroupConsumer?>(nil)

    init(group: String, ends: [TopicPartition: Int64]?) { (self.group, self.ends) = (group, ends) }

    func begin(_ watched: GroupConsumer) { consumer.withLock { $0 = watched } }
    func end() { consumer.withLock { $0 = nil } }

    /// Whether everything that was there in the beginning, of the partitions that this member has, has been read.
    var isAtEnd: Bool {
        guard let ends, let consumer = consumer.withLock({ $0 }) else { return false }
        let (positions, assignment) = (consumer.positions, consumer.assignment)
        return !assignment.isEmpty && assignment.allSatisfy { partition in positions[partition].map { $0 >= ends[partition] ?? 0 } ?? false }
    }

    func rebalanced(_ rebalance: Rebalance) {
        let consumer = consumer.withLock { $0 }
        if isAtEnd { consumer?.stop() }
        guard isatty(STDERR_FILENO) == 1 else { return }
        switch rebalance {
        case .assigned: Outcome.complain("reading \(Self.spelled(consumer?.assignment ?? [])) for the group \(group)")
        case .revoked: break
        case .lost(let partitions):
            Outcome.complain("the group \(group) has gone on without this consumer; \(Self.spelled(Set(partitions))) may be read twice")
        }
    }

    private static func spelled(_ partitions: Set<TopicPartition>) -> String {
        partitions.isEmpty ? "no partitions" : PartitionList.spelled(partitions)
    }
}

/// Partitions as people read them.
enum PartitionList {
    /// `orders 0-3,7; payments 1`.
    static func spelled(_ partitions: some Sequence<TopicPartition>) -> String {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }
            .map { "\($0.key) \(ranges($0.value.map(\.partition)))" }.joined(separator: "; ")
    }

    private static func ranges(_ numbers: [Int32]) -> String {
        var ranges: [ClosedRange<Int32>] = []
        for number in numbers.sorted() {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
