/// What does the broker speak?
///
/// Versions 0–4: 3 is flexible and names the client (KIP-511), 4 allows supported features from 0.
/// A broker that does not know the version answers UNSUPPORTED_VERSION with a body in version 0: a client finds that
/// code in the first two bytes of the body, and reads it as version 0.
public struct ApiVersionsRequest: Request {
    public typealias Response = ApiVersionsResponse

    public static let key = ApiKey.apiVersions
    public static let versions: ClosedRange<Int16> = 0...4

    public var clientSoftwareName = ""
    public var clientSoftwareVersion = ""

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.string(&clientSoftwareName, 3...)
        wire.string(&clientSoftwareVersion, 3...)
        wire.tags()
    }
}

/// The answer to `ApiVersionsRequest`.
public struct ApiVersionsResponse: Message {
    public static let key = ApiKey.apiVersions

    public var errorCode = ErrorCode.none
    public var apiKeys: [Range] = []
    /// How long the client should hold back, in milliseconds (KIP-219).
    public var throttleTimeMs: Int32 = 0
    public var supportedFeatures: [SupportedFeature] = []
    public var finalizedFeaturesEpoch: Int64 = -1
    public var finalizedFeatures: [FinalizedFeature] = []
    public var zkMigrationReady = false

    public init() {}

    public mutating func fields(_ wire: inout some Wire) {
        wire.error(&errorCode)
        wire.array(&apiKeys)
        wire.int32(&throttleTimeMs, 1...)
        wire.tagged(0, &supportedFeatures)
        wire.tagged(1, &finalizedFeaturesEpoch, default: -1)
        wire.tagged(2, &finalizedFeatures)
        wire.tagged(3, &zkMigrationReady)
        wire.tags()
    }

    public struct Range: Fields {
        public var apiKey: Int16 = 0
        public var minVersion: Int16 = 0
        public var maxVersion: Int16 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.int16(&apiKey)
            wire.int16(&minVersion)
            wire.int16(&maxVersion)
            wire.tags()
        }
    }

    public struct SupportedFeature: Fields, Equatable {
        public var name = ""
        public var minVersion: Int16 = 0
        public var maxVersion: Int16 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.int16(&minVersion)
            wire.int16(&maxVersion)
            wire.tags()
        }
    }

    public struct FinalizedFeature: Fields, Equatable {
        public var name = ""
        public var maxVersionLevel: Int16 = 0
        public var minVersionLevel: Int16 = 0

        public init() {}

        public mutating func fields(_ wire: inout some Wire) {
            wire.string(&name)
            wire.int16(&maxVersionLevel)
            wire.int16(&minVersionLevel)
            wire.tags()
        }
    }
}
