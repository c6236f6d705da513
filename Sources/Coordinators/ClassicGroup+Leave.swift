internal import KafkaProtocol

/// LeaveGroup: of one's own will, or put out by an administrator by instance id.
extension ClassicGroup {
    mutating func leave(_ request: LeaveGroupRequest, _ caller: Caller, _ options: GroupOptions, at moment: Moment) -> GroupEffects {
        let leavers = request.leavers(caller.version)
        let results = leavers.map { leaver in
            LeaveGroupResponse.Member {
                $0.memberID = leaver.memberID
                $0.groupInstanceID = leaver.groupInstanceID
                $0.errorCode = letGo(leaver)
            }
        }
        if results.contains(where: { $0.errorCode == .none }) {
            if state == .stable || state == .completingRebalance { rebalance(options, at: moment) } else { completeJoinIfAllCame(options, at: moment) }
        }
        answer(caller.token, .leave(.to(results, caller.version)))
        return concluded()
    }

    private mutating func letGo(_ leaver: LeaveGroupRequest.Member) -> ErrorCode {
        var memberID = leaver.memberID
        if memberID.isEmpty {
            // An administrator knows the instance, not the id that it has now.
            guard let current = leaver.groupInstanceID.flatMap({ staticMembers[$0] }) else { return .unknownMemberID }
            memberID = current
        } else if pendingMembers[memberID] == nil {
            let code = validate(memberID, leaver.groupInstanceID)
            guard code == .none else { return code }
        }
        remove(memberID, answering: .unknownMemberID)
        return .none
    }
}

extension LeaveGroupRequest {
    /// To version 2 a request names one member, from then on several.
    func leavers(_ version: Int16) -> [Member] { version >= 3 ? members : [Member { $0.memberID = memberID }] }
}

extension LeaveGroupResponse {
    /// To version 2 the one result is the response's own.
    static func to(_ results: [Member], _ version: Int16) -> LeaveGroupResponse {
        LeaveGroupResponse {
            if version >= 3 { $0.members = results } else { $0.errorCode = results.first?.errorCode ?? .none }
        }
    }
}
