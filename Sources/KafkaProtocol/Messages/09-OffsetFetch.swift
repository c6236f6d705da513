/// Reads the offsets that groups have committed.
///
/// Versions 1–9: 2 takes null topics for all and has an error code for the whole, 5 adds leader epochs (KIP-320),
/// 6 is flexible, 7 may wait for transactions (KIP-447), 8 asks for several groups (KIP-709), 9 takes members of the
/// new protocol (KIP-848).
public struct OffsetFetchRequest: Request {
    public typealias Response = OffsetFetchResponse

    public static let key = ApiKey.offsetFetch
    public static let versions: ClosedRange<Int16> = 1...9

    public var groupID = ""
    /// Null for all; in versions to 7.
    public var topics: [Topic]? = []
    /// From version 8 on.
    public var groups: [Group] = []
    /// Answer UNSTABLE_OFFSET_COMMIT while a transaction holds an offset (KIP-447).
    public var requireStable = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID, ...7)
        if wire.version <= 7 { wire.array(&topics, nullable: 2...) }
        wire.array(&groups, 8...)
        wire.bool(&requireStable, 7...)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitionIndexes)
            wire.tags()
        }
    }

    public struct Group: Fields {
        public var groupID = ""
        public var memberID: String?
        public var memberEpoch: Int32 = -1
        /// Null for all.
        public var topics: [GroupTopic]? = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&groupID)
            wire.string(&memberID, 9...)
            wire.int32(&memberEpoch, 9...)
            wire.array(&topics)
            wire.tags()
        }
    }

    public struct GroupTopic: Fields {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitionIndexes)
            wire.tags()
        }
    }
}

/// The answer to `OffsetFetchRequest`.
public struct OffsetFetchResponse: Message {
    public static let key = ApiKey.offsetFetch

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []
    public var errorCode = ErrorCode.none
    /// From version 8 on.
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 3...)
        wire.array(&topics, ...7)
        wire.error(&errorCode, 2...7)
        wire.array(&groups, 8...)
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
        /// −1 for none.
        public var committedOffset: Int64 = 0
        public var committedLeaderEpoch: Int32 = -1
        public var metadata: String?
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&committedOffset)
            wire.int32(&committedLeaderEpoch, 5...)
            wire.string(&metadata)
            wire.error(&errorCode)
            wire.tags()
        }
    }

    public struct Group: Fields {
        public var groupID = ""
        public var topics: [GroupTopic] = []
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&groupID)
            wire.array(&topics)
            wire.error(&errorCode)
            wire.tags()
        }
    }

    public struct GroupTopic: Fields {
        public var name = ""
        public var partitions: [GroupPartition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct GroupPartition: Fields {
        public var partitionIndex: Int32 = 0
        /// −1 for none.
        public var committedOffset: Int64 = 0
        public var committedLeaderEpoch: Int32 = -1
        public var metadata: String?
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&committedOffset)
            wire.int32(&committedLeaderEpoch)
            wire.string(&metadata)
            wire.error(&errorCode)
            wire.tags()
        }
    }
}
