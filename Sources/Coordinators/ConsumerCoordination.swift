public import KafkaProtocol

/// The new protocol's requests, and what becomes of a group that is of the other one.
extension GroupCoordinator {
    /// The pattern of a heartbeat that its group does not know: to be looked up before `consumerHeartbeat`.
    public func newPattern(in request: ConsumerGroupHeartbeatRequest) -> String? {
        // Who leaves may say what it likes.
        guard request.memberEpoch >= 0, let pattern = request.topicPattern else { return nil }
        if case .consumer(let group) = groups[request.groupID], group.subscriptions.knows(pattern) { return nil }
        return pattern
    }

    /// KIP-848. Always answered at once; the answer leaves when the records that it tells of are durable.
    /// - Parameter lookup: Of the pattern, where it is new to the group.
    public mutating func consumerHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ lookup: PatternLookup? = nil, at moment: Moment
    ) -> GroupEffects {
        let groupID = request.groupID
        do throws(Refusal) {
            try ConsumerHeartbeatRules.check(request, version: caller.version, environment.options)
            guard Self.isValid(groupID: groupID) else { throw Refusal(.invalidGroupID, "GroupId can't be longer than 255 bytes.") }
            let here = change(groupID) { kind, environment in kind.consumerHeartbeat(request, caller, lookup, &environment, at: moment) }
            if let effects = here.flatMap(\.self) { return effects }
            // Only who joins begins a group, or moves one over from the classic protocol.
            guard request.memberEpoch == 0 else { throw Refusal(.groupIDNotFound, "Consumer group \(groupID) not found.") }
            return try begin(request, caller, lookup, at: moment)
        } catch {
            return GroupEffects(groupID: groupID, replies: [(caller.token, .consumerHeartbeat(ConsumerGroup.refusal(error)))])
        }
    }

    /// The first member that speaks the new protocol. If it is not let in, everything is as it was.
    private mutating func begin(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ lookup: PatternLookup?, at moment: Moment
    ) throws(Refusal) -> GroupEffects {
        var group: ConsumerGroup
        var former = GroupEffects(groupID: request.groupID)
        if case .classic(var classic) = groups[request.groupID] {
            if classic.state == .empty {
                group = ConsumerGroup(id: request.groupID, after: classic.generationID)
            } else {
                guard let upgraded = ConsumerGroup(upgrading: classic, environment, at: moment) else {
                    throw Refusal(
                        .groupIDNotFound,
                        "Group \(request.groupID) is a classic group that cannot become a consumer group: by group.consumer.migration.policy, its size, or its members' protocol or assignor."
                    )
                }
                group = upgraded
            }
            former = classic.release(answering: .rebalanceInProgress)
            former.records = classic.tombstones()
        } else {
            group = ConsumerGroup(id: request.groupID)
        }
        let joined = group.heartbeat(request, caller, lookup, &environment, at: moment)
        guard joined.replies.allSatisfy({ $0.response.errorCode == .none }) else { return GroupEffects(groupID: request.groupID, replies: joined.replies) }
        former.records += joined.records
        former.replies += joined.replies
        keep(.consumer(group), as: request.groupID)
        return former
    }

    /// JoinGroup to a group of the new protocol that has no members: it becomes one of the classic protocol. Nil for any
    /// other group.
    mutating func joinInPlaceOfEmptyConsumerGroup(_ request: JoinGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects? {
        guard case .consumer(let empty) = groups[request.groupID], empty.isEmpty else { return nil }
        var classic = ClassicGroup(id: request.groupID, at: moment)
        classic.generationID = empty.header.epoch
        classic.emptySinceMs = empty.emptySinceMs
        var effects = classic.join(request, caller, &environment, at: moment)
        let isRefused = effects.replies.contains { ![ErrorCode.none, .memberIDRequired].contains($0.response.errorCode) }
        guard !isRefused else { return GroupEffects(groupID: request.groupID, replies: effects.replies) }
        effects.records = empty.tombstones() + effects.records
        keep(.classic(classic), as: request.groupID)
        return effects
    }
}

extension GroupKind {
    /// Nil for a group of the classic protocol.
    mutating func consumerHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ lookup: PatternLookup?, _ environment: inout GroupEnvironment,
        at moment: Moment
    ) -> GroupEffects? {
        switch consume self {
        case .classic(let group):
            self = .classic(group)
            return nil
        case .consumer(var group):
            var effects = group.heartbeat(request, caller, lookup, &environment, at: moment)
            self = group.settled(&effects, environment, at: moment)
            return effects
        }
    }
}
