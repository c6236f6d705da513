/// Hands out a producer id and epoch, and fences earlier holders of the transactional id.
///
/// Versions 0–5: 2 is flexible, 3 lets a producer bump its epoch (KIP-360), 4 may answer PRODUCER_FENCED, 5
/// TRANSACTION_ABORTABLE (KIP-890).
public struct InitProducerIdRequest: Request {
    public typealias Response = InitProducerIdResponse

    public static let key = ApiKey.initProducerID
    public static let versions: ClosedRange<Int16> = 0...5

    /// Null for a producer that is idempotent only.
    public var transactionalID: String?
    public var transactionTimeoutMs: Int32 = 0
    /// −1 for none.
    public var producerID: Int64 = -1
    public var producerEpoch: Int16 = -1

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.int32(&transactionTimeoutMs)
        wire.int64(&producerID, 3...)
        wire.int16(&producerEpoch, 3...)
        wire.tags()
    }
}

/// The answer to `InitProducerIdRequest`.
public struct InitProducerIdResponse: Message {
    public static let key = ApiKey.initProducerID

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// −1 for none.
    public var producerID: Int64 = -1
    public var producerEpoch: Int16 = 0

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.int64(&producerID)
        wire.int16(&producerEpoch)
        wire.tags()
    }
}
