internal import KafkaProtocol
internal import Store

/// Decides what topics a request creates. A value for one request: it counts partitions as they are granted, and sees
/// names of the same request collide.
struct TopicCreation {
    /// A topic that may be created.
    struct Plan {
        let name: String
        let partitionCount: Int
        let configs: [String: String]

        var operation: AdminOperation { .createTopic(name: name, id: nil, partitionCount: partitionCount, configs: configs) }
    }

    private let configuration: BrokerConfiguration
    private let store: Store
    private var partitionCount: Int
    private var partitionsLeft: Int
    /// Existing and planned names by their folded form; made when the first name that can collide is looked at.
    private var folded: [String: String]?

    init(_ broker: BrokerContext) {
        configuration = broker.configuration.current
        store = broker.store
        partitionCount = 0
        partitionsLeft = configuration.requestPartitionsMax
    }

    mutating func plan(_ topic: CreateTopicsRequest.Topic) throws(Refusal) -> Plan {
        try checkName(topic.name)
        let count = try partitions(topic)
        var configs: [String: String] = [:]
        for config in topic.configs {
            guard let value = config.value else {
                throw Refusal(.invalidConfig, "Null value not supported for topic config \(config.name).")
            }
            configs[config.name] = value
        }
        do throws(ConfigurationRefusal) {
            try AlterableConfigs.topic.validate(configs) { configuration.layers.describeTopic(overrides: [:], [$0]).first?.value }
        } catch {
            throw Refusal(error)
        }
        try grant(count)
        return Plan(name: topic.name, partitionCount: count, configs: configs)
    }

    /// A topic that a client asked about and that does not exist.
    mutating func planOnFirstUse(_ name: String) throws(Refusal) -> Plan {
        // Who looks into them is better told that they are not here than shown an empty one.
        if ["__consumer_offsets", "__transaction_state"].contains(name) { throw Refusal(.unknownTopicOrPartition, "There is no topic '\(name)'.") }
        try checkName(name)
        try grant(Int(configuration.partitionCount))
        return Plan(name: name, partitionCount: Int(configuration.partitionCount), configs: [:])
    }

    private mutating func checkName(_ name: String) throws(Refusal) {
        if let complaint = TopicName.complaint(about: name) { throw Refusal(.invalidTopicException, complaint) }
        if store.topic(named: name) != nil { throw Refusal(.topicAlreadyExists, "Topic '\(name)' already exists.") }
        guard TopicName.canCollide(name) else { return }
        if folded == nil {
            let names = store.topicsInAnyOrder().lazy.map(\.name).filter(TopicName.canCollide)
            folded = Dictionary(names.map { (TopicName.folded($0), $0) }, uniquingKeysWith: { first, _ in first })
        }
        let form = TopicName.folded(name)
        if let other = folded?[form], other != name {
            throw Refusal(.invalidTopicException, "Topic '\(name)' collides with existing topic: \(other)")
        }
        folded?[form] = name
    }

    // MARK: Partitions and replicas

    private func partitions(_ topic: CreateTopicsRequest.Topic) throws(Refusal) -> Int {
        guard topic.assignments.isEmpty else { return try assigned(topic) }
        guard topic.replicationFactor == -1 || topic.replicationFactor > 0 else {
            throw Refusal(.invalidReplicationFactor, "Replication factor was set to an invalid non-positive value.")
        }
        guard topic.replicationFactor <= 1 else {
            throw Refusal(
                .invalidReplicationFactor,
                "The replication factor of \(topic.replicationFactor) cannot be reached because there is 1 broker.")
        }
        guard topic.numPartitions == -1 || topic.numPartitions > 0 else {
            throw Refusal(.invalidPartitions, "Number of partitions was set to an invalid non-positive value.")
        }
        return Int(topic.numPartitions == -1 ? configuration.partitionCount : topic.numPartitions)
    }

    private func assigned(_ topic: CreateTopicsRequest.Topic) throws(Refusal) -> Int {
        guard topic.replicationFactor == -1 else {
            throw Refusal(.invalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
        }
        guard topic.numPartitions == -1 else {
            throw Refusal(.invalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
        }
        guard Set(topic.assignments.map(\.partitionIndex)) == Set(0..<Int32(topic.assignments.count)) else {
            throw Refusal(.invalidReplicaAssignment, "The partitions of a manual assignment must be numbered from 0 on without a gap.")
        }
        for assignment in topic.assignments { try Self.check(assignment.brokerIDs, nodeID: configuration.nodeID) }
        return topic.assignments.count
    }

    /// Whether a partition can be placed on these brokers: on this one, once.
    static func check(_ brokers: [Int32], nodeID: Int32) throws(Refusal) {
        guard !brokers.isEmpty else {
            throw Refusal(.invalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
        }
        if let other = brokers.first(where: { $0 != nodeID }) {
            throw Refusal(
                .invalidReplicaAssignment, "The manual partition assignment includes broker \(other), but no such broker is registered.")
        }
        guard brokers.count == 1 else {
            throw Refusal(.invalidReplicaAssignment, "The manual partition assignment includes the broker \(nodeID) more than once.")
        }
    }

    /// Counts `count` new partitions against what one request and the broker may hold.
    mutating func grant(_ count: Int) throws(Refusal) {
        guard count <= partitionsLeft else {
            throw Refusal(
                .invalidPartitions,
                "One request creates at most \(configuration.requestPartitionsMax) partitions (lmbroker.request.partitions.max).")
        }
        if partitionCount == 0 { partitionCount = store.partitionCount }
        guard partitionCount + count <= configuration.partitionsMax else {
            throw Refusal(
                .invalidPartitions,
                "The broker holds \(partitionCount) of at most \(configuration.partitionsMax) partitions (lmbroker.partitions.max).")
        }
        partitionCount += count
        partitionsLeft -= count
    }
}
