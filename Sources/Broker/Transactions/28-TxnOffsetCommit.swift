internal import KafkaProtocol
internal import Store

/// TxnOffsetCommit, versions 0–5: offsets of a group that are committed when the producer's transaction is. They are on
/// disk when the answer leaves, and seen by nobody until the transaction ends. From version 3 on the group checks the member
/// (KIP-447), from version 5 on the group comes into the transaction by this (KIP-890).
struct TxnOffsetCommitHandler: Handler {
    func handle(_ request: TxnOffsetCommitRequest, _ call: Call, _ reply: Reply) {
        var gathered = OffsetsToCommit(call)
        for topic in request.topics { gathered.add(topic.name, topic.partitions) }
        let offsets = gathered
        let answer: @Sendable (ErrorCode) -> Void = { code in reply.send(TxnOffsetCommitResponse { $0.topics = offsets.answers(code) }) }
        if offsets.values.isEmpty { return answer(.none) }
        call.broker.groups.commit(offsets.values, with: request, call, finish: answer)
    }
}
