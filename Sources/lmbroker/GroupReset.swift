import ArgumentParser
import KafkaClient

struct GroupReset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Move a group to other places in its topics.",
        discussion: """
            Changes it and shows what has changed, or with --dry-run what would. The group must have no members: stop them first. A \
            group that does not exist is made.

              lmbroker group reset billing --all-topics --to-earliest --dry-run
              lmbroker group reset billing --topic orders --to-time 2026-11-22T16:00
              lmbroker group reset billing --topic orders:0,3 --topic payments --shift-by -100
              lmbroker group reset billing --all-topics --by-duration 90m
              lmbroker group reset billing --from-file offsets.csv

            A new offset before the first or behind the last record of its partition becomes that one. A file has lines like \
            orders,0,1234; --from-file names the partitions itself, but --topic narrows them.
            """)

    @Argument(help: "The group's name.", completion: Completions.groups)
    var group: String

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("A topic, or some of its partitions; may be given several times.", valueName: "topic[:n,...]"))
    var topic: [TopicSelection] = []

    @Flag(help: "Every partition in which the group has committed something.")
    var allTopics = false

    @Flag(help: "To the first record that is there.")
    var toEarliest = false

    @Flag(help: "To the end: skip everything that is there.")
    var toLatest = false

    @Option(help: ArgumentHelp("To this offset.", valueName: "offset"))
    var toOffset: Int64?

    @Option(
        help: ArgumentHelp(
            "To the first record of this time or later (milliseconds since 1970, or ISO 8601, UTC unless it says otherwise).",
            valueName: "time"))
    var toTime: String?

    @Option(help: ArgumentHelp("To the first record of so long ago: 30s, 15m, 2h, 7d, or ISO 8601 (PT1H30M).", valueName: "duration"))
    var byDuration: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("So many records on, or back when negative.", valueName: "n"))
    var shiftBy: Int64?

    @Option(help: ArgumentHelp("To the offsets in this file: topic,partition,offset on each line.", valueName: "file"), completion: .file())
    var fromFile: String?

    @Flag(help: "Only show what would change.")
    var dryRun = false

    @Flag(help: "Write one object of JSON.")
    var json = false

    func validate() throws {
        let ways = [toEarliest, toLatest, toOffset != nil, toTime != nil, byDuration != nil, shiftBy != nil, fromFile != nil]
        guard ways.filter({ $0 }).count == 1 else {
            throw ValidationError(
                "Say where to, in one way: --to-earliest, --to-latest, --to-offset, --to-time, --by-duration, --shift-by or --from-file.")
        }
        if allTopics, !topic.isEmpty { throw ValidationError("--all-topics and --topic exclude each other.") }
        if topic.isEmpty, !allTopics, fromFile == nil { throw ValidationError("Say which partitions: --topic NAME, or --all-topics.") }
        if let toOffset, toOffset < 0 { throw ValidationError("--to-offset cannot be negative.") }
        if let toTime, Timestamp.milliseconds(toTime) == nil {
            throw ValidationError("--to-time: '\(toTime)' is no time like 2026-11-22T16:00 or 1732291200000.")
        }
        if let byDuration, TimeSpan.milliseconds(byDuration) == nil {
            throw ValidationError("--by-duration: '\(byDuration)' is no duration like 90m, 7d or PT1H30M.")
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let admin = Admin(cluster)
            let members = try await admin.describeGroup(group)?.members ?? []
            let listed = try fromFile.map { try OffsetFile.read($0) }
            let partitions = try await chosen(admin, listed)
            let plan = try await plan(partitions, listed, admin)
            if dryRun { try show(plan) }
            if !members.isEmpty {
                let count = "\(members.count) member\(members.count == 1 ? "" : "s")"
                let clients = Set(members.map { "\($0.clientID) on \($0.host)" }).sorted().joined(separator: ", ")
                throw ClientError.invalid("the group \(group) has \(count) (\(clients)), which must be stopped before it can be reset")
            }
            if dryRun { return }
            try await admin.commitOffsets(of: group, plan.positions)
            try show(plan)
        }
    }

    private func show(_ plan: OffsetPlan) throws {
        let out = StandardOutput()
        if json { try out.print(plan.json(isDryRun: dryRun)) } else { for line in plan.lines { try out.print(line) } }
        try out.flush()
    }

    private func chosen(_ admin: Admin, _ listed: [TopicPartition: Int64]?) async throws -> Set<TopicPartition> {
        var partitions: Set<TopicPartition> = []
        for selection in topic {
            guard let found = try await admin.topic(selection.topic) else { throw ClientError.invalid("there is no topic \(selection.topic)") }
            for number in selection.partitions ?? [] where !(0..<found.partitions.count).contains(Int(number)) {
                throw ClientError.invalid("the topic \(selection.topic) has no partition \(number), only 0 to \(found.partitions.count - 1)")
            }
            for number in selection.partitions ?? found.partitions.map(\.index) { partitions.insert(TopicPartition(selection.topic, number)) }
        }
        if let listed { return topic.isEmpty ? Set(listed.keys) : partitions.intersection(listed.keys) }
        if allTopics {
            let committed = Set(try await admin.committedOffsets(of: group).keys)
            partitions = Set(try await GroupProgress.existing(committed, admin).keys)
            if partitions.isEmpty {
                throw ClientError.invalid("the group \(group) has committed nothing yet; name the topics with --topic")
            }
        }
        return partitions
    }

    private func plan(_ partitions: Set<TopicPartition>, _ listed: [TopicPartition: Int64]?, _ admin: Admin) async throws -> OffsetPlan {
        func everywhere(_ place: PartitionPlace) -> [TopicPartition: PartitionPlace] {
            Dictionary(partitions.map { ($0, place) }) { first, _ in first }
        }
        let current = try await admin.committedOffsets(of: group, partitions).mapValues(\.offset)
        let first = try await admin.offsets(everywhere(.earliest))
        let end = try await admin.offsets(everywhere(.latest))
        var wanted: [TopicPartition: Int64] = [:]
        if toEarliest {
            wanted = first
        } else if toLatest {
            wanted = end
        } else if let toOffset {
            wanted = first.mapValues { _ in toOffset }
        } else if let time = toTime.flatMap(Timestamp.milliseconds) ?? byDuration.flatMap(TimeSpan.milliseconds).map({ OffsetPlan.nowMs - $0 }) {
            wanted = try await admin.offsets(everywhere(.timestamp(max(time, 0))))
        } else if let shiftBy {
            let unknown = partitions.subtracting(current.keys)
            if !unknown.isEmpty {
                throw ClientError.invalid(
                    "the group \(group) has committed no offset to shift in \(PartitionList.spelled(unknown)); use --to-earliest or --to-latest there")
            }
            wanted = current.mapValues { $0.addingReportingOverflow(shiftBy).overflow ? (shiftBy > 0 ? .max : 0) : $0 + shiftBy }
        } else if let listed {
            wanted = listed.filter { partitions.contains($0.key) }
        }
        return OffsetPlan(group: group, wanted: wanted, current: current, first: first, end: end)
    }
}

/// `orders` or `orders:0,3`.
struct TopicSelection: ExpressibleByArgument {
    var topic: String
    /// Nil for all.
    var partitions: [Int32]?

    init?(argument: String) {
        // A topic's name has no colon.
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty, parts.count <= 2 else { return nil }
        topic = String(name)
        guard parts.count == 2 else { return }
        var numbers: [Int32] = []
        for part in parts[1].split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Int32(part), number >= 0 else { return nil }
            numbers.append(number)
        }
        partitions = numbers
    }
}
