public import KafkaProtocol

/// A topic and the number of one of its partitions.
public struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
    public var topic: String
    public var partition: Int32

    public init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    public var description: String { "\(topic)-\(partition)" }
}

/// What a cluster has told about itself, last time it was asked.
public struct ClusterMetadata: Sendable {
    public struct Partition: Sendable {
        public var index: Int32
        /// The broker that takes its reads and writes; nil while there is none.
        public var leader: Int32?
        /// Counts the changes of leader (KIP-101); −1 where brokers do not tell, or not reliably (before Kafka 2.4).
        public var leaderEpoch: Int32
        public var replicas: [Int32]
        public var inSyncReplicas: [Int32]
    }

    public struct Topic: Sendable {
        public var name: String
        /// Zero from brokers that know no topic ids (KIP-516).
        public var id: Uuid
        public var isInternal: Bool
        /// In order of their numbers, which count from 0.
        public var partitions: [Partition]
        /// Why there is no more to say about the topic.
        public var error: ErrorCode
    }

    public internal(set) var clusterID: String?
    public internal(set) var controller: Int32?
    public internal(set) var brokers: [Int32: BrokerAddress] = [:]
    public internal(set) var topics: [String: Topic] = [:]
    /// Counts the answers merged so far.
    public internal(set) var revision = 0

    /// The broker that leads a partition, or nil while that is not known.
    public func leader(of partition: TopicPartition) -> Int32? { facts(of: partition)?.leader }

    func facts(of partition: TopicPartition) -> Partition? {
        guard let topic = topics[partition.topic], topic.partitions.indices.contains(Int(partition.partition)) else { return nil }
        return topic.partitions[Int(partition.partition)]
    }

    /// Takes over an answer of some version: all that it says about brokers, and the topics that it names.
    mutating func merge(_ response: MetadataResponse, version: Int16) {
        revision += 1
        clusterID = response.clusterID ?? clusterID
        controller = response.controllerID >= 0 ? response.controllerID : nil
        if !response.brokers.isEmpty {
            brokers = [:]
            for broker in response.brokers { brokers[broker.nodeID] = BrokerAddress(host: broker.host, port: Int(broker.port)) }
        }
        for topic in response.topics {
            guard let name = topic.name else { continue }
            topics[name] = Topic(topic, name: name, hasEpochs: version >= 9)
        }
    }
}

extension ClusterMetadata.Topic {
    init(_ topic: MetadataResponse.Topic, name: String, hasEpochs: Bool) {
        self.init(
            name: name, id: topic.topicID, isInternal: topic.isInternal,
            partitions: topic.partitions.sorted { $0.partitionIndex < $1.partitionIndex }.map {
                ClusterMetadata.Partition(
                    index: $0.partitionIndex, leader: $0.leaderID >= 0 ? $0.leaderID : nil, leaderEpoch: hasEpochs ? $0.leaderEpoch : -1,
                    replicas: $0.replicaNodes, inSyncReplicas: $0.isrNodes)
            },
            error: topic.errorCode)
    }
}
