/// Enters a group, or enters it anew for a rebalance.
///
/// Versions 0–9: 1 adds the rebalance timeout, 4 has the member come back with the id it is given (KIP-394), 5 static
/// members (KIP-345), 6 is flexible, 7 echoes the protocol type (KIP-559), 8 gives a reason (KIP-800), 9 may have the
/// leader skip the assignment (KIP-814).
public struct JoinGroupRequest: Request {
    public typealias Response = JoinGroupResponse

    public static let key = ApiKey.joinGroup
    public static let versions: ClosedRange<Int16> = 0...9

    public var groupID = ""
    /// In milliseconds.
    public var sessionTimeoutMs: Int32 = 0
    /// In milliseconds; −1 in version 0, where the session timeout serves.
    public var rebalanceTimeoutMs: Int32 = -1
    public var memberID = ""
    /// For static membership (KIP-345).
    public var groupInstanceID: String?
    public var protocolType = ""
    public var protocols: [GroupProtocol] = []
    public var reason: String?

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.int32(&sessionTimeoutMs)
        wire.int32(&rebalanceTimeoutMs, 1...)
        wire.string(&memberID)
        wire.string(&groupInstanceID, 5...)
        wire.string(&protocolType)
        wire.array(&protocols)
        wire.string(&reason, 8...)
        wire.tags()
    }

    public struct GroupProtocol: Fields, Equatable {
        public var name = ""
        public var metadata: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.bytes(&metadata)
            wire.tags()
        }
    }
}

/// The answer to `JoinGroupRequest`.
public struct JoinGroupResponse: Message {
    public static let key = ApiKey.joinGroup

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var generationID: Int32 = -1
    public var protocolType: String?
    public var protocolName: String?
    public var leader = ""
    public var skipAssignment = false
    public var memberID = ""
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 2...)
        wire.error(&errorCode)
        wire.int32(&generationID)
        wire.string(&protocolType, 7...)
        wire.string(&protocolName, nullable: 7...)
        wire.string(&leader)
        wire.bool(&skipAssignment, 9...)
        wire.string(&memberID)
        wire.array(&members)
        wire.tags()
    }

    public struct Member: Fields {
        public var memberID = ""
        /// For static membership (KIP-345).
        public var groupInstanceID: String?
        public var metadata: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.string(&groupInstanceID, 5...)
            wire.bytes(&metadata)
            wire.tags()
        }
    }
}
