/// Metadata of topics, page by page (KIP-966).
///
/// Version 0.
public struct DescribeTopicPartitionsRequest: Request {
    public typealias Response = DescribeTopicPartitionsResponse

    public static let key = ApiKey.describeTopicPartitions
    public static let versions: ClosedRange<Int16> = 0...0

    public var topics: [Topic] = []
    public var responsePartitionLimit: Int32 = 2000
    /// Where to go on; null from the beginning.
    public var cursor: Cursor?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.int32(&responsePartitionLimit)
        wire.optional(&cursor)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.tags()
        }
    }

    public struct Cursor: Fields {
        public var topicName = ""
        public var partitionIndex: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topicName)
            wire.int32(&partitionIndex)
            wire.tags()
        }
    }
}

/// The answer to `DescribeTopicPartitionsRequest`.
public struct DescribeTopicPartitionsResponse: Message {
    public static let key = ApiKey.describeTopicPartitions

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []
    /// Null when this was the last page.
    public var nextCursor: Cursor?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&topics)
        wire.optional(&nextCursor)
        wire.tags()
    }

    public struct Topic: Fields {
        public var errorCode = ErrorCode.none
        public var name: String?
        public var topicID = Uuid()
        public var isInternal = false
        public var partitions: [Partition] = []
        public var topicAuthorizedOperations: Int32 = .min

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&name)
            wire.uuid(&topicID)
            wire.bool(&isInternal)
            wire.array(&partitions)
            wire.int32(&topicAuthorizedOperations)
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
        public var eligibleLeaderReplicas: [Int32]?
        public var lastKnownElr: [Int32]?
        public var offlineReplicas: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.int32(&partitionIndex)
            wire.int32(&leaderID)
            wire.int32(&leaderEpoch)
            wire.array(&replicaNodes)
            wire.array(&isrNodes)
            wire.array(&eligibleLeaderReplicas)
            wire.array(&lastKnownElr)
            wire.array(&offlineReplicas)
            wire.tags()
        }
    }

    public struct Cursor: Fields {
        public var topicName = ""
        public var partitionIndex: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topicName)
            wire.int32(&partitionIndex)
            wire.tags()
        }
    }
}
