/// Leaves a group.
///
/// Versions 0–5: 3 removes several members (KIP-345), 4 is flexible, 5 gives a reason (KIP-800).
public struct LeaveGroupRequest: Request {
    public typealias Response = LeaveGroupResponse

    public static let key = ApiKey.leaveGroup
    public static let versions: ClosedRange<Int16> = 0...5

    public var groupID = ""
    /// In versions to 2.
    public var memberID = ""
    /// From version 3 on.
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.string(&memberID, ...2)
        wire.array(&members, 3...)
        wire.tags()
    }

    public struct Member: Fields {
        public var memberID = ""
        /// For static membership (KIP-345).
        public var groupInstanceID: String?
        public var reason: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.string(&groupInstanceID)
            wire.string(&reason, 5...)
            wire.tags()
        }
    }
}

/// The answer to `LeaveGroupRequest`.
public struct LeaveGroupResponse: Message {
    public static let key = ApiKey.leaveGroup

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.error(&errorCode)
        wire.array(&members, 3...)
        wire.tags()
    }

    public struct Member: Fields {
        public var memberID = ""
        /// For static membership (KIP-345).
        public var groupInstanceID: String?
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.string(&groupInstanceID)
            wire.error(&errorCode)
            wire.tags()
        }
    }
}
