/// Deletes groups without members (KIP-229).
///
/// Versions 0–2: 2 is flexible.
public struct DeleteGroupsRequest: Request {
    public typealias Response = DeleteGroupsResponse

    public static let key = ApiKey.deleteGroups
    public static let versions: ClosedRange<Int16> = 0...2

    public var groupsNames: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&groupsNames)
        wire.tags()
    }
}

/// The answer to `DeleteGroupsRequest`.
public struct DeleteGroupsResponse: Message {
    public static let key = ApiKey.deleteGroups

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var results: [Result] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&results)
        wire.tags()
    }

    public struct Result: Fields {
        public var groupID = ""
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&groupID)
            wire.error(&errorCode)
            wire.tags()
        }
    }
}
