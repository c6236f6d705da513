public import KafkaProtocol

/// The new protocol's requests, and what becomes of a group that is of the other one.
extension GroupCoordinator {
    /// KIP-848. Always answered at once; the answer leaves when the records that it tells of are durable.
    public mutating func consumerHeartbeat(_ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        let groupID = request.groupID
        func refuse(_ refusal: Refusal) -> GroupEffects {
            GroupEffects(groupID: groupID, replies: [(caller.token, .consumerHeartbeat(ConsumerGroup.refusal(refusal)))])
        }
        do throws(Refusal) {
            try ConsumerHeartbeatRules.check(request, version: caller.version, environment.options)
            guard Self.isValid(groupID: groupID) else { throw Refusal(.invalidGroupID, "GroupId can't be longer than 255 bytes.") }
        } catch {
            return refuse(error)
        }
        let here = change(groupID) { kind, environment in kind.consumerHeartbeat(request, caller, &environment, at: moment) }
        if let effects = here.flatMap(\.self) { return effects }
        // Only who joins begins a group, or moves one over from the classic protocol.
        guard request.memberEpoch == 0 else { return refuse(Refusal(.groupIDNotFound, "Consumer group \(groupID) not found.")) }
        var effects = GroupEffects(groupID: groupID)
        let epoch: Int32
        switch groups[groupID] {
        case nil: epoch = 0
        case .classic(let group) where group.state == .empty:
            effects.records = group.tombstones()
            epoch = 0
        default: return refuse(Refusal(.groupIDNotFound, "Group \(groupID) is not a consumer group."))
        }
        var group = ConsumerGroup(id: groupID, after: epoch)
        let joined = group.heartbeat(request, caller, &environment, at: moment)
        guard !group.isEmpty else { return joined }
        effects.records += joined.records
        effects.replies += joined.replies
        keep(.consumer(group), as: groupID)
        return effects
    }
}

extension GroupKind {
    /// Nil for a group of the classic protocol.
    mutating func consumerHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment
    ) -> GroupEffects? {
        switch consume self {
        case .classic(let group):
            self = .classic(group)
            return nil
        case .consumer(var group):
            let effects = group.heartbeat(request, caller, &environment, at: moment)
            self = .consumer(group)
            return effects
        }
    }
}
