/// Shows the producers that a partition remembers (KIP-664).
///
/// Version 0.
public struct DescribeProducersRequest: Request {
    public typealias Response = DescribeProducersResponse

    public static let key = ApiKey.describeProducers
    public static let versions: ClosedRange<Int16> = 0...0

    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&topics)
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
}

/// The answer to `DescribeProducersRequest`.
public struct DescribeProducersResponse: Message {
    public static let key = ApiKey.describeProducers

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
        public var errorMessage: String?
        public var activeProducers: [Producer] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.array(&activeProducers)
            wire.tags()
        }
    }

    public struct Producer: Fields {
        public var producerID: Int64 = 0
        public var producerEpoch: Int32 = 0
        public var lastSequence: Int32 = -1
        /// Milliseconds since the epoch.
        public var lastTimestamp: Int64 = -1
        public var coordinatorEpoch: Int32 = 0
        public var currentTxnStartOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int64(&producerID)
            wire.int32(&producerEpoch)
            wire.int32(&lastSequence)
            wire.int64(&lastTimestamp)
            wire.int32(&coordinatorEpoch)
            wire.int64(&currentTxnStartOffset)
            wire.tags()
        }
    }
}
