/// Creates topics.
///
/// Versions 2–7: 4 takes −1 partitions and replication factor as the broker's default (KIP-464), 5 is flexible and
/// returns the configs (KIP-525), 6 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599), 7 returns topic ids (KIP-516).
public struct CreateTopicsRequest: Request {
    public typealias Response = CreateTopicsResponse

    public static let key = ApiKey.createTopics
    public static let versions: ClosedRange<Int16> = 2...7

    public var topics: [Topic] = []
    public var timeoutMs: Int32 = 60000
    public var validateOnly = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
        wire.int32(&timeoutMs)
        wire.bool(&validateOnly)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        /// −1 for the broker's default.
        public var numPartitions: Int32 = 0
        /// −1 for the broker's default.
        public var replicationFactor: Int16 = 0
        public var assignments: [Assignment] = []
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.int32(&numPartitions)
            wire.int16(&replicationFactor)
            wire.array(&assignments)
            wire.array(&configs)
            wire.tags()
        }
    }

    public struct Assignment: Fields {
        public var partitionIndex: Int32 = 0
        public var brokerIDs: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.array(&brokerIDs)
            wire.tags()
        }
    }

    public struct Config: Fields {
        public var name = ""
        public var value: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.string(&value)
            wire.tags()
        }
    }
}

/// The answer to `CreateTopicsRequest`.
public struct CreateTopicsResponse: Message {
    public static let key = ApiKey.createTopics

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var topicID = Uuid()
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        /// Why the configs are not returned.
        public var topicConfigErrorCode = ErrorCode.none
        /// −1 for the broker's default.
        public var numPartitions: Int32 = -1
        /// −1 for the broker's default.
        public var replicationFactor: Int16 = -1
        /// Java's admin client throws where it is null and there is no error.
        public var configs: [Config]? = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.uuid(&topicID, 7...)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.int32(&numPartitions, 5...)
            wire.int16(&replicationFactor, 5...)
            wire.array(&configs, 5...)
            wire.tagged(0, &topicConfigErrorCode)
            wire.tags()
        }
    }

    public struct Config: Fields {
        public var name = ""
        public var value: String?
        public var readOnly = false
        /// 1 topic, 2 dynamic broker, 3 dynamic default, 4 static broker, 5 default (KIP-226).
        public var configSource: Int8 = -1
        public var isSensitive = false

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.string(&value)
            wire.bool(&readOnly)
            wire.int8(&configSource)
            wire.bool(&isSensitive)
            wire.tags()
        }
    }
}
