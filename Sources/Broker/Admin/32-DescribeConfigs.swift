internal import KafkaProtocol
internal import Store

/// DescribeConfigs 1–4 (KIP-226, KIP-569) of topics, brokers and the broker's one logger.
/// A resource that is named twice is answered once: an answer is a thousand times as long as the question.
struct DescribeConfigsHandler: Handler {
    /// More are described off the event loop.
    private static let resourcesOnLoopMax = 16
    private static let namesOnLoopMax = 1000
    /// Of the description of a resource with everything that can be asked for, about.
    private static let byteCountOfOne = 8 << 10

    private struct Target: Hashable {
        let type: Int8
        let name: String
    }

    func handle(_ request: DescribeConfigsRequest, _ call: Call, _ reply: Reply) {
        var seen: Set<Target> = []
        let resources = request.resources.filter { seen.insert(Target(type: $0.resourceType, name: $0.resourceName)).inserted }
        let send: @Sendable () -> Void = {
            var response = DescribeConfigsResponse()
            response.results = resources.map { Self.describe($0, request, call.broker) }
            reply.send(response, capacity: 256 + min(resources.count, 1000) * 4096)
        }
        let nameCount = resources.reduce(0) { $0 + ($1.configurationKeys?.count ?? 0) }
        if resources.count > Self.resourcesOnLoopMax || nameCount > Self.namesOnLoopMax {
            call.offLoop(reply, expecting: resources.count * Self.byteCountOfOne, send)
        } else {
            send()
        }
    }

    private static func describe(
        _ asked: DescribeConfigsRequest.Resource, _ request: DescribeConfigsRequest, _ broker: BrokerContext
    ) -> DescribeConfigsResponse.Result {
        var result = DescribeConfigsResponse.Result()
        result.resourceType = asked.resourceType
        result.resourceName = asked.resourceName
        // As in Kafka, no names are all names.
        let names = asked.configurationKeys.flatMap { $0.isEmpty ? nil : Set($0) }
        do throws(Refusal) {
            let descriptions = try describe(ConfigResource(type: asked.resourceType, name: asked.resourceName, broker), names, broker)
            result.configs = descriptions.map { spelled($0, request) }
        } catch {
            result.errorCode = error.code
            result.errorMessage = error.message
        }
        return result
    }

    private static func describe(_ resource: ConfigResource, _ names: Set<String>?, _ broker: BrokerContext) -> [ConfigurationDescription] {
        let layers = broker.configuration.current.layers
        switch resource {
        case .topic(let topic): return layers.describeTopic(overrides: topic.configs, names)
        case .broker(isDefault: false): return layers.describeBroker(names)
        case .broker(isDefault: true): return layers.describeBrokerDefaults(names)
        case .brokerLogger: return layers.describeLogger(names)
        }
    }

    private static func spelled(_ description: ConfigurationDescription, _ request: DescribeConfigsRequest)
        -> DescribeConfigsResponse.Config
    {
        var config = DescribeConfigsResponse.Config()
        config.name = description.name
        config.value = description.isSensitive ? nil : description.value
        config.readOnly = description.isReadOnly
        config.configSource = description.source.rawValue
        config.isSensitive = description.isSensitive
        config.configType = description.typeCode
        if request.includeDocumentation { config.documentation = description.documentation }
        guard request.includeSynonyms else { return config }
        config.synonyms = description.synonyms.map { synonym in
            var one = DescribeConfigsResponse.Synonym()
            one.name = synonym.name
            one.value = description.isSensitive ? nil : synonym.value
            one.source = synonym.source.rawValue
            return one
        }
        return config
    }
}
