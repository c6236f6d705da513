internal import KafkaProtocol
internal import Store

/// DeleteTopics 1–6 (KIP-516, KIP-599): by name, or by id from version 6 on. The topic is gone for clients when the answer
/// comes; its extents are freed by and by.
struct DeleteTopicsHandler: Handler {
    func handle(_ request: DeleteTopicsRequest, _ call: Call, _ reply: Reply) {
        let asked = reply.version >= 6 ? request.topics : request.topicNames.map(Self.byName)
        var answers: [DeleteTopicsResponse.Topic] = []
        var found: [(index: Int, topic: Topic)] = []
        let targets = asked.map { Self.find($0, call, version: reply.version) }
        var counts: [Uuid: Int] = [:]
        for case .success(let topic) in targets { counts[topic.id, default: 0] += 1 }
        for (lookup, target) in zip(asked, targets) {
            switch target {
            case .success(let topic) where counts[topic.id] == 1:
                found.append((answers.count, topic))
                answers.append(Self.answer(lookup, nil, topic))
            case .success:
                answers.append(Self.answer(lookup, Refusal(.invalidRequest, "The topic is named more than once in one request.")))
            case .failure(let refusal): answers.append(Self.answer(lookup, refusal))
            }
        }
        let (drafts, topics) = (answers, found)
        call.perform(found.map { .deleteTopic(id: $0.topic.id) }) { outcomes in
            var response = DeleteTopicsResponse()
            response.responses = drafts
            for ((index, _), outcome) in zip(topics, outcomes) {
                guard let refusal = outcome.refusal else { continue }
                // Another request was faster.
                let isByName = asked[index].name != nil && refusal.code == .unknownTopicID
                response.responses[index].errorCode = isByName ? .unknownTopicOrPartition : refusal.code
                response.responses[index].errorMessage = refusal.message
            }
            reply.send(response)
        }
    }

    private static func byName(_ name: String) -> DeleteTopicsRequest.Topic {
        var topic = DeleteTopicsRequest.Topic()
        topic.name = name
        return topic
    }

    private static func find(_ lookup: DeleteTopicsRequest.Topic, _ call: Call, version: Int16) -> Result<Topic, Refusal> {
        guard call.broker.configuration.current.deletesTopics else {
            return .failure(
                Refusal(version >= 3 ? .topicDeletionDisabled : .invalidRequest, "Topic deletion is disabled (delete.topic.enable)."))
        }
        let store = call.broker.store
        switch (lookup.name, lookup.topicID.isZero) {
        case (.some, false): return .failure(Refusal(.invalidRequest, "Topic name and topic id cannot both be specified."))
        case (nil, true): return .failure(Refusal(.invalidRequest, "Neither topic name nor id were specified."))
        case (let name?, true):
            return store.topic(named: name).map { .success($0) }
                ?? .failure(Refusal(.unknownTopicOrPartition, "There is no topic named '\(name)'."))
        case (nil, false):
            return store.topic(id: lookup.topicID).map { .success($0) }
                ?? .failure(Refusal(.unknownTopicID, "There is no topic with the id \(lookup.topicID)."))
        }
    }

    private static func answer(_ lookup: DeleteTopicsRequest.Topic, _ refusal: Refusal?, _ topic: Topic? = nil)
        -> DeleteTopicsResponse.Topic
    {
        var answer = DeleteTopicsResponse.Topic()
        answer.name = topic?.name ?? lookup.name
        answer.topicID = topic?.id ?? lookup.topicID
        answer.errorCode = refusal?.code ?? .none
        answer.errorMessage = refusal?.message
        return answer
    }
}
