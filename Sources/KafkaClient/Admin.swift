public import KafkaProtocol
import NIOCore

/// Administration of a cluster: topics, their settings and records, and the cluster itself.
///
/// Each call is tried again while the cluster says that it may succeed later, and throws what the broker objects to. Where the answer
/// to something that cannot be done twice was lost, that may be that it is done already, as with Kafka's own clients: a topic or a
/// group made or deleted, partitions added, a transaction aborted.
public struct Admin: Sendable {
    let cluster: Cluster
    /// How long a broker may take for a change, in milliseconds.
    var timeoutMs: Int32 = 30_000
    /// How much longer than other answers that of such a change is waited for.
    var patience: TimeAmount { .milliseconds(Int64(timeoutMs)) }

    public init(_ cluster: Cluster) { self.cluster = cluster }

    // MARK: Topics

    /// Creates a topic.
    ///
    /// - Parameters:
    ///   - partitions: Nil for the broker's default, as for `replicationFactor`.
    ///   - validateOnly: Only finds out whether it could be created.
    @discardableResult
    public func createTopic(
        _ name: String, partitions: Int32? = nil, replicationFactor: Int16? = nil, configs: [String: String] = [:],
        validateOnly: Bool = false
    ) async throws(ClientError) -> CreateTopicsResponse.Topic {
        let request = CreateTopicsRequest {
            $0.timeoutMs = timeoutMs
            $0.validateOnly = validateOnly
            $0.topics = [
                CreateTopicsRequest.Topic {
                    $0.name = name
                    $0.numPartitions = partitions ?? -1
                    $0.replicationFactor = replicationFactor ?? -1
                    $0.configs = configs.sorted { $0.key < $1.key }.map { config in
                        CreateTopicsRequest.Config { ($0.name, $0.value) = (config.key, config.value) }
                    }
                }
            ]
        }
        return try await atController { (connection) async throws(ClientError) in
            guard let topic = try await connection.call(request, holding: patience).topics.first else { throw Self.silent(connection) }
            try check(topic.errorCode, topic.errorMessage, "the topic \(name) cannot be created")
            return topic
        }
    }

    /// All topics, by name; internal ones included.
    public func topics() async throws(ClientError) -> [ClusterMetadata.Topic] {
        try await cluster.retrying { () async throws(ClientError) in
            try await cluster.refresh(nil).topics.values.sorted { $0.name < $1.name }
        }
    }

    /// One topic, or nil if there is none of that name.
    public func topic(_ name: String) async throws(ClientError) -> ClusterMetadata.Topic? {
        try await cluster.retrying { () async throws(ClientError) in
            guard let topic = try await cluster.refresh([name]).topics[name], topic.error != .unknownTopicOrPartition else { return nil }
            try check(topic.error, nil, "the topic \(name) cannot be described")
            return topic
        }
    }

    public func deleteTopic(_ name: String) async throws(ClientError) {
        let request = DeleteTopicsRequest {
            $0.timeoutMs = timeoutMs
            $0.topics = [DeleteTopicsRequest.Topic { $0.name = name }]
            $0.topicNames = [name]
        }
        try await atController { (connection) async throws(ClientError) in
            guard let topic = try await connection.call(request, holding: patience).responses.first else { throw Self.silent(connection) }
            if topic.errorCode == .unknownTopicOrPartition { throw ClientError.invalid("there is no topic \(name)") }
            try check(topic.errorCode, topic.errorMessage, "the topic \(name) cannot be deleted")
        }
    }

    /// Raises the number of partitions of a topic to `total`.
    /// - Parameter validateOnly: only ask whether that would be done.
    public func createPartitions(of name: String, total: Int32, validateOnly: Bool = false) async throws(ClientError) {
        let request = CreatePartitionsRequest {
            $0.timeoutMs = timeoutMs
            $0.validateOnly = validateOnly
            $0.topics = [
                CreatePartitionsRequest.Topic {
                    ($0.name, $0.count) = (name, total)
                    $0.assignments = nil
                }
            ]
        }
        try await atController { (connection) async throws(ClientError) in
            guard let topic = try await connection.call(request, holding: patience).results.first else { throw Self.silent(connection) }
            if topic.errorCode == .unknownTopicOrPartition { throw ClientError.invalid("there is no topic \(name)") }
            try check(topic.errorCode, topic.errorMessage, "the topic \(name) cannot be given \(total) partitions")
        }
    }

    /// What the cluster knows of its brokers, asked now.
    public func describeCluster() async throws(ClientError) -> ClusterMetadata {
        try await cluster.retrying { () async throws(ClientError) in try await cluster.refresh([]) }
    }

    // MARK: Common

    /// Does `operation` at the controller, and again at the new one when it has moved.
    func atController<Result>(
        _ operation: (Connection) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        try await retrying { () async throws(ClientError) in try await operation(try await cluster.controller()) }
    }

    /// Does `operation` at a broker by its id, for what only that one knows.
    func atBroker<Result>(
        _ id: Int32, _ operation: (Connection) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        var lastSeen: BrokerAddress?
        return try await retrying { () async throws(ClientError) in
            if lastSeen == nil, cluster.metadata.brokers[id] == nil { try await cluster.refresh([]) }
            // While it starts anew, the others may not list it.
            lastSeen = cluster.metadata.brokers[id] ?? lastSeen
            let connection = if let lastSeen { try await cluster.connection(to: lastSeen) } else { try await cluster.connection(to: id) }
            return try await operation(connection)
        }
    }

    /// Does `operation` again while it may succeed later, and asks anew where the brokers are when one did not answer, or says that
    /// another is the controller.
    private func retrying<Result>(_ operation: () async throws(ClientError) -> Result) async throws(ClientError) -> Result {
        try await cluster.retrying { () async throws(ClientError) in
            do throws(ClientError) { return try await operation() } catch {
                let mayBeElsewhere = error.code == nil ? error.isRetriable : error.code == .notController
                // Who knows no broker yet has just asked all there are.
                if mayBeElsewhere, cluster.metadata.revision > 0 { _ = try? await cluster.refresh([]) }
                throw error
            }
        }
    }

    func check(_ code: ErrorCode, _ message: String?, _ sentence: String) throws(ClientError) {
        guard code != .none else { return }
        throw .broker(code, message.map { "\(sentence): \($0)" } ?? sentence)
    }

    static func silent(_ connection: Connection) -> ClientError {
        .malformed("\(connection.address) did not say what came of the request")
    }
}
