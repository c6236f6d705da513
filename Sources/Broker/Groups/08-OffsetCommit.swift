internal import KafkaProtocol
internal import Store

/// OffsetCommit, versions 2–9: the offsets are on disk when the answer leaves, in one step with everything else of their
/// commit. Partitions that do not exist and metadata that is too long are refused one by one; the rest is committed.
struct OffsetCommitHandler: Handler {
    func handle(_ request: OffsetCommitRequest, _ call: Call, _ reply: Reply) {
        var gathered = OffsetsToCommit(call, retentionTimeMs: request.retentionTimeMs)
        for topic in request.topics { gathered.add(topic.name, topic.partitions) }
        let offsets = gathered
        let answer: @Sendable (ErrorCode) -> Void = { code in reply.send(OffsetCommitResponse { $0.topics = offsets.answers(code) }) }
        if offsets.values.isEmpty { return answer(.none) }
        let committer = GroupService.Committer(
            groupID: request.groupID, memberID: request.memberID, groupInstanceID: request.groupInstanceID,
            generationIDOrMemberEpoch: request.generationIDOrMemberEpoch, version: call.header.version)
        call.broker.groups.commit(offsets.values, by: committer, call.lane, finish: answer)
    }
}
