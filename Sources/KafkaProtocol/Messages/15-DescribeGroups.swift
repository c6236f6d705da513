/// Shows groups and their members.
///
/// Versions 0–6: 3 adds authorized operations (KIP-430), 4 static members (KIP-345), 5 is flexible, 6 adds an error
/// message and answers GROUP_ID_NOT_FOUND for an unknown group (KIP-1043).
public struct DescribeGroupsRequest: Request {
    public typealias Response = DescribeGroupsResponse

    public static let key = ApiKey.describeGroups
    public static let versions: ClosedRange<Int16> = 0...6

    public var groups: [String] = []
    public var includeAuthorizedOperations = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&groups)
        wire.bool(&includeAuthorizedOperations, 3...)
        wire.tags()
    }
}

/// The answer to `DescribeGroupsRequest`.
public struct DescribeGroupsResponse: Message {
    public static let key = ApiKey.describeGroups

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.array(&groups)
        wire.tags()
    }

    public struct Group: Fields {
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        public var groupID = ""
        public var groupState = ""
        public var protocolType = ""
        public var protocolData = ""
        public var members: [Member] = []
        /// A bit set of ACL operations, `Int32.min` when not asked for (KIP-430).
        public var authorizedOperations: Int32 = .min

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&errorMessage, 6...)
            wire.string(&groupID)
            wire.string(&groupState)
            wire.string(&protocolType)
            wire.string(&protocolData)
            wire.array(&members)
            wire.int32(&authorizedOperations, 3...)
            wire.tags()
        }
    }

    public struct Member: Fields {
        public var memberID = ""
        /// For static membership (KIP-345).
        public var groupInstanceID: String?
        public var clientID = ""
        public var clientHost = ""
        public var memberMetadata: [UInt8] = []
        public var memberAssignment: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&memberID)
            wire.string(&groupInstanceID, 4...)
            wire.string(&clientID)
            wire.string(&clientHost)
            wire.bytes(&memberMetadata)
            wire.bytes(&memberAssignment)
            wire.tags()
        }
    }
}
