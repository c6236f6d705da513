internal import KafkaProtocol
internal import Store

/// CreatePartitions 0–3 (KIP-195).
struct CreatePartitionsHandler: Handler {
    func handle(_ request: CreatePartitionsRequest, _ call: Call, _ reply: Reply) {
        var creation = TopicCreation(call.broker)
        var counts: [String: Int] = [:]
        for topic in request.topics { counts[topic.name, default: 0] += 1 }
        var results: [CreatePartitionsResponse.Result] = []
        var operations: [(index: Int, operation: AdminOperation)] = []
        for asked in request.topics {
            guard let count = counts.removeValue(forKey: asked.name) else { continue }
            var result = CreatePartitionsResponse.Result()
            result.name = asked.name
            do throws(Refusal) {
                guard count == 1 else { throw Refusal(.invalidRequest, "Duplicate topic in request.") }
                operations.append((results.count, try Self.operation(asked, call, &creation)))
            } catch {
                result.errorCode = error.code
                result.errorMessage = error.message
            }
            results.append(result)
        }
        let (drafts, planned) = (results, operations)
        call.perform(request.validateOnly ? [] : operations.map(\.operation)) { outcomes in
            var response = CreatePartitionsResponse()
            response.results = drafts
            for ((index, _), outcome) in zip(planned, outcomes) {
                guard let refusal = outcome.refusal else { continue }
                response.results[index].errorCode = refusal.code
                response.results[index].errorMessage = refusal.message
            }
            reply.send(response)
        }
    }

    private static func operation(
        _ asked: CreatePartitionsRequest.Topic, _ call: Call, _ creation: inout TopicCreation
    ) throws(Refusal) -> AdminOperation {
        guard let topic = call.broker.store.topic(named: asked.name) else {
            throw Refusal(.unknownTopicOrPartition, "There is no topic named '\(asked.name)'.")
        }
        let (count, present) = (Int(asked.count), topic.partitions.count)
        guard count > present else {
            let message =
                count == present
                ? "Topic already has \(present) partition(s)."
                : "The topic \(asked.name) currently has \(present) partition(s); \(count) would not be an increase."
            throw Refusal(.invalidPartitions, message)
        }
        try creation.grant(count - present)
        if let assignments = asked.assignments {
            guard assignments.count == count - present else {
                throw Refusal(
                    .invalidReplicaAssignment,
                    "Attempted to add \(count - present) additional partition(s), but \(assignments.count) assignment(s) were specified.")
            }
            let nodeID = call.broker.configuration.current.nodeID
            for assignment in assignments { try TopicCreation.check(assignment.brokerIDs, nodeID: nodeID) }
        }
        return .createPartitions(topicID: topic.id, total: count)
    }
}
