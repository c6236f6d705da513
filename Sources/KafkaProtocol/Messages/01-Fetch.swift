/// Reads record batches of partitions, waiting for `minBytes`.
///
/// Versions 4–17: 5 adds the log start offset, 7 incremental fetch sessions (KIP-227), 9 leader epochs (KIP-320),
/// 11 rack ids (KIP-392), 12 is flexible, 13 has topic ids in place of names (KIP-516), 15 moves the replica's id
/// behind a tag (KIP-903), 16 names leaders' endpoints (KIP-951), 17 has directory ids (KIP-853).
public struct FetchRequest: Request {
    public typealias Response = FetchResponse

    public static let key = ApiKey.fetch
    public static let versions: ClosedRange<Int16> = 4...17

    public var clusterID: String?
    public var replicaID: Int32 = -1
    public var replicaState = ReplicaState()
    /// How long to wait for `minBytes`, in milliseconds.
    public var maxWaitMs: Int32 = 0
    public var minBytes: Int32 = 0
    public var maxBytes: Int32 = .max
    /// 0: read_uncommitted; 1: read_committed.
    public var isolationLevel: Int8 = 0
    /// 0 without a session (KIP-227).
    public var sessionID: Int32 = 0
    /// 0 opens a session, −1 is without or closes one (KIP-227).
    public var sessionEpoch: Int32 = -1
    public var topics: [Topic] = []
    /// Partitions to drop from the session (KIP-227).
    public var forgottenTopicsData: [ForgottenTopic] = []
    public var rackID = ""

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&replicaID, ...14)
        wire.int32(&maxWaitMs)
        wire.int32(&minBytes)
        wire.int32(&maxBytes)
        wire.int8(&isolationLevel)
        wire.int32(&sessionID, 7...)
        wire.int32(&sessionEpoch, 7...)
        wire.array(&topics)
        wire.array(&forgottenTopicsData, 7...)
        wire.string(&rackID, 11...)
        wire.tagged(0, &clusterID)
        wire.tagged(1, &replicaState, 15...)
        wire.tags()
    }

    public struct ReplicaState: Fields, Equatable {
        public var replicaID: Int32 = -1
        public var replicaEpoch: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&replicaID)
            wire.int64(&replicaEpoch)
            wire.tags()
        }
    }

    public struct Topic: Fields {
        public var topic = ""
        public var topicID = Uuid()
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic, ...12)
            wire.uuid(&topicID, 13...)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partition: Int32 = 0
        public var currentLeaderEpoch: Int32 = -1
        public var fetchOffset: Int64 = 0
        public var lastFetchedEpoch: Int32 = -1
        public var logStartOffset: Int64 = -1
        /// The first batch is delivered even when it is larger (KIP-74).
        public var partitionMaxBytes: Int32 = 0
        public var replicaDirectoryID = Uuid()

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partition)
            wire.int32(&currentLeaderEpoch, 9...)
            wire.int64(&fetchOffset)
            wire.int32(&lastFetchedEpoch, 12...)
            wire.int64(&logStartOffset, 5...)
            wire.int32(&partitionMaxBytes)
            wire.tagged(0, &replicaDirectoryID, 17...)
            wire.tags()
        }
    }

    public struct ForgottenTopic: Fields {
        public var topic = ""
        public var topicID = Uuid()
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic, ...12)
            wire.uuid(&topicID, 13...)
            wire.array(&partitions)
            wire.tags()
        }
    }
}

/// The answer to `FetchRequest`.
public struct FetchResponse: Message {
    public static let key = ApiKey.fetch

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// 0 without a session (KIP-227).
    public var sessionID: Int32 = 0
    public var responses: [Topic] = []
    public var nodeEndpoints: [NodeEndpoint] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode, 7...)
        wire.int32(&sessionID, 7...)
        wire.array(&responses)
        wire.tagged(0, &nodeEndpoints, 16...)
        wire.tags()
    }

    public struct Topic: Fields {
        public var topic = ""
        public var topicID = Uuid()
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic, ...12)
            wire.uuid(&topicID, 13...)
            wire.array(&partitions)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        /// One more than the last offset that readers may see.
        public var highWatermark: Int64 = 0
        /// Where the first open transaction begins, or the high watermark.
        public var lastStableOffset: Int64 = -1
        public var logStartOffset: Int64 = -1
        public var divergingEpoch = EpochEndOffset()
        public var currentLeader = Leader()
        public var snapshotID = SnapshotID()
        /// Null for read_uncommitted.
        public var abortedTransactions: [AbortedTransaction]?
        public var preferredReadReplica: Int32 = -1
        /// Record batches, back to back; a slice of what the response will be joined with.
        public var records: FrameSlice?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
            wire.int64(&highWatermark)
            wire.int64(&lastStableOffset)
            wire.int64(&logStartOffset, 5...)
            wire.array(&abortedTransactions)
            wire.int32(&preferredReadReplica, 11...)
            wire.slice(&records)
            wire.tagged(0, &divergingEpoch)
            wire.tagged(1, &currentLeader)
            wire.tagged(2, &snapshotID)
            wire.tags()
        }
    }

    public struct EpochEndOffset: Fields, Equatable {
        public var epoch: Int32 = -1
        public var endOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&epoch)
            wire.int64(&endOffset)
            wire.tags()
        }
    }

    public struct Leader: Fields, Equatable {
        public var leaderID: Int32 = -1
        public var leaderEpoch: Int32 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&leaderID)
            wire.int32(&leaderEpoch)
            wire.tags()
        }
    }

    public struct SnapshotID: Fields, Equatable {
        public var endOffset: Int64 = -1
        public var epoch: Int32 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int64(&endOffset)
            wire.int32(&epoch)
            wire.tags()
        }
    }

    public struct AbortedTransaction: Fields {
        public var producerID: Int64 = 0
        public var firstOffset: Int64 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int64(&producerID)
            wire.int64(&firstOffset)
            wire.tags()
        }
    }

    public struct NodeEndpoint: Fields, Equatable {
        public var nodeID: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var rack: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&nodeID)
            wire.string(&host)
            wire.int32(&port)
            wire.string(&rack)
            wire.tags()
        }
    }
}
