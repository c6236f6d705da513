import KafkaProtocol

extension RefusableApi {
    static let groups = [
        RefusableApi(FindCoordinatorRequest.self, [.coordinatorNotAvailable]),
        RefusableApi(JoinGroupRequest.self, coordinatorErrors + [.rebalanceInProgress]),
        RefusableApi(SyncGroupRequest.self, coordinatorErrors + [.rebalanceInProgress]),
        RefusableApi(HeartbeatRequest.self, coordinatorErrors + [.rebalanceInProgress]),
        RefusableApi(LeaveGroupRequest.self, coordinatorErrors),
        RefusableApi(ConsumerGroupHeartbeatRequest.self, coordinatorErrors),
        RefusableApi(OffsetCommitRequest.self, coordinatorErrors + [.requestTimedOut]),
        RefusableApi(OffsetFetchRequest.self, coordinatorErrors),
    ]
}

extension FindCoordinatorRequest: Refusable {
    func refusal(_ code: ErrorCode) -> FindCoordinatorResponse? {
        FindCoordinatorResponse {
            ($0.errorCode, $0.nodeID, $0.port) = (code, -1, -1)
            $0.coordinators = coordinatorKeys.map { key in
                FindCoordinatorResponse.Coordinator { ($0.key, $0.errorCode, $0.nodeID, $0.port) = (key, code, -1, -1) }
            }
        }
    }
}

extension JoinGroupRequest: Refusable {
    func refusal(_ code: ErrorCode) -> JoinGroupResponse? { JoinGroupResponse { ($0.errorCode, $0.memberID) = (code, memberID) } }
}

extension SyncGroupRequest: Refusable {
    func refusal(_ code: ErrorCode) -> SyncGroupResponse? { SyncGroupResponse { $0.errorCode = code } }
}

extension HeartbeatRequest: Refusable {
    func refusal(_ code: ErrorCode) -> HeartbeatResponse? { HeartbeatResponse { $0.errorCode = code } }
}

extension LeaveGroupRequest: Refusable {
    func refusal(_ code: ErrorCode) -> LeaveGroupResponse? { LeaveGroupResponse { $0.errorCode = code } }
}

extension ConsumerGroupHeartbeatRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ConsumerGroupHeartbeatResponse? {
        ConsumerGroupHeartbeatResponse { $0.errorCode = code }
    }
}

extension OffsetCommitRequest: Refusable {
    func refusal(_ code: ErrorCode) -> OffsetCommitResponse? {
        // Said to members only.
        if code == .rebalanceInProgress || code == .staleMemberEpoch, generationIDOrMemberEpoch < 0 { return nil }
        return OffsetCommitResponse {
            $0.topics = topics.map { topic in
                OffsetCommitResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitions.map { part in
                        OffsetCommitResponse.Partition { ($0.partitionIndex, $0.errorCode) = (part.partitionIndex, code) }
                    }
                }
            }
        }
    }
}

extension OffsetFetchRequest: Refusable {
    func refusal(_ code: ErrorCode) -> OffsetFetchResponse? {
        if code == .unstableOffsetCommit { return requireStable ? unstable() : nil }
        if code == .staleMemberEpoch, groups.allSatisfy({ $0.memberEpoch < 0 }) { return nil }
        return OffsetFetchResponse {
            $0.errorCode = code
            $0.groups = groups.map { group in OffsetFetchResponse.Group { ($0.groupID, $0.errorCode) = (group.groupID, code) } }
        }
    }

    /// A transaction holds the offsets: said for each partition (KIP-447).
    private func unstable() -> OffsetFetchResponse {
        OffsetFetchResponse {
            $0.topics = (topics ?? []).map { topic in
                OffsetFetchResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitionIndexes.map { index in
                        OffsetFetchResponse.Partition { ($0.partitionIndex, $0.committedOffset, $0.errorCode) = (index, -1, .unstableOffsetCommit) }
                    }
                }
            }
            $0.groups = groups.map { group in
                OffsetFetchResponse.Group {
                    $0.groupID = group.groupID
                    $0.topics = (group.topics ?? []).map { topic in
                        OffsetFetchResponse.GroupTopic {
                            $0.name = topic.name
                            $0.partitions = topic.partitionIndexes.map { index in
                                OffsetFetchResponse.GroupPartition {
                                    ($0.partitionIndex, $0.committedOffset, $0.errorCode) = (index, -1, .unstableOffsetCommit)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
