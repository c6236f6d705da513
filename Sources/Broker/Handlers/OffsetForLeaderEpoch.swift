internal import KafkaProtocol
internal import Store

/// OffsetForLeaderEpoch, versions 2–4: where a leader epoch ended (KIP-101, KIP-279, KIP-320).
struct OffsetForLeaderEpochHandler: Handler {
    func handle(_ request: OffsetForLeaderEpochRequest, _ call: Call, _ reply: Reply) {
        var response = OffsetForLeaderEpochResponse()
        response.topics = request.topics.map { asked in
            let topic = call.broker.store.topic(named: asked.topic)
            var answer = OffsetForLeaderEpochResponse.Topic()
            answer.topic = asked.topic
            answer.partitions = asked.partitions.map { Self.partition($0, topic) }
            return answer
        }
        reply.send(response)
    }

    private static func partition(
        _ asked: OffsetForLeaderEpochRequest.Partition, _ topic: Topic?
    ) -> OffsetForLeaderEpochResponse.Partition {
        var answer = OffsetForLeaderEpochResponse.Partition()
        answer.partition = asked.partition
        do throws(ProtocolError) {
            let partition = try ProtocolError.partition(asked.partition, of: topic)
            try ProtocolError.check(currentLeaderEpoch: asked.currentLeaderEpoch, of: partition)
            let end = partition.epochEnd(of: asked.leaderEpoch)
            answer.leaderEpoch = end.epoch
            answer.endOffset = end.endOffset
        } catch {
            answer.errorCode = error.errorCode
        }
        return answer
    }
}
