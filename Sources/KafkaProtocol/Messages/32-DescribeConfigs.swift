/// Shows the configs of topics and brokers.
///
/// Versions 1–4: 3 adds types and documentation (KIP-569), 4 is flexible.
public struct DescribeConfigsRequest: Request {
    public typealias Response = DescribeConfigsResponse

    public static let key = ApiKey.describeConfigs
    public static let versions: ClosedRange<Int16> = 1...4

    public var resources: [Resource] = []
    public var includeSynonyms = false
    public var includeDocumentation = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.array(&resources)
        wire.bool(&includeSynonyms)
        wire.bool(&includeDocumentation, 3...)
        wire.tags()
    }

    public struct Resource: Fields {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        public var resourceType: Int8 = 0
        public var resourceName = ""
        /// Null for all.
        public var configurationKeys: [String]? = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int8(&resourceType)
            wire.string(&resourceName)
            wire.array(&configurationKeys)
            wire.tags()
        }
    }
}

/// The answer to `DescribeConfigsRequest`.
public struct DescribeConfigsResponse: Message {
    public static let key = ApiKey.describeConfigs

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
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        public var resourceType: Int8 = 0
        public var resourceName = ""
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.error(&errorCode)
            wire.string(&errorMessage)
            wire.int8(&resourceType)
            wire.string(&resourceName)
            wire.array(&configs)
            wire.tags()
        }
    }

    public struct Config: Fields {
        public var name = ""
        public var value: String?
        public var readOnly = false
        /// 1 topic, 2 dynamic broker, 3 dynamic default, 4 static broker, 5 default (KIP-226).
        public var configSource: Int8 = -1
        public var isSensitive = false
        public var synonyms: [Synonym] = []
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        public var configType: Int8 = 0
        public var documentation: String?

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.string(&value)
            wire.bool(&readOnly)
            wire.int8(&configSource)
            wire.bool(&isSensitive)
            wire.array(&synonyms)
            wire.int8(&configType, 3...)
            wire.string(&documentation, 3...)
            wire.tags()
        }
    }

    public struct Synonym: Fields {
        public var name = ""
        public var value: String?
        /// As `configSource`.
        public var source: Int8 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.string(&value)
            wire.int8(&source)
            wire.tags()
        }
    }
}
