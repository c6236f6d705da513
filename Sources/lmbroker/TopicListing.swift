import ArgumentParser
import KafkaClient
import KafkaProtocol

struct TopicList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the topics.")

    @OptionGroup var client: ClientOptions

    @Flag(help: "Write one line of JSON for each topic.")
    var json = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let out = StandardOutput()
            let topics = try await Admin(cluster).topics()
            var table = TextTable("TOPIC", "PARTITIONS", "REPLICAS", "ID")
            for topic in topics {
                let replicas = topic.partitions.first?.replicas.count ?? 0
                if json {
                    try out.append { bytes in
                        bytes.append(contentsOf: "{\"topic\":".utf8)
                        JSONText.string(topic.name, to: &bytes)
                        bytes.append(
                            contentsOf: ",\"id\":\"\(topic.id)\",\"partitions\":\(topic.partitions.count),\"replicas\":\(replicas)}\n".utf8)
                    }
                } else {
                    table.add(topic.name, "\(topic.partitions.count)", "\(replicas)", "\(topic.id)")
                }
            }
            if !json { for line in table.lines { try out.print(line) } }
            try out.flush()
        }
    }
}

struct TopicDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a topic's partitions, with their offsets, and its settings.",
        discussion: """
            Settings that are the broker's defaults are left out unless --all-configs asks for them. A partition without a leader \
            does not tell its offsets.
            """
    )

    @Argument(help: "The topic's name.", completion: Completions.topics)
    var name: String

    @OptionGroup var client: ClientOptions

    @Flag(help: "Write one object of JSON.")
    var json = false

    @Flag(help: "Show defaults too.")
    var allConfigs = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let admin = Admin(cluster)
            guard let topic = try await admin.topic(name) else { throw ClientError.invalid("there is no topic \(name)") }
            let details = try await TopicDetails(topic, admin, allConfigs: allConfigs)
            let out = StandardOutput()
            if json {
                try out.append { details.writeJSON(to: &$0) }
            } else {
                for line in details.lines { try out.print(line) }
            }
            try out.flush()
        }
    }
}

/// A topic with what its partitions hold and how it is set.
struct TopicDetails {
    let topic: ClusterMetadata.Topic
    /// Offsets of partitions that have a leader.
    let first: [TopicPartition: Int64]
    let end: [TopicPartition: Int64]
    let configs: [DescribeConfigsResponse.Config]

    init(_ topic: ClusterMetadata.Topic, _ admin: Admin, allConfigs: Bool) async throws(ClientError) {
        let led = topic.partitions.filter { $0.leader != nil }.map { TopicPartition(topic.name, $0.index) }
        self.topic = topic
        first = try await admin.offsets(Dictionary(led.map { ($0, .earliest) }) { $1 })
        end = try await admin.offsets(Dictionary(led.map { ($0, .latest) }) { $1 })
        configs = try await admin.describeConfigs(.topic(topic.name)).filter { allConfigs || ConfigOrigin($0) == .topic }
    }

    var lines: [String] {
        var lines = ["\(topic.name), id \(topic.id), \(topic.partitions.count) partition\(topic.partitions.count == 1 ? "" : "s")", ""]
        var table = TextTable("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "FIRST", "END", "OFFSETS")
        for partition in topic.partitions {
            let key = TopicPartition(topic.name, partition.index)
            let (first, end) = (first[key], end[key])
            let count = first.flatMap { first in end.map { Figures.count(Int($0 - first)) } }
            table.add(
                "\(partition.index)", partition.leader.map(String.init) ?? "none", "\(partition.leaderEpoch)",
                partition.replicas.map(String.init).joined(separator: ","),
                partition.inSyncReplicas.map(String.init).joined(separator: ","), first.map(String.init) ?? "-", end.map(String.init) ?? "-",
                count ?? "-")
        }
        lines += table.lines
        if !configs.isEmpty {
            var table = TextTable("SETTING", "VALUE")
            for config in configs { table.add(config.name, config.shownValue) }
            lines += [""] + table.lines
        }
        return lines
    }

    func writeJSON(to out: inout [UInt8]) {
        out.append(contentsOf: "{\"topic\":".utf8)
        JSONText.string(topic.name, to: &out)
        out.append(contentsOf: ",\"id\":\"\(topic.id)\",\"partitions\":[".utf8)
        out.append(
            contentsOf: topic.partitions.map { partition in
                let key = TopicPartition(topic.name, partition.index)
                return "{\"partition\":\(partition.index),\"leader\":\(partition.leader.map(String.init) ?? "null")"
                    + ",\"leader_epoch\":\(partition.leaderEpoch),\"replicas\":\(partition.replicas),\"in_sync\":\(partition.inSyncReplicas)"
                    + ",\"first_offset\":\(first[key].map(String.init) ?? "null"),\"end_offset\":\(end[key].map(String.init) ?? "null")}"
            }.joined(separator: ",").utf8)
        out.append(contentsOf: "],\"configs\":{".utf8)
        for (index, config) in configs.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            JSONText.string(config.name, to: &out)
            out.append(UInt8(ascii: ":"))
            JSONText.optional(config.value, to: &out)
        }
        out.append(contentsOf: "}}\n".utf8)
    }
}
