/// Brings the leader's assignment to the broker, and every member its part.
///
/// Versions 0–5: 3 adds static members (KIP-345), 4 is flexible, 5 the protocol (KIP-559).
public struct SyncGroupRequest: Request {
    public typealias Response = SyncGroupResponse

    public static let key = ApiKey.syncGroup
    public static let versions: ClosedRange<Int16> = 0...5

    public var groupID = ""
    public var generationID: Int32 = 0
    public var memberID = ""
    /// For static membership (KIP-345).
    public var groupInstanceID: String?
    public var protocolType: String?
    public var protocolName: String?
    public var assignments: [Assignment] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.int32(&generationID)
        wire.string(&memberID)
        wire.string(&groupInstanceID, 3...)
        wire.string(&protocolType, 5...)
        wire.string(&protocolName, 5...)
        wire.array(&assignments)
        wire.tags()
    }

    public struct Assignment: Fields {
        public var memberID = ""
        public var assignment: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.bytes(&assignment)
            wire.tags()
        }
    }
}

/// The answer to `SyncGroupRequest`.
public struct SyncGroupResponse: Message {
    public static let key = ApiKey.syncGroup

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var protocolType: String?
    public var protocolName: String?
    public var assignment: [UInt8] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.error(&errorCode)
        wire.string(&protocolType, 5...)
        wire.string(&protocolName, 5...)
        wire.bytes(&assignment)
        wire.tags()
    }
}
