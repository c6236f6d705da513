internal import KafkaProtocol

/// AlterConfigs 0–2: replaces all overrides of each resource. Older clients only; the newer call is IncrementalAlterConfigs.
struct AlterConfigsHandler: Handler {
    func handle(_ request: AlterConfigsRequest, _ call: Call, _ reply: Reply) {
        let order = call.broker.alterations
        order.enter(call) {
            let targets = request.resources.map { ConfigAlterations.Target(type: $0.resourceType, name: $0.resourceName) }
            var alterations = ConfigAlterations(targets, call.broker)
            for (target, resource) in zip(targets, request.resources) {
                alterations.alter(target) { configs, _, inherited throws(ConfigurationRefusal) in
                    let steps = resource.configs.map { ConfigurationAlteration(.set, $0.name, $0.value) }
                    return try configs.altered([:], by: steps, inherited: inherited)
                }
            }
            alterations.commit(validateOnly: request.validateOnly, call) { results in
                var response = AlterConfigsResponse()
                response.responses = zip(request.resources, results).map { resource, refusal in
                    var answer = AlterConfigsResponse.Resource()
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
}
