/// Stores a group's offsets as part of a transaction (KIP-98).
///
/// Versions 0–5: 2 adds leader epochs (KIP-320), 3 is flexible and fences members (KIP-447), 4 may answer
/// TRANSACTION_ABORTABLE, 5 adds the group to the transaction implicitly (KIP-890).
public struct TxnOffsetCommitRequest: Request {
    public typealias Response = TxnOffsetCommitResponse

    public static let key = ApiKey.txnOffsetCommit
    public static let versions: ClosedRange<Int16> = 0...5

    public var transactionalID = ""
    public var groupID = ""
    public var producerID: Int64 = 0
    public var producerEpoch: Int16 = 0
    public var generationID: Int32 = -1
    public var memberID = ""
    /// For static membership (KIP-345).
    public var groupInstanceID: String?
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.string(&groupID)
        wire.int64(&producerID)
        wire.int16(&producerEpoch)
        wire.int32(&generationID, 3...)
        wire.string(&memberID, 3...)
        wire.string(&groupInstanceID, 3...)
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
            wire.int32(&committedLeaderEpoch, 2...)
            wire.string(&committedMetadata)
            wire.tags()
        }
    }
}

/// The answer to `TxnOffsetCommitRequest`.
public struct TxnOffsetCommitResponse: Message {
    public static let key = ApiKey.txnOffsetCommit

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&topics)
        wire.tags()
    }

    /// What became of offsets is said as it is outside of transactions.
    public typealias Topic = OffsetCommitResponse.Topic
}
