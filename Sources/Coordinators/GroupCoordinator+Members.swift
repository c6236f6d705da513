public import KafkaProtocol

/// What members ask: to be in, to get their share, to stay, to go.
extension GroupCoordinator {
    /// The answer may come much later, with the effects of another request or of `advance`.
    public mutating func join(_ request: JoinGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        let groupID = request.groupID
        func refuse(_ code: ErrorCode) -> GroupEffects {
            GroupEffects(groupID: groupID, replies: [(caller.token, ClassicGroup.refusal(of: request, code))])
        }
        guard Self.isValid(groupID: groupID) else { return refuse(.invalidGroupID) }
        let options = environment.options
        guard (options.sessionTimeoutMsMin...max(options.sessionTimeoutMsMin, options.sessionTimeoutMsMax)).contains(request.sessionTimeoutMs) else {
            return refuse(.invalidSessionTimeout)
        }
        if let effects = joinInPlaceOfEmptyConsumerGroup(request, caller, at: moment) { return effects }
        if let effects = change(groupID, { group, environment in group.join(request, caller, &environment, at: moment) }) { return effects }
        // Only who has no id yet begins a group.
        guard request.memberID.isEmpty else { return refuse(.unknownMemberID) }
        var group = GroupKind.classic(ClassicGroup(id: groupID, at: moment))
        let effects = group.join(request, caller, &environment, at: moment)
        keep(group, as: groupID)
        return effects
    }

    /// The answer of a follower comes with the effects of its leader's request.
    public mutating func sync(_ request: SyncGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        if let effects = change(request.groupID, { group, environment in group.sync(request, caller, environment, at: moment) }) { return effects }
        return GroupEffects(groupID: request.groupID, replies: [(caller.token, .sync(SyncGroupResponse { $0.errorCode = Self.strangerError(request.groupID) }))])
    }

    public mutating func heartbeat(_ request: HeartbeatRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        if let effects = change(request.groupID, { group, environment in group.heartbeat(request, caller, environment, at: moment) }) { return effects }
        let response = HeartbeatResponse { $0.errorCode = Self.strangerError(request.groupID) }
        return GroupEffects(groupID: request.groupID, replies: [(caller.token, .heartbeat(response))])
    }

    public mutating func leave(_ request: LeaveGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        if let effects = change(request.groupID, { group, environment in group.leave(request, caller, &environment, at: moment) }) { return effects }
        let code = Self.strangerError(request.groupID)
        var response = LeaveGroupResponse { $0.errorCode = code }
        if code == .unknownMemberID {
            // There was no such group; so none of them was in it.
            let strangers = request.leavers(caller.version).map { leaver in
                LeaveGroupResponse.Member { ($0.memberID, $0.groupInstanceID, $0.errorCode) = (leaver.memberID, leaver.groupInstanceID, code) }
            }
            response = .to(strangers, caller.version)
        }
        return GroupEffects(groupID: request.groupID, replies: [(caller.token, .leave(response))])
    }

    /// What a member of no group is told.
    private static func strangerError(_ groupID: String) -> ErrorCode { isValid(groupID: groupID) ? .unknownMemberID : .invalidGroupID }
}
