import ArgumentParser
import KafkaClient

struct GroupDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a group: how far it has come, what is left, and who reads what.",
        discussion: """
              lmbroker group describe billing
              lmbroker group describe billing --members
              watch lmbroker group describe billing

            LAG is how many offsets are left: the partition's end less what the group has committed. A partition without a committed \
            offset, or without a leader that tells its end, shows '-'.
            """)

    @Argument(help: "The group's name.", completion: Completions.groups)
    var group: String

    @OptionGroup var client: ClientOptions

    @Flag(help: "Show the members instead of the partitions.")
    var members = false

    @Flag(help: "Write one object of JSON, with partitions and members.")
    var json = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            guard let description = try await Admin(cluster).describeGroup(group) else { throw ClientError.invalid("there is no group \(group)") }
            let progress = try await GroupProgress(description, Admin(cluster))
            let out = StandardOutput()
            if json {
                try out.print(progress.json)
            } else {
                for line in members ? progress.memberLines : progress.partitionLines { try out.print(line) }
            }
            try out.flush()
        }
    }
}

/// A group's members and partitions, with how far it has come.
struct GroupProgress {
    struct Row {
        var partition: TopicPartition
        /// Nil when nothing is committed.
        var committed: Int64?
        /// Nil when the partition has no leader, or is no more.
        var end: Int64?
        var isLeaderless = false
        /// Index of the member that reads it.
        var member: Int?

        var lag: Int64? {
            guard let committed, let end else { return nil }
            // A broker may say anything: of what is not negative, the difference is a number.
            return max(max(end, 0) - max(committed, 0), 0)
        }
    }

    let description: GroupDescription
    var rows: [Row]

    init(_ description: GroupDescription, _ admin: Admin) async throws(ClientError) {
        let committed = try await admin.committedOffsets(of: description.id)
        var readers: [TopicPartition: Int] = [:]
        for (index, member) in description.members.enumerated() {
            for partition in member.assignment { readers[partition] = index }
        }
        let all = Set(committed.keys).union(readers.keys)
        // A group may remember topics that are gone.
        let there = try await Self.existing(all, admin)
        let led = there.filter { $0.value.leader != nil }
        let ends = try await admin.offsets(led.mapValues { _ in .latest })
        self.description = description
        rows = all.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }.map {
            Row(
                partition: $0, committed: committed[$0]?.offset, end: ends[$0], isLeaderless: there[$0] != nil && led[$0] == nil,
                member: readers[$0])
        }
    }

    init(_ description: GroupDescription, rows: [Row]) { (self.description, self.rows) = (description, rows) }

    /// Those that are there.
    static func existing(
        _ partitions: Set<TopicPartition>, _ admin: Admin
    ) async throws(ClientError) -> [TopicPartition: ClusterMetadata.Partition] {
        var there: [TopicPartition: ClusterMetadata.Partition] = [:]
        for (name, partitions) in Dictionary(grouping: partitions, by: \.topic) {
            let found = try await admin.topic(name)?.partitions ?? []
            for partition in partitions { there[partition] = found.first { $0.index == partition.partition } }
        }
        return there
    }

    // MARK: Text

    private var heading: String {
        var parts = [description.id, "state \(description.state)", "type \(description.type)"]
        if !description.assignor.isEmpty { parts.append("assignor \(description.assignor)") }
        if let epoch = description.epoch { parts.append("epoch \(epoch)") }
        parts.append("coordinator \(description.coordinator)")
        parts.append("\(description.members.count) member\(description.members.count == 1 ? "" : "s")")
        return parts.joined(separator: ", ").printable
    }

    var partitionLines: [String] {
        if rows.isEmpty { return [heading, "", "Nothing is committed and nothing is read."] }
        var table = TextTable("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CLIENT", "HOST")
        for row in rows {
            let member = row.member.map { description.members[$0] }
            table.add(
                row.partition.topic, "\(row.partition.partition)", row.committed.map(String.init) ?? "-",
                row.end.map(String.init) ?? (row.isLeaderless ? "-" : "gone"), row.lag.map { Figures.count(Int($0)) } ?? "-",
                member?.clientID ?? "-", member?.host ?? "-")
        }
        let unknown = rows.filter { $0.committed == nil }.count
        let rest = unknown == 0 ? "" : ", without \(unknown) partition\(unknown == 1 ? "" : "s") where nothing is committed"
        return [heading, ""] + table.lines + ["", "lag in all: \(Figures.count(Int(lagInAll)))\(rest)"]
    }

    /// At most what can be counted.
    private var lagInAll: Int64 { rows.compactMap(\.lag).reduce(0) { sum, lag in lag > Int64.max - sum ? Int64.max : sum + lag } }

    var memberLines: [String] {
        if description.members.isEmpty { return [heading, "", "Nobody reads in this group."] }
        var table = TextTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "COUNT", "PARTITIONS")
        for member in description.members {
            let moving = Set(member.target) == Set(member.assignment) ? "" : " (to be \(PartitionList.spelled(member.target)))"
            table.add(
                member.id, member.instanceID ?? "-", member.clientID, member.host, "\(member.assignment.count)",
                (member.assignment.isEmpty ? "-" : PartitionList.spelled(member.assignment)) + moving)
        }
        return [heading, ""] + table.lines
    }

    // MARK: JSON

    var json: String {
        let quoted = JSONText.quoted
        let partitions = rows.map { row in
            "{\"topic\":\(quoted(row.partition.topic)),\"partition\":\(row.partition.partition)"
                + ",\"committed_offset\":\(row.committed.map(String.init) ?? "null"),\"end_offset\":\(row.end.map(String.init) ?? "null")"
                + ",\"lag\":\(row.lag.map(String.init) ?? "null")"
                + ",\"member\":\(row.member.map { quoted(description.members[$0].id) } ?? "null")}"
        }
        let members = description.members.map { member in
            "{\"member\":\(quoted(member.id)),\"instance\":\(member.instanceID.map(quoted) ?? "null"),\"client\":\(quoted(member.clientID))"
                + ",\"host\":\(quoted(member.host)),\"epoch\":\(member.epoch.map(String.init) ?? "null")"
                + ",\"partitions\":[\(Self.list(member.assignment))],\"target\":[\(Self.list(member.target))]}"
        }
        return "{\"group\":\(quoted(description.id)),\"state\":\(quoted(description.state)),\"type\":\(quoted(description.type))"
            + ",\"assignor\":\(quoted(description.assignor)),\"epoch\":\(description.epoch.map(String.init) ?? "null")"
            + ",\"coordinator\":\(quoted("\(description.coordinator)")),\"partitions\":[\(partitions.joined(separator: ","))]"
            + ",\"members\":[\(members.joined(separator: ","))]}"
    }

    private static func list(_ partitions: [TopicPartition]) -> String {
        partitions.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
            .map { "{\"topic\":\(JSONText.quoted($0.topic)),\"partition\":\($0.partition)}" }.joined(separator: ",")
    }
}
