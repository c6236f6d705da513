internal import KafkaProtocol
internal import Store

/// OffsetCommit, versions 2–9: the offsets are on disk when the answer leaves, in one step with everything else of their
/// commit. Partitions that do not exist and metadata that is too long are refused one by one; the rest is committed.
struct OffsetCommitHandler: Handler {
    func handle(_ request: OffsetCommitRequest, _ call: Call, _ reply: Reply) {
        let commit = OffsetsToCommit(request, call)
        guard !commit.offsets.isEmpty else { return reply.send(commit.response(.none)) }
        let committer = GroupService.Committer(
            groupID: request.groupID, memberID: request.memberID, groupInstanceID: request.groupInstanceID,
            generationIDOrMemberEpoch: request.generationIDOrMemberEpoch, version: call.header.version)
        call.broker.groups.commit(commit.offsets.values, by: committer, call.lane) { reply.send(commit.response($0)) }
    }
}

/// The offsets of a request that can be committed, and what is wrong with the others.
private struct OffsetsToCommit: Sendable {
    private let refused: OffsetCommitResponse
    let offsets: ResolvedOffsets

    init(_ request: OffsetCommitRequest, _ call: Call) {
        var offsets = ResolvedOffsets(call, retentionTimeMs: request.retentionTimeMs)
        var response = OffsetCommitResponse()
        response.topics = request.topics.map { asked in
            let topic = call.broker.store.topic(named: asked.name)
            var answer = OffsetCommitResponse.Topic()
            answer.name = asked.name
            answer.partitions = asked.partitions.map { partition in
                var one = OffsetCommitResponse.Partition()
                one.partitionIndex = partition.partitionIndex
                one.errorCode = offsets.add(
                    topic, partition.partitionIndex, offset: partition.committedOffset, leaderEpoch: partition.committedLeaderEpoch,
                    metadata: partition.committedMetadata)
                return one
            }
            return answer
        }
        refused = response
        self.offsets = offsets
    }

    /// The answer, where `code` became of the commit: it is said of all partitions that are there.
    func response(_ code: ErrorCode) -> OffsetCommitResponse {
        guard code != .none else { return refused }
        var response = refused
        for topic in response.topics.indices {
            for partition in response.topics[topic].partitions.indices
            where response.topics[topic].partitions[partition].errorCode != .unknownTopicOrPartition {
                response.topics[topic].partitions[partition].errorCode = code
            }
        }
        return response
    }
}
