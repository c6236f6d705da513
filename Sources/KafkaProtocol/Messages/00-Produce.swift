/// Appends record batches to partitions.
///
/// Versions 3–12: 5 adds the log start offset, 8 the errors of single records (KIP-467), 9 is flexible, 10 names the
/// current leader (KIP-951), 11 as 10, 12 adds partitions to the transaction implicitly (KIP-890).
/// Deviation: versions 0–2 are advertised, as Kafka 4 does for old librdkafka, and refused.
public struct ProduceRequest: Request {
    public typealias Response = ProduceResponse

    public static let key = ApiKey.produce
    public static let versions: ClosedRange<Int16> = 3...12

    public var transactionalID: String?
    /// 0: none and no response; 1: the leader; −1: all in-sync replicas.
    public var acks: Int16 = 0
    /// How long to wait for the acknowledgements, in milliseconds.
    public var timeoutMs: Int32 = 0
    public var topicData: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.int16(&acks)
        wire.int32(&timeoutMs)
        wire.array(&topicData)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitionData: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitionData)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var index: Int32 = 0
        /// Record batches, back to back, in the request's frame.
        public var records: FrameSlice?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&index)
            wire.slice(&records)
            wire.tags()
        }
    }
}

/// The answer to `ProduceRequest`.
public struct ProduceResponse: Message {
    public static let key = ApiKey.produce

    public var responses: [Topic] = []
    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    /// Of the leaders named by partitions.
    public var nodeEndpoints: [NodeEndpoint] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&responses)
        wire.int32(&throttleTimeMs)
        wire.tagged(0, &nodeEndpoints, 10...)
        wire.tags()
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitionResponses: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitionResponses)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var index: Int32 = 0
        public var errorCode = ErrorCode.none
        /// The offset of the first record appended.
        public var baseOffset: Int64 = 0
        /// Milliseconds since the epoch, or −1 unless the topic says LogAppendTime.
        public var logAppendTimeMs: Int64 = -1
        public var logStartOffset: Int64 = -1
        public var recordErrors: [RecordError] = []
        public var errorMessage: String?
        /// For NOT_LEADER_OR_FOLLOWER: where to go instead.
        public var currentLeader = Leader()

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&index)
            wire.error(&errorCode)
            wire.int64(&baseOffset)
            wire.int64(&logAppendTimeMs)
            wire.int64(&logStartOffset, 5...)
            wire.array(&recordErrors, 8...)
            wire.string(&errorMessage, 8...)
            wire.tagged(0, &currentLeader, 10...)
            wire.tags()
        }
    }

    public struct RecordError: Fields {
        /// The record's position in its batch.
        public var batchIndex: Int32 = 0
        public var batchIndexErrorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&batchIndex)
            wire.string(&batchIndexErrorMessage)
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
