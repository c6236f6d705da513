/// Where a value comes from, with its number in a DescribeConfigs response (KIP-226).
public enum ConfigurationSource: Int8, Sendable {
    case topic = 1
    case dynamicBroker = 2
    case dynamicDefaultBroker = 3
    case staticBroker = 4
    case defaultValue = 5
    case dynamicBrokerLogger = 6
}

/// The values given for the broker's keys, layer over layer: set by clients for this broker, set by clients for all
/// brokers, given at the start (file and `--set`), default.
public struct ConfigurationLayers: Sendable {
    /// A value of one layer.
    public struct Synonym: Sendable, Equatable {
        public let name: String
        public let value: String
        public let source: ConfigurationSource
    }

    /// Values given at the start, by the key's first name.
    private var given: [String: (value: String, origin: String)] = [:]
    /// Values set by clients as the default of all brokers.
    public private(set) var clusterOverrides: [String: String] = [:]
    /// Values set by clients for this broker.
    public private(set) var brokerOverrides: [String: String] = [:]
    /// Sentences for the log: keys without effect, unknown keys, keys given twice.
    public private(set) var warnings: [String] = []

    public init() {}

    // MARK: Given at the start

    /// Takes in a properties file's text; `path` is for messages.
    public mutating func read(_ text: String, path: String) throws(ConfigurationError) {
        for property in try PropertiesFile.parse(text, path: path) {
            try set(property.name, property.value, origin: "\(path), line \(property.line)")
        }
    }

    /// Takes in one `NAME=VALUE`, as `--set` gives it.
    public mutating func set(_ assignment: String) throws(ConfigurationError) {
        guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
            throw ConfigurationError(message: "--set \(assignment): write it as NAME=VALUE.")
        }
        let name = String(assignment[..<equals]).trimmingBlanks
        try set(name, String(assignment[assignment.index(after: equals)...]).trimmingBlanks, origin: "--set \(name)")
    }

    /// Takes in one value; a later one wins. `origin` is for messages.
    public mutating func set(_ name: String, _ value: String, origin: String) throws(ConfigurationError) {
        guard let key = BrokerKeys.named[name] else { return warnings.append(Self.unknown(name, origin: origin)) }
        guard key.type.accepts(value) else {
            throw ConfigurationError(message: "\(origin): \(name)=\(value) cannot be used; accepted is \(key.type.accepted).")
        }
        if let earlier = given[key.name], !origin.hasPrefix("--"), !earlier.origin.hasPrefix("--") {
            warnings.append("\(origin): \(name)=\(value) replaces the value given in \(earlier.origin).")
        }
        given[key.name] = (value, origin)
    }

    private static func unknown(_ name: String, origin: String) -> String {
        if let reason = IgnoredKeys.reason(for: name) { return "\(origin): \(name) has no effect. \(reason)" }
        if let near = IgnoredKeys.nearest(to: name, among: BrokerKeys.named.keys) {
            return "\(origin): \(name) is not a known key and is ignored; did you mean \(near)?"
        }
        return "\(origin): \(name) is not a known key and is ignored."
    }

    // MARK: Set by clients

    /// How the store keeps a dynamic value: under its name for all brokers, under `id/name` for one of them.
    public mutating func setDynamic(_ stored: [String: String]) {
        clusterOverrides = [:]
        brokerOverrides = [:]
        let prefix = "\(nodeID)/"
        for (name, value) in stored {
            if name.hasPrefix(prefix) {
                brokerOverrides[String(name.dropFirst(prefix.count))] = value
            } else if !name.contains("/") {
                clusterOverrides[name] = value
            }
        }
    }

    /// What the store keeps once `stored` holds `overrides` for this broker, or for all brokers.
    public func stored(_ stored: [String: String], replacing overrides: [String: String], ofBroker: Bool) -> [String: String] {
        let prefix = ofBroker ? "\(nodeID)/" : ""
        var result = stored.filter { ofBroker ? !$0.key.hasPrefix(prefix) : $0.key.contains("/") }
        for (name, value) in overrides { result[prefix + name] = value }
        return result
    }

    private var nodeID: String { self["node.id"] ?? "1" }

    // MARK: Looking up

    /// Every value given for `key` or for a key it falls back on, the one in force first.
    public func synonyms(of key: ConfigurationKey) -> [Synonym] {
        let names = [key.name] + key.fallbacks.map(\.name)
        var found: [Synonym] = []
        func look(_ source: ConfigurationSource, _ value: (String) -> String?) {
            for name in names { if let value = value(name) { found.append(Synonym(name: name, value: value, source: source)) } }
        }
        look(.dynamicBroker) { brokerOverrides[$0] }
        look(.dynamicDefaultBroker) { clusterOverrides[$0] }
        look(.staticBroker) { given[$0]?.value }
        look(.defaultValue) { BrokerKeys.named[$0]?.defaultValue }
        return found
    }

    /// The value in force, converted to the key's own unit when it comes from a fallback; nil when there is none.
    public func value(of key: ConfigurationKey) -> String? {
        guard let first = synonyms(of: key).first else { return nil }
        guard let fallback = key.fallbacks.first(where: { $0.name == first.name }) else { return first.value.trimmingBlanks }
        guard let number = Int64(first.value.trimmingBlanks), number >= 0 else { return first.value.trimmingBlanks }
        return String(number.multipliedReportingOverflow(by: fallback.factor).overflow ? .max : number * fallback.factor)
    }

    /// The value in force of the key named so.
    subscript(name: String) -> String? { BrokerKeys.named[name].flatMap(value(of:)) }

    /// Where the key's value was given, for messages.
    func origin(of name: String) -> String { given[name]?.origin ?? name }
}
