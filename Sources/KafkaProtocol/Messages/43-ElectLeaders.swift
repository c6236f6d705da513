/// Has leaders elected anew (KIP-460).
///
/// Versions 0–2: 1 names the kind of election and has an error of its own, 2 is flexible.
public struct ElectLeadersRequest: Request {
    public typealias Response = ElectLeadersResponse

    public static let key = ApiKey.electLeaders
    public static let versions: ClosedRange<Int16> = 0...2

    /// 0 for the preferred leader, 1 for any replica where no leader is left.
    public var electionType: Int8 = 0
    /// Null for all.
    public var topicPartitions: [Topic]? = []
    public var timeoutMs: Int32 = 60_000

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int8(&electionType, 1...)
        wire.array(&topicPartitions)
        wire.int32(&timeoutMs)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topic = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
            wire.tags()
        }
    }
}

/// The answer to `ElectLeadersRequest`.
public struct ElectLeadersResponse: Message {
    public static let key = ApiKey.electLeaders

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var replicaElectionResults: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode, 1...)
        wire.array(&replicaElectionResults)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topic = ""
        public var partitionResult: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitionResult)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionID: Int32 = 0
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionID)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.tags()
        }
    }
}
