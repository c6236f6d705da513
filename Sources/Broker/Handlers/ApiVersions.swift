internal import KafkaProtocol

/// ApiVersions, versions 0–4: what the broker speaks, taken from the handlers it has (KIP-35, KIP-511).
///
/// An unknown version is answered in version 0 with UNSUPPORTED_VERSION and the versions of ApiVersions itself.
struct ApiVersionsHandler: Handler {
    func handle(_ request: ApiVersionsRequest, _ call: Call, _ reply: Reply) {
        var response = ApiVersionsResponse()
        if call.header.version >= 3, !Self.isValid(request.clientSoftwareName) || !Self.isValid(request.clientSoftwareVersion) {
            response.errorCode = .invalidRequest
        } else {
            response.apiKeys = call.broker.registry.offered.map(Self.range)
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
