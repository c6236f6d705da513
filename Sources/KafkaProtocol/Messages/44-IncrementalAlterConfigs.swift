/// Changes single configs of topics or brokers (KIP-339).
///
/// Versions 0–1: 1 is flexible.
public struct IncrementalAlterConfigsRequest: Request {
    public typealias Response = IncrementalAlterConfigsResponse

    public static let key = ApiKey.incrementalAlterConfigs
    public static let versions: ClosedRange<Int16> = 0...1

    public var resources: [Resource] = []
    public var validateOnly = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&resources)
        wire.bool(&validateOnly)
        wire.tags()
    }

    public struct Resource: Fields {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        public var resourceType: Int8 = 0
        public var resourceName = ""
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int8(&resourceType)
            wire.string(&resourceName)
            wire.array(&configs)
            wire.tags()
        }
    }

    public struct Config: Fields {
        public var name = ""
        /// 0 set, 1 delete, 2 append, 3 subtract (KIP-339).
        public var configOperation: Int8 = 0
        public var value: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.int8(&configOperation)
            wire.string(&value)
            wire.tags()
        }
    }
}

/// The answer to `IncrementalAlterConfigsRequest`.
public struct IncrementalAlterConfigsResponse: Message {
    public static let key = ApiKey.incrementalAlterConfigs

    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var responses: [Resource] = []

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.int32(&throttleTimeMs)
        wire.array(&responses)
        wire.tags()
    }

    public struct Resource: Fields {
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        public var resourceType: Int8 = 0
        public var resourceName = ""

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.int8(&resourceType)
            wire.string(&resourceName)
            wire.tags()
        }
    }
}
