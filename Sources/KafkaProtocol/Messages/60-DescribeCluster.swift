/// Who are the brokers, and which one controls? (KIP-700)
///
/// Versions 0–2: 1 tells brokers from controllers (KIP-919), 2 shows fenced brokers (KIP-1073).
public struct DescribeClusterRequest: Request {
    public typealias Response = DescribeClusterResponse

    public static let key = ApiKey.describeCluster
    public static let versions: ClosedRange<Int16> = 0...2

    public var includeClusterAuthorizedOperations = false
    /// 1: brokers; 2: controllers.
    public var endpointType: Int8 = 1
    public var includeFencedBrokers = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.bool(&includeClusterAuthorizedOperations)
        wire.int8(&endpointType, 1...)
        wire.bool(&includeFencedBrokers, 2...)
        wire.tags()
    }
}

/// The answer to `DescribeClusterRequest`.
public struct DescribeClusterResponse: Message {
    public static let key = ApiKey.describeCluster

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// 1: brokers; 2: controllers.
    public var endpointType: Int8 = 1
    public var clusterID = ""
    public var controllerID: Int32 = -1
    public var brokers: [Broker] = []
    /// A bit set of ACL operations, `Int32.min` when not asked for (KIP-430).
    public var clusterAuthorizedOperations: Int32 = .min

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.error(&errorCode)
        wire.string(&errorMessage)
        wire.int8(&endpointType, 1...)
        wire.string(&clusterID)
        wire.int32(&controllerID)
        wire.array(&brokers)
        wire.int32(&clusterAuthorizedOperations)
        wire.tags()
    }

    public struct Broker: Fields {
        public var brokerID: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var rack: String?
        public var isFenced = false

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int32(&brokerID)
            wire.string(&host)
            wire.int32(&port)
            wire.string(&rack)
            wire.bool(&isFenced, 2...)
            wire.tags()
        }
    }
}
