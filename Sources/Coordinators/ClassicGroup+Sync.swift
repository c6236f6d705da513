internal import KafkaProtocol

/// SyncGroup and Heartbeat: what a member does between two rebalances.
extension ClassicGroup {
    /// What the leader gives to one member may not be longer than this.
    static let assignmentBytesMax = 1 << 20

    mutating func sync(_ request: SyncGroupRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment) -> GroupEffects {
        if let code = take(request, caller, environment, at: moment) { answer(caller.token, .sync(SyncGroupResponse { $0.errorCode = code })) }
        return concluded()
    }

    /// Nil where the request was answered, or is kept until the leader's comes.
    private mutating func take(
        _ request: SyncGroupRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment
    ) -> ErrorCode? {
        let code = validate(request.memberID, request.groupInstanceID)
        guard code == .none else { return code }
        guard request.generationID == generationID else { return .illegalGeneration }
        // KIP-559: from version 5 on the member says what it thinks was agreed on.
        if let type = request.protocolType, type != protocolType { return .inconsistentGroupProtocol }
        if let name = request.protocolName, name != protocolName { return .inconsistentGroupProtocol }
        switch state {
        case .empty: return .unknownMemberID
        case .preparingRebalance: return .rebalanceInProgress
        case .completingRebalance:
            guard request.assignments.allSatisfy({ $0.assignment.count <= Self.assignmentBytesMax }) else { return .invalidRequest }
            if request.memberID == leaderID, environment.isFull, request.assignments.byteCount > assignedBytes { return .coordinatorNotAvailable }
            if let token = members[request.memberID]?.syncing, token != caller.token {
                answer(token, .sync(SyncGroupResponse { $0.errorCode = .rebalanceInProgress }))
            }
            update(request.memberID) { $0.syncing = caller.token }
            hasSynced(request.memberID, at: moment)
            if request.memberID == leaderID { divide(request.assignments, at: moment) }
        case .stable:
            hasSynced(request.memberID, at: moment)
            answer(caller.token, .sync(part(of: request.memberID)))
        }
        return nil
    }

    private mutating func hasSynced(_ memberID: String, at moment: Moment) {
        pendingSync.remove(memberID)
        if pendingSync.isEmpty { syncDeadlineMs = nil }
        touch(memberID, at: moment)
    }

    /// The leader has spoken. Members that it forgot get nothing, members that it made up do not exist, and of one that it
    /// named several times its last word counts.
    private mutating func divide(_ assignments: [SyncGroupRequest.Assignment], at moment: Moment) {
        for assignment in assignments { update(assignment.memberID) { $0.assignment = assignment.assignment } }
        assignedBytes = members.values.reduce(0) { $0 + $1.assignment.count }
        assignsMore = assignments.contains { !ConsumerProtocol.isPlainAssignment($0.assignment) }
        state = .stable
        for member in membersInOrder {
            written.changed.insert(member.id)
            guard let token = member.syncing else { continue }
            answer(token, .sync(part(of: member.id)))
            update(member.id) { $0.syncing = nil }
            touch(member.id, at: moment)
        }
    }

    private func part(of memberID: String) -> SyncGroupResponse {
        SyncGroupResponse {
            $0.protocolType = protocolType
            $0.protocolName = protocolName
            $0.assignment = members[memberID]?.assignment ?? []
        }
    }

    mutating func heartbeat(_ request: HeartbeatRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        let code = beat(request, at: moment)
        answer(caller.token, .heartbeat(HeartbeatResponse { $0.errorCode = code }))
        return concluded()
    }

    private mutating func beat(_ request: HeartbeatRequest, at moment: Moment) -> ErrorCode {
        let code = validate(request.memberID, request.groupInstanceID)
        guard code == .none else { return code }
        guard request.generationID == generationID else { return .illegalGeneration }
        // A new member that waits in a rebalance has the time that new members have.
        if members[request.memberID]?.isNew == false { touch(request.memberID, at: moment) }
        return state == .preparingRebalance ? .rebalanceInProgress : .none
    }
}

extension [SyncGroupRequest.Assignment] {
    fileprivate var byteCount: Int { reduce(0) { $0 + $1.assignment.count } }
}
