import KafkaProtocol

/// The requests that a broker takes, and in which versions.
struct BrokerVersions: Sendable {
    private var ranges: [ApiKey: ClosedRange<Int16>] = [:]
    /// The cluster's feature level `transaction.version` (KIP-890), 0 where it has none.
    private(set) var transactionVersion: Int16 = 0

    init() {}

    init(_ response: ApiVersionsResponse) {
        for range in response.apiKeys where range.minVersion <= range.maxVersion {
            ranges[ApiKey(rawValue: range.apiKey)] = range.minVersion...range.maxVersion
        }
        transactionVersion = response.finalizedFeatures.first { $0.name == "transaction.version" }?.maxVersionLevel ?? 0
    }

    /// The newest version that the broker takes, the client speaks (`known`) and `limit` allows; nil if there is none.
    func best(_ key: ApiKey, within known: ClosedRange<Int16>, atMost limit: Int16) -> Int16? {
        guard let offered = ranges[key] else { return nil }
        let newest = min(offered.upperBound, known.upperBound, limit)
        return newest >= max(offered.lowerBound, known.lowerBound) ? newest : nil
    }
}
