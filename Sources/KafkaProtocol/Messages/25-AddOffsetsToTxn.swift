/// Adds a group's offsets to a transaction (KIP-98).
///
/// Versions 0–4: 3 is flexible, 4 may answer TRANSACTION_ABORTABLE (KIP-890).
public struct AddOffsetsToTxnRequest: Request {
    public typealias Response = AddOffsetsToTxnResponse

    public static let key = ApiKey.addOffsetsToTxn
    public static let versions: ClosedRange<Int16> = 0...4

    public var transactionalID = ""
    public var producerID: Int64 = 0
    public var producerEpoch: Int16 = 0
    public var groupID = ""

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.int64(&producerID)
        wire.int16(&producerEpoch)
        wire.string(&groupID)
        wire.tags()
    }
}

/// The answer to `AddOffsetsToTxnRequest`.
public struct AddOffsetsToTxnResponse: Message {
    public static let key = ApiKey.addOffsetsToTxn

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.tags()
    }
}
