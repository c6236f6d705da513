/// Adds partitions to a transaction.
///
/// Versions 0–5: 3 is flexible, 4 is a broker's, for several transactions or to verify (KIP-890), 5 may answer
/// TRANSACTION_ABORTABLE.
public struct AddPartitionsToTxnRequest: Request {
    public typealias Response = AddPartitionsToTxnResponse

    public static let key = ApiKey.addPartitionsToTxn
    public static let versions: ClosedRange<Int16> = 0...5

    /// From version 4 on.
    public var transactions: [Transaction] = []
    public var transactionalID = ""
    public var producerID: Int64 = 0
    public var producerEpoch: Int16 = 0
    /// In versions to 3.
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&transactions, 4...)
        wire.string(&transactionalID, ...3)
        wire.int64(&producerID, ...3)
        wire.int16(&producerEpoch, ...3)
        wire.array(&topics, ...3)
        wire.tags()
    }

    public struct Transaction: Fields {
        public var transactionalID = ""
        public var producerID: Int64 = 0
        public var producerEpoch: Int16 = 0
        public var verifyOnly = false
        public var topics: [Topic] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&transactionalID)
            wire.int64(&producerID)
            wire.int16(&producerEpoch)
            wire.bool(&verifyOnly)
            wire.array(&topics)
            wire.tags()
        }
    }

    public struct Topic: Fields {
        public var name = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&partitions)
            wire.tags()
        }
    }
}

/// The answer to `AddPartitionsToTxnRequest`.
public struct AddPartitionsToTxnResponse: Message {
    public static let key = ApiKey.addPartitionsToTxn

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// From version 4 on.
    public var resultsByTransaction: [Transaction] = []
    /// In versions to 3.
    public var resultsByTopic: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode, 4...)
        wire.array(&resultsByTransaction, 4...)
        wire.array(&resultsByTopic, ...3)
        wire.tags()
    }

    public struct Transaction: Fields {
        public var transactionalID = ""
        public var topicResults: [Topic] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&transactionalID)
            wire.array(&topicResults)
            wire.tags()
        }
    }

    public struct Topic: Fields {
        public var name = ""
        public var resultsByPartition: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.array(&resultsByPartition)
            wire.tags()
        }
    }

    public struct Partition: Fields {
        public var partitionIndex: Int32 = 0
        public var partitionErrorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&partitionIndex)
            wire.error(&partitionErrorCode)
            wire.tags()
        }
    }
}
