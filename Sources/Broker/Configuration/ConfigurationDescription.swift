/// One config as DescribeConfigs answers it.
public struct ConfigurationDescription: Sendable, Equatable {
    public let name: String
    public let value: String?
    public let isReadOnly: Bool
    public let source: ConfigurationSource
    public let synonyms: [ConfigurationLayers.Synonym]
    /// See `ConfigurationType.wireCode`.
    public let typeCode: Int8
    public let documentation: String
    /// No config of this broker holds a secret; one that did would be described without its value.
    public var isSensitive: Bool { false }
}

extension ConfigurationLayers {
    /// The broker's configs, sorted by name; only those in `names` unless it is nil.
    public func describeBroker(_ names: Set<String>? = nil) -> [ConfigurationDescription] {
        let kept = KeptKeys.all.filter { brokerOverrides[$0.name] ?? clusterOverrides[$0.name] != nil }
        return (BrokerKeys.all + kept).filter { names?.contains($0.name) ?? true }.sorted { $0.name < $1.name }.map { key in
            let synonyms = synonyms(of: key)
            let own = synonyms.first { $0.name == key.name }
            return ConfigurationDescription(
                name: key.name, value: own?.value, isReadOnly: key.scope == .readOnly, source: own?.source ?? .defaultValue,
                synonyms: synonyms, typeCode: key.type.wireCode, documentation: key.documentation)
        }
    }

    /// What clients have set for all brokers, as Kafka describes the broker without a number.
    public func describeBrokerDefaults(_ names: Set<String>? = nil) -> [ConfigurationDescription] {
        (BrokerKeys.all + KeptKeys.all).filter { clusterOverrides[$0.name] != nil && names?.contains($0.name) ?? true }.sorted { $0.name < $1.name }.map {
            key in
            let synonyms = synonyms(of: key).filter { $0.source == .dynamicDefaultBroker }
            return ConfigurationDescription(
                name: key.name, value: clusterOverrides[key.name], isReadOnly: false, source: .dynamicDefaultBroker,
                synonyms: synonyms, typeCode: key.type.wireCode, documentation: key.documentation)
        }
    }

    /// The broker's one logger, under Kafka's name for the topmost one.
    public func describeLogger(_ names: Set<String>? = nil) -> [ConfigurationDescription] {
        guard names?.contains("root") ?? true else { return [] }
        let level = (self["lmbroker.log.level"] ?? "info").uppercased()
        return [
            ConfigurationDescription(
                name: "root", value: level == "WARNING" ? "WARN" : level, isReadOnly: true, source: .dynamicBrokerLogger, synonyms: [],
                typeCode: ConfigurationType.string.wireCode, documentation: "The level of lmbroker.log.level.")
        ]
    }

    /// The configs of a topic with these overrides, sorted by name; only those in `names` unless it is nil.
    public func describeTopic(overrides: [String: String], _ names: Set<String>? = nil) -> [ConfigurationDescription] {
        TopicKeys.all.filter { names?.contains($0.name) ?? true }.map { key in
            var synonyms: [Synonym] = []
            if let value = overrides[key.name] { synonyms.append(Synonym(name: key.name, value: value, source: .topic)) }
            var inherited: String?
            if let brokerKey = BrokerKeys.forTopics[key.name] {
                synonyms += self.synonyms(of: brokerKey)
                inherited = value(of: brokerKey)
            } else {
                if let kept = KeptKeys.named[key.brokerName] {
                    synonyms += self.synonyms(of: kept)
                    inherited = value(of: kept)
                }
                synonyms.append(Synonym(name: key.brokerName, value: key.defaultValue, source: .defaultValue))
            }
            return ConfigurationDescription(
                name: key.name, value: overrides[key.name] ?? inherited ?? key.defaultValue, isReadOnly: false,
                source: synonyms.first?.source ?? .defaultValue, synonyms: synonyms, typeCode: key.type.wireCode,
                documentation: key.fullDocumentation)
        }
    }
}
