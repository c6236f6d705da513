/// Joins, stays in and leaves a group of the new protocol, and carries assignments (KIP-848).
///
/// Versions 0–1: 1 adds the subscription by regular expression and has the client make its member id (KIP-1082).
public struct ConsumerGroupHeartbeatRequest: Request {
    public typealias Response = ConsumerGroupHeartbeatResponse

    public static let key = ApiKey.consumerGroupHeartbeat
    public static let versions: ClosedRange<Int16> = 0...1

    public var groupID = ""
    public var memberID = ""
    /// 0 joins, −1 leaves, −2 leaves as a static member for a while.
    public var memberEpoch: Int32 = 0
    public var instanceID: String?
    public var rackID: String?
    /// In milliseconds, −1 when unchanged.
    public var rebalanceTimeoutMs: Int32 = -1
    /// Null when unchanged.
    public var subscribedTopicNames: [String]?
    public var subscribedTopicRegex: String?
    public var serverAssignor: String?
    /// What the member owns; null when unchanged.
    public var topicPartitions: [TopicPartitions]?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.string(&memberID)
        wire.int32(&memberEpoch)
        wire.string(&instanceID)
        wire.string(&rackID)
        wire.int32(&rebalanceTimeoutMs)
        wire.array(&subscribedTopicNames)
        wire.string(&subscribedTopicRegex, 1...)
        wire.string(&serverAssignor)
        wire.array(&topicPartitions)
        wire.tags()
    }

    public struct TopicPartitions: Fields {
        public var topicID = Uuid()
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.uuid(&topicID)
            wire.array(&partitions)
            wire.tags()
        }
    }
}

/// The answer to `ConsumerGroupHeartbeatRequest`.
public struct ConsumerGroupHeartbeatResponse: Message {
    public static let key = ApiKey.consumerGroupHeartbeat

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var memberID: String?
    /// 0 joins, −1 leaves, −2 leaves as a static member for a while.
    public var memberEpoch: Int32 = 0
    /// In milliseconds.
    public var heartbeatIntervalMs: Int32 = 0
    /// Null when unchanged.
    public var assignment: Assignment?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.string(&errorMessage)
        wire.string(&memberID)
        wire.int32(&memberEpoch)
        wire.int32(&heartbeatIntervalMs)
        wire.optional(&assignment)
        wire.tags()
    }

    public struct Assignment: Fields {
        public var topicPartitions: [TopicPartitions] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.array(&topicPartitions)
            wire.tags()
        }
    }

    public struct TopicPartitions: Fields {
        public var topicID = Uuid()
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.uuid(&topicID)
            wire.array(&partitions)
            wire.tags()
        }
    }
}
