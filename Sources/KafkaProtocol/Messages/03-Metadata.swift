/// Who are the brokers, and where are the partitions?
///
/// Versions 0–13: 1 makes null (not empty) topics mean all and adds the controller, 4 `allowAutoTopicCreation`,
/// 5 offline replicas, 7 leader epochs, 8 authorized operations (KIP-430), 9 is flexible, 10 and 12 topic ids (KIP-516),
/// 11 drops the cluster's authorized operations (KIP-700), 13 adds an error code for the whole (KIP-1102).
public struct MetadataRequest: Request {
    public typealias Response = MetadataResponse

    public static let key = ApiKey.metadata
    public static let versions: ClosedRange<Int16> = 0...13

    /// Null for all, in every version (version 0 says so with an empty array).
    public var topics: [Topic]?
    public var allowAutoTopicCreation = true
    public var includeClusterAuthorizedOperations = false
    public var includeTopicAuthorizedOperations = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics, nullable: 1...)
        if wire.version == 0, topics?.isEmpty == true { topics = nil }
        wire.bool(&allowAutoTopicCreation, 4...)
        wire.bool(&includeClusterAuthorizedOperations, 8...10)
        wire.bool(&includeTopicAuthorizedOperations, 8...)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topicID = Uuid()
        public var name: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.uuid(&topicID, 10...)
            wire.string(&name, nullable: 10...)
            wire.tags()
        }
    }
}

/// The answer to `MetadataRequest`.
public struct MetadataResponse: Message {
    public static let key = ApiKey.metadata

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var brokers: [Broker] = []
    public var clusterID: String?
    public var controllerID: Int32 = -1
    public var topics: [Topic] = []
    /// A bit set of ACL operations, `Int32.min` when not asked for (KIP-430).
    public var clusterAuthorizedOperations: Int32 = .min
    public var errorCode = ErrorCode.none

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 3...)
        wire.array(&brokers)
        wire.string(&clusterID, 2...)
        wire.int32(&controllerID, 1...)
        wire.array(&topics)
        wire.int32(&clusterAuthorizedOperations, 8...10)
        wire.error(&errorCode, 13...)
        wire.tags()
    }

    public struct Broker: Fields {
        public var nodeID: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var rack: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&nodeID)
            wire.string(&host)
            wire.int32(&port)
            wire.string(&rack, 1...)
            wire.tags()
        }
    }

    public struct Topic: Fields {
        public var errorCode = ErrorCode.none
        public var name: String?
        public var topicID = Uuid()
        public var isInternal = false
        public var partitions: [Partition] = []
        /// A bit set of ACL operations, `Int32.min` when not asked for (KIP-430).
        public var topicAuthorizedOperations: Int32 = .min

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&name, nullable: 12...)
            wire.uuid(&topicID, 10...)
            wire.bool(&isInternal, 1...)
            wire.array(&partitions)
            wire.int32(&topicAuthorizedOperations, 8...)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var errorCode = ErrorCode.none
        public var partitionIndex: Int32 = 0
        public var leaderID: Int32 = 0
        public var leaderEpoch: Int32 = -1
        public var replicaNodes: [Int32] = []
        public var isrNodes: [Int32] = []
        public var offlineReplicas: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.int32(&partitionIndex)
            wire.int32(&leaderID)
            wire.int32(&leaderEpoch, 7...)
            wire.array(&replicaNodes)
            wire.array(&isrNodes)
            wire.array(&offlineReplicas, 5...)
            wire.tags()
        }
    }
}
