internal import KafkaProtocol
internal import Store

/// CreateTopics 2–7 (KIP-464, KIP-525, KIP-516). The topics of one request are created in one commit where they fit; each
/// succeeds or fails on its own. The answer comes when they are on disk, whatever `timeout_ms` says.
struct CreateTopicsHandler: Handler {
    func handle(_ request: CreateTopicsRequest, _ call: Call, _ reply: Reply) {
        var creation = TopicCreation(call.broker)
        let defaults = reply.version >= 5 ? Self.configs([:], call) : []
        var counts: [String: Int] = [:]
        for topic in request.topics { counts[topic.name, default: 0] += 1 }
        var answers: [CreateTopicsResponse.Topic] = []
        var plans: [(index: Int, plan: TopicCreation.Plan)] = []
        for topic in request.topics {
            guard let count = counts.removeValue(forKey: topic.name) else { continue }
            do throws(Refusal) {
                guard count == 1 else { throw Refusal(.invalidRequest, "Duplicate topic name.") }
                let plan = try creation.plan(topic)
                plans.append((answers.count, plan))
                answers.append(Self.answer(plan, defaults, call))
            } catch {
                answers.append(Self.answer(topic.name, error))
            }
        }
        if request.validateOnly { return send(answers, reply) }
        let (planned, drafts) = (plans, answers)
        call.perform(plans.map(\.plan.operation)) { outcomes in
            var answers = drafts
            for ((index, plan), outcome) in zip(planned, outcomes) {
                switch outcome {
                case .topic(let topic): answers[index].topicID = topic.id
                case .failure(let code, let message): answers[index] = Self.answer(plan.name, Refusal(code, message))
                default: answers[index] = Self.answer(plan.name, Refusal(.unknownServerError, "The store gave no answer."))
                }
            }
            send(answers, reply)
        }
    }

    private func send(_ topics: [CreateTopicsResponse.Topic], _ reply: Reply) {
        var response = CreateTopicsResponse()
        response.topics = topics
        reply.send(response, capacity: 256 + min(topics.count, 1000) * 2048)
    }

    /// `defaults`: the configs of a topic without overrides.
    private static func answer(_ plan: TopicCreation.Plan, _ defaults: [CreateTopicsResponse.Config], _ call: Call)
        -> CreateTopicsResponse.Topic
    {
        var topic = CreateTopicsResponse.Topic()
        topic.name = plan.name
        topic.numPartitions = Int32(plan.partitionCount)
        topic.replicationFactor = 1
        guard call.header.version >= 5 else { return topic }
        topic.configs = plan.configs.isEmpty ? defaults : Self.configs(plan.configs, call)
        return topic
    }

    private static func configs(_ overrides: [String: String], _ call: Call) -> [CreateTopicsResponse.Config] {
        call.broker.configuration.current.layers.describeTopic(overrides: overrides).map { described in
            var config = CreateTopicsResponse.Config()
            config.name = described.name
            config.value = described.value
            config.readOnly = described.isReadOnly
            config.configSource = described.source.rawValue
            config.isSensitive = described.isSensitive
            return config
        }
    }

    private static func answer(_ name: String, _ refusal: Refusal) -> CreateTopicsResponse.Topic {
        var topic = CreateTopicsResponse.Topic()
        topic.name = name
        topic.errorCode = refusal.code
        topic.errorMessage = refusal.message
        return topic
    }
}
