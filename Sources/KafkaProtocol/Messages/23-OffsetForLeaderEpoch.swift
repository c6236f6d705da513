/// Where does a leader epoch end? (KIP-101, KIP-320)
///
/// Versions 2–4: 3 adds the replica id, 4 is flexible.
public struct OffsetForLeaderEpochRequest: Request {
    public typealias Response = OffsetForLeaderEpochResponse

    public static let key = ApiKey.offsetForLeaderEpoch
    public static let versions: ClosedRange<Int16> = 2...4

    /// −1 for a consumer, −2 for a debugging one.
    public var replicaID: Int32 = -2
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&replicaID, 3...)
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topic = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partition: Int32 = 0
        public var currentLeaderEpoch: Int32 = -1
        public var leaderEpoch: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partition)
            wire.int32(&currentLeaderEpoch)
            wire.int32(&leaderEpoch)
            wire.tags()
        }
    }
}

/// The answer to `OffsetForLeaderEpochRequest`.
public struct OffsetForLeaderEpochResponse: Message {
    public static let key = ApiKey.offsetForLeaderEpoch

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
        public var topic = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var errorCode = ErrorCode.none
        public var partition: Int32 = 0
        public var leaderEpoch: Int32 = -1
        public var endOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.int32(&partition)
            wire.int32(&leaderEpoch)
            wire.int64(&endOffset)
            wire.tags()
        }
    }
}
