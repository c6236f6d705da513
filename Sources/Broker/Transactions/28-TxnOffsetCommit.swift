internal import KafkaProtocol
internal import Store

/// TxnOffsetCommit, versions 0–5: offsets of a group that are committed when the producer's transaction is. They are on
/// disk when the answer leaves, and seen by nobody until the transaction ends. From version 3 on the group checks the member
/// (KIP-447), from version 5 on the group comes into the transaction by this (KIP-890).
struct TxnOffsetCommitHandler: Handler {
    func handle(_ request: TxnOffsetCommitRequest, _ call: Call, _ reply: Reply) {
        var offsets = ResolvedOffsets(call)
        var response = TxnOffsetCommitResponse()
        response.topics = request.topics.map { asked in
            let topic = call.broker.store.topic(named: asked.name)
            var answer = TxnOffsetCommitResponse.Topic()
            answer.name = asked.name
            answer.partitions = asked.partitions.map { partition in
                var one = TxnOffsetCommitResponse.Partition()
                one.partitionIndex = partition.partitionIndex
                one.errorCode = offsets.add(
                    topic, partition.partitionIndex, offset: partition.committedOffset, leaderEpoch: partition.committedLeaderEpoch,
                    metadata: partition.committedMetadata)
                return one
            }
            return answer
        }
        guard !offsets.isEmpty else { return reply.send(response) }
        let draft = response
        call.broker.groups.commit(offsets.values, with: request, call) { code in
            var response = draft
            for topic in response.topics.indices {
                for partition in response.topics[topic].partitions.indices
                where response.topics[topic].partitions[partition].errorCode == .none {
                    response.topics[topic].partitions[partition].errorCode = code
                }
            }
            reply.send(response)
        }
    }
}
