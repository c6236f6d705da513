internal import KafkaProtocol
internal import Store

/// ElectLeaders 0–2 (KIP-460). A single broker leads every partition, and is its preferred leader: there is nobody else to elect.
struct ElectLeadersHandler: Handler {
    func handle(_ request: ElectLeadersRequest, _ call: Call, _ reply: Reply) {
        var response = ElectLeadersResponse()
        // Preferred or unclean.
        guard (0...1).contains(request.electionType) else {
            response.errorCode = .invalidRequest
            return reply.send(response)
        }
        // As in Kafka, who asks for all is told of none where nothing had to be done.
        var named = NamedPartitions()
        response.replicaElectionResults = (request.topicPartitions ?? []).map { asked in
            let count = call.broker.store.topic(named: asked.topic)?.partitions.count ?? 0
            var topic = ElectLeadersResponse.Topic()
            topic.topic = asked.topic
            topic.partitionResult = named.new(asked.partitions, of: asked.topic).map { index in
                var partition = ElectLeadersResponse.Partition()
                partition.partitionID = index
                partition.errorCode = (0..<count).contains(Int(index)) ? .electionNotNeeded : .unknownTopicOrPartition
                return partition
            }
            return topic
        }
        reply.send(response, capacity: 1024)
    }
}
