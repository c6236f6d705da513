/// Lists groups.
///
/// Versions 0–5: 3 is flexible, 4 filters by state (KIP-518), 5 by type (KIP-848).
public struct ListGroupsRequest: Request {
    public typealias Response = ListGroupsResponse

    public static let key = ApiKey.listGroups
    public static let versions: ClosedRange<Int16> = 0...5

    /// Empty for all.
    public var statesFilter: [String] = []
    /// Empty for all.
    public var typesFilter: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&statesFilter, 4...)
        wire.array(&typesFilter, 5...)
        wire.tags()
    }
}

/// The answer to `ListGroupsRequest`.
public struct ListGroupsResponse: Message {
    public static let key = ApiKey.listGroups

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.error(&errorCode)
        wire.array(&groups)
        wire.tags()
    }

    public struct Group: Fields {
        public var groupID = ""
        public var protocolType = ""
        public var groupState = ""
        public var groupType = ""

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&groupID)
            wire.string(&protocolType)
            wire.string(&groupState, 4...)
            wire.string(&groupType, 5...)
            wire.tags()
        }
    }
}
