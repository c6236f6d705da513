/// Commits or aborts a transaction (KIP-98).
///
/// Versions 0–5: 3 is flexible, 4 may answer TRANSACTION_ABORTABLE, 5 returns the producer's next epoch (KIP-890).
public struct EndTxnRequest: Request {
    public typealias Response = EndTxnResponse

    public static let key = ApiKey.endTxn
    public static let versions: ClosedRange<Int16> = 0...5

    public var transactionalID = ""
    public var producerID: Int64 = 0
    /// In version 5 of the response, the one to go on with.
    public var producerEpoch: Int16 = 0
    public var committed = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.int64(&producerID)
        wire.int16(&producerEpoch)
        wire.bool(&committed)
        wire.tags()
    }
}

/// The answer to `EndTxnRequest`.
public struct EndTxnResponse: Message {
    public static let key = ApiKey.endTxn

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var producerID: Int64 = -1
    /// In version 5 of the response, the one to go on with.
    public var producerEpoch: Int16 = -1

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.int64(&producerID, 5...)
        wire.int16(&producerEpoch, 5...)
        wire.tags()
    }
}
