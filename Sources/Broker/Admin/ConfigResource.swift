internal import KafkaProtocol
internal import Store

/// What a config request is about.
enum ConfigResource {
    case topic(Topic)
    /// The configs set for all brokers (`name` empty), or for this one.
    case broker(isDefault: Bool)
    case brokerLogger

    /// Kafka's numbers.
    private enum Kind: Int8 {
        case topic = 2
        case broker = 4
        case brokerLogger = 8
    }

    init(type: Int8, name: String, _ broker: BrokerContext) throws(Refusal) {
        switch Kind(rawValue: type) {
        case .topic:
            if name.isEmpty { throw Refusal(.invalidRequest, "Default topic resources are not allowed.") }
            if let complaint = TopicName.complaint(about: name) { throw Refusal(.invalidTopicException, complaint) }
            guard let topic = broker.store.topic(named: name) else {
                throw Refusal(.unknownTopicOrPartition, "There is no topic named '\(name)'.")
            }
            self = .topic(topic)
        case .broker:
            try Self.checkBroker(name, orEmpty: true, broker)
            self = .broker(isDefault: name.isEmpty)
        case .brokerLogger:
            try Self.checkBroker(name, orEmpty: false, broker)
            self = .brokerLogger
        case nil:
            throw Refusal(
                .invalidRequest, "Configs of resource type \(type) are not offered: there are topics (2), brokers (4) and loggers (8).")
        }
    }

    private static func checkBroker(_ name: String, orEmpty: Bool, _ broker: BrokerContext) throws(Refusal) {
        let nodeID = broker.configuration.current.nodeID
        if orEmpty, name.isEmpty { return }
        // As the number is written, and not so that other spellings of it were other resources.
        guard name == String(nodeID) else {
            throw Refusal(
                .invalidRequest, "Unexpected broker id, expected \(nodeID)\(orEmpty ? " or empty string" : ""), but received '\(name)'.")
        }
    }
}
