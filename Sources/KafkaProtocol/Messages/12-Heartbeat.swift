/// Keeps a member in its group.
///
/// Versions 0–4: 3 adds static members (KIP-345), 4 is flexible.
public struct HeartbeatRequest: Request {
    public typealias Response = HeartbeatResponse

    public static let key = ApiKey.heartbeat
    public static let versions: ClosedRange<Int16> = 0...4

    public var groupID = ""
    public var generationID: Int32 = 0
    public var memberID = ""
    /// For static membership (KIP-345).
    public var groupInstanceID: String?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.int32(&generationID)
        wire.string(&memberID)
        wire.string(&groupInstanceID, 3...)
        wire.tags()
    }
}

/// The answer to `HeartbeatRequest`.
public struct HeartbeatResponse: Message {
    public static let key = ApiKey.heartbeat

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.error(&errorCode)
        wire.tags()
    }
}
