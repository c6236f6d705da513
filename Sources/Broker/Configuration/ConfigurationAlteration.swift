/// One step of an IncrementalAlterConfigs request (KIP-339).
public struct ConfigurationAlteration: Sendable {
    /// Numbered as on the wire.
    public enum Operation: Int8, Sendable {
        case set = 0
        case delete = 1
        case append = 2
        case subtract = 3
    }

    public let name: String
    public let operation: Operation
    public let value: String?

    public init(_ operation: Operation, _ name: String, _ value: String? = nil) {
        self.name = name
        self.operation = operation
        self.value = value
    }
}

/// Why configs cannot be altered so; answered with the protocol's code and this sentence.
public struct ConfigurationRefusal: Error, Sendable, Equatable {
    public enum Kind: Sendable {
        /// INVALID_CONFIG: an unknown name or a value that is not accepted.
        case invalidConfig
        /// INVALID_REQUEST: a request that makes no sense, or a broker config that cannot be altered.
        case invalidRequest
    }
    public let kind: Kind
    public let message: String
}

/// The configs of one resource that may be altered: a topic's, or the broker's dynamic ones.
public enum AlterableConfigs: Sendable {
    case topic
    case broker

    /// The longest value: all values of a topic go into one row of the store.
    static let valueBytesMax = 4096

    /// Checks every name and value of a whole set of overrides (CreateTopics), with what they inherit.
    public func validate(_ overrides: [String: String], inherited: (String) -> String?) throws(ConfigurationRefusal) {
        for (name, value) in overrides.sorted(by: { $0.key < $1.key }) { try validate(name, value) }
        try checkLags(overrides, inherited)
    }

    /// The overrides that are left when `alterations` are made to `overrides`; `inherited` gives the value that holds
    /// where there is no override, which append and subtract start from.
    public func altered(
        _ overrides: [String: String], by alterations: [ConfigurationAlteration], inherited: (String) -> String?
    ) throws(ConfigurationRefusal) -> [String: String] {
        var seen: Set<String> = []
        var result = overrides
        for alteration in alterations {
            let name = alteration.name
            guard seen.insert(name).inserted else {
                throw ConfigurationRefusal(kind: .invalidRequest, message: "\(name) is altered twice in one request.")
            }
            // As in Kafka, what is not there can be unset, whatever it is: tools that copy topics unset what the other cluster has by default.
            guard alteration.operation != .delete else {
                result[name] = nil
                continue
            }
            let type = try alterableType(of: name)
            guard let value = alteration.value else {
                throw ConfigurationRefusal(kind: .invalidRequest, message: "\(name) comes without a value; to unset it, delete it.")
            }
            try checkLength(name, value)
            if alteration.operation == .set {
                result[name] = value
            } else {
                guard case .list = type else {
                    throw ConfigurationRefusal(
                        kind: .invalidConfig, message: "\(name) is not a list; nothing can be appended to it or subtracted from it.")
                }
                let entries = (result[name] ?? inherited(name) ?? "").listEntries
                result[name] = Self.combined(entries, alteration.operation, value.listEntries).joined(separator: ",")
            }
            try validate(name, result[name] ?? "")
        }
        try checkLags(result, inherited)
        return result
    }

    /// What has to be compacted by then must be allowed to be.
    private func checkLags(_ overrides: [String: String], _ inherited: (String) -> String?) throws(ConfigurationRefusal) {
        let names = ["min.compaction.lag.ms", "max.compaction.lag.ms"]
        // Broker defaults may change later, and are nobody's fault here.
        guard case .topic = self, names.contains(where: { overrides[$0] != nil }) else { return }
        let lags = names.compactMap { (overrides[$0] ?? inherited($0)).flatMap { Int64($0.trimmingBlanks) } }
        guard lags.count == 2, lags[0] > lags[1] else { return }
        throw ConfigurationRefusal(
            kind: .invalidConfig, message: "conflict topic config setting \(names[0]) (\(lags[0])) > \(names[1]) (\(lags[1]))")
    }

    private static func combined(_ entries: [String], _ operation: ConfigurationAlteration.Operation, _ others: [String]) -> [String] {
        guard operation == .append else { return entries.filter { !others.contains($0) } }
        return others.reduce(into: entries) { list, entry in if !list.contains(entry) { list.append(entry) } }
    }

    private func validate(_ name: String, _ value: String) throws(ConfigurationRefusal) {
        let type = try alterableType(of: name)
        try checkLength(name, value)
        guard type.accepts(value) else {
            throw ConfigurationRefusal(
                kind: .invalidConfig,
                message: "Invalid value '\(value)' for \(name): accepted is \(type.accepted).")
        }
    }

    private func checkLength(_ name: String, _ value: String) throws(ConfigurationRefusal) {
        guard value.utf8.count > Self.valueBytesMax else { return }
        throw ConfigurationRefusal(
            kind: .invalidConfig, message: "The value of \(name) is \(value.utf8.count) bytes long; accepted are up to \(Self.valueBytesMax).")
    }

    private func alterableType(of name: String) throws(ConfigurationRefusal) -> ConfigurationType {
        switch self {
        case .topic:
            if let key = TopicKeys.named[name] { return key.type }
            throw unknown(name, "topic", among: TopicKeys.all.map(\.name))
        case .broker:
            guard let key = BrokerKeys.all.first(where: { $0.name == name }) ?? KeptKeys.named[name] else {
                if let reason = IgnoredKeys.reason(for: name) {
                    throw ConfigurationRefusal(kind: .invalidConfig, message: "\(name) has no effect on this broker. \(reason)")
                }
                throw unknown(name, "broker", among: BrokerKeys.all.map(\.name))
            }
            guard key.scope == .dynamic else {
                throw ConfigurationRefusal(
                    kind: .invalidRequest, message: "\(name) cannot be altered while the broker runs; set it in its file and restart it.")
            }
            return key.type
        }
    }

    private func unknown(_ name: String, _ kind: String, among names: [String]) -> ConfigurationRefusal {
        let hint = IgnoredKeys.nearest(to: name, among: names).map { " Did you mean \($0)?" } ?? ""
        return ConfigurationRefusal(kind: .invalidConfig, message: "Unknown \(kind) config name: \(name).\(hint)")
    }
}
