import ArgumentParser
import KafkaClient
import KafkaProtocol

/// `lmbroker cluster`: who the brokers are, what they lead, and how much they hold.
struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "Show a cluster's brokers, what they lead and how much they hold.",
        discussion: """
            RECORDS is the size of the record batches; the file that an lmbroker keeps them in also has free pages, which
            `lmbroker stat` shows beside those who hold snapshots of it. FREE is what the file system has left.
            """)

    @OptionGroup var client: ClientOptions

    @Flag(help: "Write one object of JSON.")
    var json = false

    /// A broker and what it says of itself.
    private struct Row {
        var id: Int32
        var address: BrokerAddress
        var leaderCount: Int
        var replicaCount: Int
        var directories: Result<[LogDirectory], ClientError>

        /// Something of it is not known, or not in order.
        var isLacking: Bool {
            guard case .success(let directories) = directories else { return true }
            return directories.contains { $0.error != .none }
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let admin = Admin(cluster)
            let topics = try await admin.topics()
            let metadata = cluster.metadata
            let partitions = topics.flatMap(\.partitions)
            var rows: [Row] = []
            for (id, address) in metadata.brokers.sorted(by: { $0.key < $1.key }) {
                let directories: Result<[LogDirectory], ClientError>
                do throws(ClientError) { directories = .success(try await admin.logDirectories(of: id)) } catch { directories = .failure(error) }
                rows.append(
                    Row(
                        id: id, address: address, leaderCount: partitions.count { $0.leader == id },
                        replicaCount: partitions.count { $0.replicas.contains(id) }, directories: directories))
            }
            let out = StandardOutput()
            if json {
                try out.append { writeJSON(metadata, topics.count, partitions.count, rows, to: &$0) }
            } else {
                for line in text(metadata, topics.count, partitions.count, rows) { try out.print(line) }
            }
            try out.flush()
            if rows.contains(where: \.isLacking) { throw Outcome.refused }
        }
    }

    private func text(_ metadata: ClusterMetadata, _ topicCount: Int, _ partitionCount: Int, _ rows: [Row]) -> [String] {
        let size = { (byteCount: Int64?) in byteCount.map { Figures.bytes(Double($0)) } ?? "-" }
        var table = TextTable("BROKER", "ADDRESS", "LEADS", "REPLICAS", "RECORDS", "FREE", "DIRECTORY")
        for row in rows {
            let id = row.id == metadata.controller ? "\(row.id) (controller)" : "\(row.id)"
            let counts = [Figures.count(row.leaderCount), Figures.count(row.replicaCount)]
            let add = { (records: String, free: String, directory: String) in
                table.add(id, "\(row.address)", counts[0], counts[1], records, free, directory)
            }
            switch row.directories {
            case .failure(let error): add("-", "-", "(\(error))")
            case .success(let directories):
                // A broker does not name them to who may not see them.
                if directories.isEmpty { add("-", "-", "(none is named)") }
                for directory in directories {
                    if directory.error == .none {
                        add(size(directory.byteCount), size(directory.usableByteCount), directory.path)
                    } else {
                        add("-", size(directory.usableByteCount), "\(directory.path) (\(directory.error))")
                    }
                }
            }
        }
        return [
            "cluster \(metadata.clusterID ?? "without an id"), \(Figures.count(topicCount)) topics, \(Figures.count(partitionCount)) partitions", "",
        ] + table.lines
    }

    private func writeJSON(_ metadata: ClusterMetadata, _ topicCount: Int, _ partitionCount: Int, _ rows: [Row], to out: inout [UInt8]) {
        let number = { (value: Int64?) in value.map(String.init) ?? "null" }
        out += "{\"cluster_id\":".utf8
        JSONText.string(metadata.clusterID ?? "", to: &out)
        out += ",\"controller\":\(number(metadata.controller.map(Int64.init))),\"topics\":\(topicCount),\"partitions\":\(partitionCount),\"brokers\":[".utf8
        for (index, row) in rows.enumerated() {
            out += "\(index > 0 ? "," : ""){\"id\":\(row.id),\"address\":".utf8
            JSONText.string("\(row.address)", to: &out)
            out += ",\"leads\":\(row.leaderCount),\"replicas\":\(row.replicaCount),\"directories\":".utf8
            let directories: [LogDirectory]
            switch row.directories {
            case .success(let found): directories = found
            case .failure(let error):
                out += "null,\"error\":".utf8
                JSONText.string("\(error)", to: &out)
                out += "}".utf8
                continue
            }
            out += "[".utf8
            for (index, directory) in directories.enumerated() {
                out += "\(index > 0 ? "," : ""){\"path\":".utf8
                JSONText.string(directory.path, to: &out)
                if directory.error != .none {
                    out += ",\"error\":".utf8
                    JSONText.string("\(directory.error)", to: &out)
                }
                out +=
                    ",\"record_bytes\":\(directory.error == .none ? "\(directory.byteCount)" : "null"),\"total_bytes\":\(number(directory.totalByteCount)),\"free_bytes\":\(number(directory.usableByteCount))}"
                    .utf8
            }
            out += "]}".utf8
        }
        out += "]}\n".utf8
    }
}
