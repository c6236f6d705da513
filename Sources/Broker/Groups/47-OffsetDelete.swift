internal import KafkaProtocol
internal import Store

/// OffsetDelete, version 0 (KIP-496): forgets offsets of topics that no member of the group is subscribed to.
struct OffsetDeleteHandler: Handler {
    func handle(_ request: OffsetDeleteRequest, _ call: Call, _ reply: Reply) {
        // Before the group is asked: the others wait meanwhile.
        let topics = Self.unique(request.topics)
        call.broker.groups.deleteOffsets(of: request.groupID, call.lane) { subscribed in
            var keys: [OffsetKey] = []
            var response = OffsetDeleteResponse()
            response.topics = topics.map { Self.answer($0, subscribed, call.broker.store, &keys) }
            return (keys, response)
        } finish: { result in
            switch result {
            case .success(let response): reply.send(response)
            case .failure(let error):
                var response = OffsetDeleteResponse()
                response.errorCode = error.errorCode
                reply.send(response)
            }
        }
    }

    private static func unique(_ topics: [OffsetDeleteRequest.Topic]) -> [OffsetDeleteRequest.Topic] {
        var named = NamedPartitions()
        return topics.map { topic in
            var unique = topic
            let indexes = named.new(topic.partitions.map(\.partitionIndex), of: topic.name)
            unique.partitions = indexes.map { index in OffsetDeleteRequest.Partition { $0.partitionIndex = index } }
            return unique
        }
    }

    private static func answer(
        _ asked: OffsetDeleteRequest.Topic, _ subscribed: Set<String>, _ store: Store, _ keys: inout [OffsetKey]
    ) -> OffsetDeleteResponse.Topic {
        let topic = store.topic(named: asked.name)
        let isSubscribed = subscribed.contains(asked.name)
        var answer = OffsetDeleteResponse.Topic()
        answer.name = asked.name
        for partition in asked.partitions {
            var one = OffsetDeleteResponse.Partition()
            one.partitionIndex = partition.partitionIndex
            if let topic, topic.partitions.indices.contains(Int(partition.partitionIndex)) {
                if isSubscribed {
                    one.errorCode = .groupSubscribedToTopic
                } else {
                    keys.append(OffsetKey(topicID: topic.id, partition: partition.partitionIndex))
                }
            } else {
                one.errorCode = .unknownTopicOrPartition
            }
            answer.partitions.append(one)
        }
        return answer
    }
}
