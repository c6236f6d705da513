/// Shows groups of the new protocol (KIP-848).
///
/// Versions 0–1: 1 tells members of the classic protocol from the others (KIP-1099).
public struct ConsumerGroupDescribeRequest: Request {
    public typealias Response = ConsumerGroupDescribeResponse

    public static let key = ApiKey.consumerGroupDescribe
    public static let versions: ClosedRange<Int16> = 0...1

    public var groupIDs: [String] = []
    public var includeAuthorizedOperations = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&groupIDs)
        wire.bool(&includeAuthorizedOperations)
        wire.tags()
    }
}

/// The answer to `ConsumerGroupDescribeRequest`.
public struct ConsumerGroupDescribeResponse: Message {
    public static let key = ApiKey.consumerGroupDescribe

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&groups)
        wire.tags()
    }

    public struct Group: Fields {
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        public var groupID = ""
        public var groupState = ""
        public var groupEpoch: Int32 = 0
        public var assignmentEpoch: Int32 = 0
        public var assignorName = ""
        public var members: [Member] = []
        /// A bit set of ACL operations, `Int32.min` when not asked for (KIP-430).
        public var authorizedOperations: Int32 = .min

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.string(&groupID)
            wire.string(&groupState)
            wire.int32(&groupEpoch)
            wire.int32(&assignmentEpoch)
            wire.string(&assignorName)
            wire.array(&members)
            wire.int32(&authorizedOperations)
            wire.tags()
        }
    }

    public struct Member: Fields {
        public var memberID = ""
        public var instanceID: String?
        public var rackID: String?
        public var memberEpoch: Int32 = 0
        public var clientID = ""
        public var clientHost = ""
        public var subscribedTopicNames: [String] = []
        public var subscribedTopicRegex: String?
        public var assignment = Assignment()
        public var targetAssignment = Assignment()
        /// −1 unknown, 0 classic, 1 consumer.
        public var memberType: Int8 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.string(&instanceID)
            wire.string(&rackID)
            wire.int32(&memberEpoch)
            wire.string(&clientID)
            wire.string(&clientHost)
            wire.array(&subscribedTopicNames)
            wire.string(&subscribedTopicRegex)
            assignment.fields(&wire)
            targetAssignment.fields(&wire)
            wire.int8(&memberType, 1...)
            wire.tags()
        }
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
        public var topicName = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.uuid(&topicID)
            wire.string(&topicName)
            wire.array(&partitions)
            wire.tags()
        }
    }
}
