internal import KafkaProtocol

/// What others ask of the group.
extension ConsumerGroup {
    /// May this member commit? UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH (ILLEGAL_GENERATION for a member of the classic
    /// protocol and in a transaction), UNSUPPORTED_VERSION
    mutating func admitCommit(_ claim: CommitClaim, at moment: Moment) -> ErrorCode {
        // From outside, as long as nobody is in.
        if claim.generationIDOrMemberEpoch < 0, members.isEmpty { return .none }
        // A transaction need not say for which member it commits.
        let isAnonymous = claim.memberID.isEmpty && claim.groupInstanceID == nil && claim.generationIDOrMemberEpoch == -1
        if claim.isTransactional, isAnonymous { return .none }
        guard let member = members[claim.memberID] else { return .unknownMemberID }
        // Before version 9 a client could not understand STALE_MEMBER_EPOCH.
        if !claim.isTransactional, !member.isClassic, claim.version < 9 { return .unsupportedVersion }
        var code = check(claim.generationIDOrMemberEpoch, of: member)
        // Of a transaction, clients give up no more than that for this code, and their producer for the other.
        if claim.isTransactional, code == .staleMemberEpoch { code = .illegalGeneration }
        if code == .none, let face = member.profile.classic { deadlines[member.id]?.session = moment.monotonicMs + Int64(face.sessionTimeoutMs) }
        return code
    }

    /// May this member read the group's offsets? Nil and −1 say nothing, and are let through.
    func admitFetch(memberID: String?, memberEpoch: Int32) -> ErrorCode {
        if memberID == nil, memberEpoch < 0 { return .none }
        guard let memberID, let member = members[memberID] else { return .unknownMemberID }
        return check(memberEpoch, of: member)
    }

    private func check(_ epoch: Int32, of member: ConsumerMember) -> ErrorCode {
        if epoch == member.holding.epoch { return .none }
        return member.isClassic ? .illegalGeneration : .staleMemberEpoch
    }

    /// The topics that members are subscribed to: as of the last lookup, or looked up now where there was none since the group was loaded.
    func subscribedTopics(_ topics: any TopicDirectory) -> Set<String> {
        var looked = self
        looked.subscriptions.refresh(patterns: patterns, topics, restMs: .max, at: Moment(monotonicMs: 0, wallClockMs: 0))
        return members.keys.reduce(into: looked.subscribedNames) { names, memberID in
            names.formUnion(looked.heldUnresolved(by: memberID.text, topics).map(\.name))
        }
    }

    var listed: ListGroupsResponse.Group {
        ListGroupsResponse.Group {
            $0.groupID = id
            $0.protocolType = ConsumerProtocol.type
            $0.groupState = state
            $0.groupType = "consumer"
        }
    }

    func described(_ environment: GroupEnvironment) -> ConsumerGroupDescribeResponse.Group {
        ConsumerGroupDescribeResponse.Group {
            $0.groupID = id
            $0.groupState = state
            $0.groupEpoch = header.epoch
            $0.assignmentEpoch = header.assignmentEpoch
            $0.assignorName = assignor(environment.options).rawValue
            $0.members = members.keys.sorted().compactMap { members[$0] }.map { describe($0, environment.topics) }
        }
    }

    private func describe(_ member: ConsumerMember, _ topics: any TopicDirectory) -> ConsumerGroupDescribeResponse.Member {
        func assignment(_ partitions: PartitionSet) -> ConsumerGroupDescribeResponse.Assignment {
            ConsumerGroupDescribeResponse.Assignment {
                // A topic that is gone has no name to be shown by.
                $0.topicPartitions = partitions.sorted.compactMap { topicID, indexes in
                    guard let topic = topics.topic(id: topicID) else { return nil }
                    return ConsumerGroupDescribeResponse.TopicPartitions {
                        $0.topicID = topicID
                        $0.topicName = topic.name
                        $0.partitions = indexes
                    }
                }
            }
        }
        return ConsumerGroupDescribeResponse.Member {
            $0.memberID = member.id
            $0.instanceID = member.profile.instanceID
            $0.rackID = member.profile.rackID
            $0.memberEpoch = member.holding.epoch
            $0.clientID = member.profile.clientID
            $0.clientHost = member.profile.clientHost
            $0.subscribedTopicNames = member.profile.topicNames
            $0.subscribedTopicRegex = member.profile.topicPattern
            $0.assignment = assignment(member.holding.assigned)
            $0.targetAssignment = assignment(targets[member.id] ?? PartitionSet())
            $0.memberType = member.isClassic ? 0 : 1
        }
    }
}
