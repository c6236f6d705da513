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
        discussion: "Settings that are the broker's defaults are left out unless --all-configs asks for them."
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
            let all = topic.partitions.map { TopicPartition(name, $0.index) }
            let first = try await admin.offsets(Dictionary(all.map { ($0, .earliest) }) { $1 })
            let end = try await admin.offsets(Dictionary(all.map { ($0, .latest) }) { $1 })
            let configs = try await admin.describeConfigs(.topic(name)).filter { allConfigs || ConfigOrigin($0) == .topic }
            let out = StandardOutput()
            if json {
                try out.append { writeJSON(topic, first, end, configs, to: &$0) }
            } else {
                for line in text(topic, first, end, configs) { try out.print(line) }
            }
            try out.flush()
        }
    }

    private func text(
        _ topic: ClusterMetadata.Topic, _ first: [TopicPartition: Int64], _ end: [TopicPartition: Int64],
        _ configs: [DescribeConfigsResponse.Config]
    ) -> [String] {
        var lines = ["\(topic.name), id \(topic.id), \(topic.partitions.count) partition\(topic.partitions.count == 1 ? "" : "s")", ""]
        var table = TextTable("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "FIRST", "END", "OFFSETS")
        for partition in topic.partitions {
            let key = TopicPartition(topic.name, partition.index)
            let (first, end) = (first[key] ?? 0, end[key] ?? 0)
            table.add(
                "\(partition.index)", partition.leader.map(String.init) ?? "none", "\(partition.leaderEpoch)",
                partition.replicas.map(String.init).joined(separator: ","),
                partition.inSyncReplicas.map(String.init).joined(separator: ","), "\(first)", "\(end)", Figures.count(Int(end - first)))
        }
        lines += table.lines
        if !configs.isEmpty {
            var table = TextTable("SETTING", "VALUE")
            for config in configs { table.add(config.name, config.shownValue) }
            lines += [""] + table.lines
        }
        return lines
    }

    private func writeJSON(
        _ topic: ClusterMetadata.Topic, _ first: [TopicPartition: Int64], _ end: [TopicPartition: Int64],
        _ configs: [DescribeConfigsResponse.Config], to out: inout [UInt8]
    ) {
        out.append(contentsOf: "{\"topic\":".utf8)
        JSONText.string(topic.name, to: &out)
        out.append(contentsOf: ",\"id\":\"\(topic.id)\",\"partitions\":[".utf8)
        out.append(
            contentsOf: topic.partitions.map { partition in
                let key = TopicPartition(topic.name, partition.index)
                return "{\"partition\":\(partition.index),\"leader\":\(partition.leader.map(String.init) ?? "null")"
                    + ",\"leader_epoch\":\(partition.leaderEpoch),\"replicas\":\(partition.replicas),\"in_sync\":\(partition.inSyncReplicas)"
                    + ",\"first_offset\":\(first[key] ?? 0),\"end_offset\":\(end[key] ?? 0)}"
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
