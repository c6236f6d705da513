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
        call.broker.groups.commit(commit.offsets, by: committer, call.lane) { reply.send(commit.response($0)) }
    }
}

/// The offsets of a request that can be committed, and what is wrong with the others.
private struct OffsetsToCommit: Sendable {
    private let refused: OffsetCommitResponse
    private(set) var offsets: [(key: OffsetKey, value: CommittedOffset?)] = []

    init(_ request: OffsetCommitRequest, _ call: Call) {
        let metadataBytesMax = call.broker.configuration.current.offsetMetadataBytesMax
        let now = WallClock.nowMs
        let expireTimeMs = request.retentionTimeMs >= 0 ? now.addingReportingOverflow(request.retentionTimeMs).partialValue : -1
        var response = OffsetCommitResponse()
        for asked in request.topics {
            let topic = call.broker.store.topic(named: asked.name)
            var answer = OffsetCommitResponse.Topic()
            answer.name = asked.name
            for partition in asked.partitions {
                var one = OffsetCommitResponse.Partition()
                one.partitionIndex = partition.partitionIndex
                let metadata = partition.committedMetadata ?? ""
                if let topic, topic.partitions.indices.contains(Int(partition.partitionIndex)) {
                    if metadata.utf8.count > metadataBytesMax {
                        one.errorCode = .offsetMetadataTooLarge
                    } else {
                        offsets.append(
                            (
                                OffsetKey(topicID: topic.id, partition: partition.partitionIndex),
                                CommittedOffset(
                                    offset: partition.committedOffset, leaderEpoch: partition.committedLeaderEpoch, metadata: metadata,
                                    commitTimeMs: now, expireTimeMs: expireTimeMs)
                            ))
                    }
                } else {
                    one.errorCode = .unknownTopicOrPartition
                }
                answer.partitions.append(one)
            }
            response.topics.append(answer)
        }
        refused = response
    }

    /// The answer, where `code` became of the offsets that could be committed.
    func response(_ code: ErrorCode) -> OffsetCommitResponse {
        guard code != .none else { return refused }
        var response = refused
        for topic in response.topics.indices {
            for partition in response.topics[topic].partitions.indices where response.topics[topic].partitions[partition].errorCode == .none {
                response.topics[topic].partitions[partition].errorCode = code
            }
        }
        return response
    }
}
