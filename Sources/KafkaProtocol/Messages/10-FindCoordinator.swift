/// Which broker coordinates a group or a transactional id?
///
/// Versions 0–6: 1 adds transactions, 3 is flexible, 4 asks for several keys at once (KIP-699), 5 may answer
/// TRANSACTION_ABORTABLE (KIP-890), 6 adds share groups (KIP-932).
public struct FindCoordinatorRequest: Request {
    public typealias Response = FindCoordinatorResponse

    public static let key = ApiKey.findCoordinator
    public static let versions: ClosedRange<Int16> = 0...6

    /// In versions to 3.
    public var key = ""
    /// 0: group; 1: transaction; 2: share.
    public var keyType: Int8 = 0
    /// From version 4 on.
    public var coordinatorKeys: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&key, ...3)
        wire.int8(&keyType, 1...)
        wire.array(&coordinatorKeys, 4...)
        wire.tags()
    }
}

/// The answer to `FindCoordinatorRequest`.
public struct FindCoordinatorResponse: Message {
    public static let key = ApiKey.findCoordinator

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var nodeID: Int32 = 0
    public var host = ""
    public var port: Int32 = 0
    public var coordinators: [Coordinator] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs, 1...)
        wire.error(&errorCode, ...3)
        wire.string(&errorMessage, 1...3)
        wire.int32(&nodeID, ...3)
        wire.string(&host, ...3)
        wire.int32(&port, ...3)
        wire.array(&coordinators, 4...)
        wire.tags()
    }

    public struct Coordinator: Fields {
        /// In versions to 3.
        public var key = ""
        public var nodeID: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&key)
            wire.int32(&nodeID)
            wire.string(&host)
            wire.int32(&port)
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.tags()
        }
    }
}
