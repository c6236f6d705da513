internal import KafkaProtocol

/// ApiVersions, versions 0–4: what the broker speaks, taken from the handlers it has (KIP-35, KIP-511).
///
/// An unknown version is answered in version 0 with UNSUPPORTED_VERSION and the versions of ApiVersions itself.
struct ApiVersionsHandler: Handler {
    /// Kafka's feature levels (KIP-584) that this broker behaves as: groups of both protocols (KIP-848), and transactions
    /// whose end bumps the epoch (KIP-890).
    private static let features: [(name: String, level: Int16)] = [("group.version", 1), ("transaction.version", 2)]

    func handle(_ request: ApiVersionsRequest, _ call: Call, _ reply: Reply) {
        var response = ApiVersionsResponse()
        if call.header.version >= 3, !Self.isValid(request.clientSoftwareName) || !Self.isValid(request.clientSoftwareVersion) {
            response.errorCode = .invalidRequest
        } else {
            response.apiKeys = call.broker.registry.offered.map(Self.range)
            // Clients that speak less than version 4 do not take a feature that can be off, as by Kafka.
            response.supportedFeatures =
                call.header.version < 4
                ? [] : Self.features.map { feature in ApiVersionsResponse.SupportedFeature { ($0.name, $0.maxVersion) = feature } }
            response.finalizedFeaturesEpoch = 0
            response.finalizedFeatures = Self.features.map { feature in
                ApiVersionsResponse.FinalizedFeature { ($0.name, $0.maxVersionLevel, $0.minVersionLevel) = (feature.name, feature.level, feature.level) }
            }
        }
        reply.send(response, capacity: 512)
    }

    func refuse(_ call: Call, _ reply: Reply) {
        var response = ApiVersionsResponse()
        response.errorCode = .unsupportedVersion
        response.apiKeys = [Self.range((.apiVersions, versions))]
        reply.send(response, version: 0)
    }

    private static func range(_ offered: (key: ApiKey, versions: ClosedRange<Int16>)) -> ApiVersionsResponse.Range {
        var range = ApiVersionsResponse.Range()
        range.apiKey = offered.key.rawValue
        range.minVersion = offered.versions.lowerBound
        range.maxVersion = offered.versions.upperBound
        return range
    }

    /// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511)
    static func isValid(_ name: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        guard let first = name.utf8.first, let last = name.utf8.last, isAlphanumeric(first), isAlphanumeric(last) else { return false }
        return name.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
    }
}
