/// Lists transactions (KIP-664).
///
/// Versions 0–1: 1 filters by duration (KIP-994).
public struct ListTransactionsRequest: Request {
    public typealias Response = ListTransactionsResponse

    public static let key = ApiKey.listTransactions
    public static let versions: ClosedRange<Int16> = 0...1

    /// Empty for all.
    public var stateFilters: [String] = []
    /// Empty for all.
    public var producerIDFilters: [Int64] = []
    /// In milliseconds, −1 for all.
    public var durationFilter: Int64 = -1

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&stateFilters)
        wire.array(&producerIDFilters)
        wire.int64(&durationFilter, 1...)
        wire.tags()
    }
}

/// The answer to `ListTransactionsRequest`.
public struct ListTransactionsResponse: Message {
    public static let key = ApiKey.listTransactions

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var unknownStateFilters: [String] = []
    public var transactionStates: [Transaction] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.array(&unknownStateFilters)
        wire.array(&transactionStates)
        wire.tags()
    }

    public struct Transaction: Fields {
        public var transactionalID = ""
        public var producerID: Int64 = 0
        public var transactionState = ""

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&transactionalID)
            wire.int64(&producerID)
            wire.string(&transactionState)
            wire.tags()
        }
    }
}
