/// Stores a group's offsets.
///
/// Versions 2–9: 5 drops the retention time (KIP-211), 6 adds leader epochs (KIP-320), 7 static members (KIP-345),
/// 8 is flexible, 9 takes members of the new protocol (KIP-848).
public struct OffsetCommitRequest: Request {
    public typealias Response = OffsetCommitResponse

    public static let key = ApiKey.offsetCommit
    public static let versions: ClosedRange<Int16> = 2...9

    public var groupID = ""
    /// −1 from outside the group.
    public var generationIDOrMemberEpoch: Int32 = -1
    public var memberID = ""
    /// For static membership (KIP-345).
    public var groupInstanceID: String?
    /// In milliseconds, −1 for the broker's own.
    public var retentionTimeMs: Int64 = -1
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.int32(&generationIDOrMemberEpoch)
        wire.string(&memberID)
        wire.string(&groupInstanceID, 7...)
        wire.int64(&retentionTimeMs, ...4)
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
        public var committedOffset: Int64 = 0
        public var committedLeaderEpoch: Int32 = -1
        public var committedMetadata: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.int64(&committedOffset)
            wire.int32(&committedLeaderEpoch, 6...)
            wire.string(&committedMetadata)
            wire.tags()
        }
    }
}

/// The answer to `OffsetCommitRequest`.
public struct OffsetCommitResponse: Message {
    public static let key = ApiKey.offsetCommit

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 3...)
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

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
            wire.tags()
        }
    }
}
