/// Finds offsets by timestamp, or the ends of a log.
///
/// Versions 1–10: 2 adds the isolation level, 4 leader epochs (KIP-320), 6 is flexible, 7 max timestamp (KIP-734),
/// 8 local log start and 9 last tiered offset (KIP-405, KIP-1005), 10 a timeout for remote lookups (KIP-1075).
public struct ListOffsetsRequest: Request {
    public typealias Response = ListOffsetsResponse

    public static let key = ApiKey.listOffsets
    public static let versions: ClosedRange<Int16> = 1...10

    public var replicaID: Int32 = 0
    /// 0: read_uncommitted; 1: read_committed.
    public var isolationLevel: Int8 = 0
    public var topics: [Topic] = []
    public var timeoutMs: Int32 = 0

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&replicaID)
        wire.int8(&isolationLevel, 2...)
        wire.array(&topics)
        wire.int32(&timeoutMs, 10...)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var currentLeaderEpoch: Int32 = -1
        /// Milliseconds since the epoch, or −1 latest, −2 earliest, −3 max timestamp, −4 earliest local, −5 latest tiered.
        public var timestamp: Int64 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int32(&currentLeaderEpoch, 4...)
            wire.int64(&timestamp)
            wire.tags()
        }
    }
}

/// The answer to `ListOffsetsRequest`.
public struct ListOffsetsResponse: Message {
    public static let key = ApiKey.listOffsets

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 2...)
        wire.array(&topics)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        public var timestamp: Int64 = -1
        public var offset: Int64 = -1
        public var leaderEpoch: Int32 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
            wire.int64(&timestamp)
            wire.int64(&offset)
            wire.int32(&leaderEpoch, 4...)
            wire.tags()
        }
    }
}
