/// Ends a transaction in its partitions; sent by brokers and by `kafka-transactions --abort` (KIP-98, KIP-664).
///
/// Version 1.
public struct WriteTxnMarkersRequest: Request {
    public typealias Response = WriteTxnMarkersResponse

    public static let key = ApiKey.writeTxnMarkers
    public static let versions: ClosedRange<Int16> = 1...1

    public var markers: [Marker] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&markers)
        wire.tags()
    }

    public struct Marker: Fields {
        public var producerID: Int64 = 0
        public var producerEpoch: Int16 = 0
        /// True to commit.
        public var transactionResult = false
        public var topics: [Topic] = []
        public var coordinatorEpoch: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int64(&producerID)
            wire.int16(&producerEpoch)
            wire.bool(&transactionResult)
            wire.array(&topics)
            wire.int32(&coordinatorEpoch)
            wire.tags()
        }
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

/// The answer to `WriteTxnMarkersRequest`.
public struct WriteTxnMarkersResponse: Message {
    public static let key = ApiKey.writeTxnMarkers

    public var markers: [Marker] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&markers)
        wire.tags()
    }

    public struct Marker: Fields {
        public var producerID: Int64 = 0
        public var topics: [Topic] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int64(&producerID)
            wire.array(&topics)
            wire.tags()
        }
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
