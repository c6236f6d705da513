internal import KafkaProtocol

/// IncrementalAlterConfigs 0–1 (KIP-339): sets, deletes, and for lists appends and subtracts, config by config.
struct IncrementalAlterConfigsHandler: Handler {
    func handle(_ request: IncrementalAlterConfigsRequest, _ call: Call, _ reply: Reply) {
        let order = call.broker.alterations
        order.enter(call) {
            let targets = request.resources.map { ConfigAlterations.Target(type: $0.resourceType, name: $0.resourceName) }
            var alterations = ConfigAlterations(targets, call.broker)
            for (target, resource) in zip(targets, request.resources) {
                alterations.alter(target) { configs, overrides, inherited throws(ConfigurationRefusal) in
                    try configs.altered(overrides, by: Self.steps(resource), inherited: inherited)
                }
            }
            alterations.commit(validateOnly: request.validateOnly, call) { results in
                var response = IncrementalAlterConfigsResponse()
                response.responses = zip(request.resources, results).map { resource, refusal in
                    var answer = IncrementalAlterConfigsResponse.Resource()
                    answer.resourceType = resource.resourceType
                    answer.resourceName = resource.resourceName
                    answer.errorCode = refusal?.code ?? .none
                    answer.errorMessage = refusal?.message
                    return answer
                }
                reply.send(response)
                order.leave()
            }
        }
    }

    private static func steps(
        _ resource: IncrementalAlterConfigsRequest.Resource
    ) throws(ConfigurationRefusal) -> [ConfigurationAlteration] {
        var steps: [ConfigurationAlteration] = []
        for config in resource.configs {
            guard let operation = ConfigurationAlteration.Operation(rawValue: config.configOperation) else {
                throw ConfigurationRefusal(
                    kind: .invalidRequest, message: "Unknown operation \(config.configOperation) for \(config.name).")
            }
            steps.append(ConfigurationAlteration(operation, config.name, config.value))
        }
        return steps
    }
}
