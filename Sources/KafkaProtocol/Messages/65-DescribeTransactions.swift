/// Shows transactions (KIP-664).
///
/// Version 0.
public struct DescribeTransactionsRequest: Request {
    public typealias Response = DescribeTransactionsResponse

    public static let key = ApiKey.describeTransactions
    public static let versions: ClosedRange<Int16> = 0...0

    public var transactionalIDs: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&transactionalIDs)
        wire.tags()
    }
}

/// The answer to `DescribeTransactionsRequest`.
public struct DescribeTransactionsResponse: Message {
    public static let key = ApiKey.describeTransactions

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var transactionStates: [Transaction] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&transactionStates)
        wire.tags()
    }

    public struct Transaction: Fields {
        public var errorCode = ErrorCode.none
        public var transactionalID = ""
        public var transactionState = ""
        public var transactionTimeoutMs: Int32 = 0
        /// Milliseconds since the epoch, −1 when none is open.
        public var transactionStartTimeMs: Int64 = 0
        public var producerID: Int64 = 0
        public var producerEpoch: Int16 = 0
        public var topics: [Topic] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&transactionalID)
            wire.string(&transactionState)
            wire.int32(&transactionTimeoutMs)
            wire.int64(&transactionStartTimeMs)
            wire.int64(&producerID)
            wire.int16(&producerEpoch)
            wire.array(&topics)
            wire.tags()
        }
    }

    public struct Topic: Fields {
        public var topic = ""
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&topic)
            wire.array(&partitions)
            wire.tags()
        }
    }
}
