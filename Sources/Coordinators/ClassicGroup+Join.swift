internal import KafkaProtocol

/// JoinGroup: who comes, who comes back, and who has to ask again.
extension ClassicGroup {
    /// What a member says about itself, over all protocols together, may not be longer than this.
    static let metadataBytesMax = 1 << 20
    /// How many protocols a member may offer; clients have a handful.
    static let protocolsMax = 1_000
    /// Ids of one group that were given out and not used yet. Past it one of them is forgotten for each new one: its client is told
    /// UNKNOWN_MEMBER_ID and asks again.
    static let pendingMembersMax = 10_000
    /// As long as Kafka's clients let it be.
    static let groupInstanceIDBytesMax = 249

    static func refusal(of request: JoinGroupRequest, _ code: ErrorCode) -> GroupResponse {
        .join(JoinGroupResponse { ($0.errorCode, $0.memberID) = (code, request.memberID) })
    }

    /// Whether a member offers more than the others of its group should have to bear.
    static func isTooLarge(_ request: JoinGroupRequest) -> Bool {
        guard request.protocols.count <= protocolsMax else { return true }
        return request.protocols.reduce(request.protocolType.utf8.count) { $0 + $1.name.utf8.count + $1.metadata.count } > metadataBytesMax
    }

    mutating func join(_ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment) -> GroupEffects {
        if let code = admit(request, caller, &environment, at: moment) {
            var refused = request
            if code == .groupMaxSizeReached { refused.memberID = "" }
            answer(caller.token, Self.refusal(of: refused, code))
        }
        return concluded()
    }

    /// Nil where the request was answered, or is kept until the others have come.
    private mutating func admit(
        _ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment
    ) -> ErrorCode? {
        if let instance = request.groupInstanceID, !(1...Self.groupInstanceIDBytesMax).contains(instance.utf8.count) { return .invalidRequest }
        if Self.isTooLarge(request) { return .invalidRequest }
        guard hasRoom(for: request, environment.options) else {
            remove(request.memberID, answering: .groupMaxSizeReached)
            completeJoinIfAllCame(environment.options, at: moment)
            return .groupMaxSizeReached
        }
        guard supports(request.protocolType, request.protocols) else { return .inconsistentGroupProtocol }
        let isRefusedRoom = environment.isFull && adds(request, caller)
        if request.memberID.isEmpty {
            return isRefusedRoom ? .coordinatorNotAvailable : joinNew(request, caller, &environment, at: moment)
        }
        if pendingMembers[request.memberID] != nil {
            // Only dynamic members are sent away with an id.
            guard request.groupInstanceID == nil else { return .unknownMemberID }
            if isRefusedRoom {
                // The others do not wait for it.
                remove(request.memberID, answering: .coordinatorNotAvailable)
                completeJoinIfAllCame(environment.options, at: moment)
                return .coordinatorNotAvailable
            }
            addMember(request.memberID, request, caller, environment.options, at: moment)
            return nil
        }
        let code = validate(request.memberID, request.groupInstanceID)
        if code != .none { return code }
        return isRefusedRoom ? .coordinatorNotAvailable : rejoin(request, caller, environment.options, at: moment)
    }

    /// `group.max.size`. During a rebalance those count who have come, so that a group above the limit shrinks to it.
    private func hasRoom(for request: JoinGroupRequest, _ options: GroupOptions) -> Bool {
        let memberID = knownID(request)
        switch state {
        case .empty: return true
        case .preparingRebalance: return members[memberID]?.joining != nil || joiningCount < Int(options.sizeMax)
        case .completingRebalance, .stable: return members[memberID] != nil || members.count < Int(options.sizeMax)
        }
    }

    /// Whether the group would hold more of the member than it does. Who is in may say as much as it did, whoever else has come since.
    private func adds(_ request: JoinGroupRequest, _ caller: Caller) -> Bool {
        guard let member = members[knownID(request)] else { return true }
        return request.protocols.uniqued.byteCount + caller.clientID.utf8.count > member.protocolBytes + member.clientID.utf8.count
    }

    /// A static member that comes back takes the place that it has.
    private func knownID(_ request: JoinGroupRequest) -> String {
        request.memberID.isEmpty ? request.groupInstanceID.flatMap { staticMembers[$0] } ?? "" : request.memberID
    }

    private mutating func joinNew(
        _ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment
    ) -> ErrorCode? {
        let memberID = environment.memberID(request.groupInstanceID ?? caller.clientID)
        if let instance = request.groupInstanceID {
            if let oldID = staticMembers[instance] {
                comeBack(oldID, as: memberID, request, caller, environment.options, at: moment)
            } else {
                addMember(memberID, request, caller, environment.options, at: moment)
            }
        } else if caller.version >= 4 {
            // A client that gives up waiting and asks again would leave a member behind each time, so it is only
            // let in with an id that it is known to have (KIP-394).
            // Which one does not matter: who means it is back long before as many have asked.
            if pendingMembers.count >= Self.pendingMembersMax { pendingMembers.remove(at: pendingMembers.startIndex) }
            pendingMembers[memberID] = moment.monotonicMs + Int64(request.sessionTimeoutMs)
            checkSessions(by: moment.monotonicMs + Int64(request.sessionTimeoutMs))
            answer(caller.token, .join(JoinGroupResponse { ($0.errorCode, $0.memberID) = (.memberIDRequired, memberID) }))
        } else {
            addMember(memberID, request, caller, environment.options, at: moment)
        }
        return nil
    }

    private mutating func addMember(_ memberID: String, _ request: JoinGroupRequest, _ caller: Caller, _ options: GroupOptions, at moment: Moment) {
        var member = ClassicMember(
            id: memberID, groupInstanceID: request.groupInstanceID, clientID: caller.clientID, clientHost: caller.clientHost,
            sessionTimeoutMs: request.sessionTimeoutMs, rebalanceTimeoutMs: request.effectiveRebalanceTimeoutMs)
        member.setProtocols(request.protocols)
        member.isNew = true
        member.joining = caller.token
        if members.isEmpty { protocolType = request.protocolType }
        add(member)
        initialDelay?.memberAdded = true
        // It cannot send heartbeats while it waits, and nobody sees whether its connection still is.
        keepAlive(memberID, forMs: Int64(options.newMemberJoinTimeoutMs), at: moment)
        rebalance(options, at: moment)
    }

    /// A known member joins again: to take part in a rebalance, to begin one, or because an answer was lost.
    private mutating func rejoin(_ request: JoinGroupRequest, _ caller: Caller, _ options: GroupOptions, at moment: Moment) -> ErrorCode? {
        guard let member = members[request.memberID] else { return .unknownMemberID }
        switch state {
        case .empty: return .unknownMemberID
        case .preparingRebalance: break
        case .completingRebalance:
            // Changed metadata would be news to the leader. The same metadata: the first answer was lost.
            if member.matches(request.protocols) { return answerAgain(member, caller, at: moment) }
        case .stable:
            // A leader may know of changes that no metadata shows, such as new partitions.
            if member.id != leaderID, member.matches(request.protocols) { return answerAgain(member, caller, at: moment) }
        }
        park(request, as: member.id, caller, options, at: moment)
        rebalance(options, at: moment)
        return nil
    }

    private mutating func answerAgain(_ member: ClassicMember, _ caller: Caller, at moment: Moment) -> ErrorCode? {
        touch(member.id, at: moment)
        answer(caller.token, .join(joined(member)))
        return nil
    }

    /// The member's request waits until the others have come.
    private mutating func park(_ request: JoinGroupRequest, as memberID: String, _ caller: Caller, _ options: GroupOptions, at moment: Moment) {
        // One that waited before is not waited for any more, but its connection may need an answer to go on.
        if let token = members[memberID]?.joining, token != caller.token {
            answer(token, .join(JoinGroupResponse { ($0.errorCode, $0.memberID) = (.rebalanceInProgress, memberID) }))
        }
        setProtocols(request.protocols, of: memberID)
        update(memberID) { member in
            member.sessionTimeoutMs = request.sessionTimeoutMs
            member.rebalanceTimeoutMs = request.effectiveRebalanceTimeoutMs
            member.clientID = caller.clientID
            member.clientHost = caller.clientHost
            member.joining = caller.token
        }
        // A new one that asks again is still one that nobody could see die.
        let timeoutMs = members[memberID]?.isNew == true ? options.newMemberJoinTimeoutMs : request.sessionTimeoutMs
        keepAlive(memberID, forMs: Int64(timeoutMs), at: moment)
    }

    /// A static member that lost its id, by a restart say (KIP-345). In a settled group nobody else needs to know.
    private mutating func comeBack(
        _ oldID: String, as newID: String, _ request: JoinGroupRequest, _ caller: Caller, _ options: GroupOptions, at moment: Moment
    ) {
        let formerLeaderID = leaderID
        let formerMetadata = members[oldID]?.metadata(protocolName)
        replaceStatic(oldID, by: newID)
        park(request, as: newID, caller, options, at: moment)
        guard state == .stable, selectedProtocol() == protocolName, readsTheSame(newID, formerMetadata) else { return rebalance(options, at: moment) }
        update(newID) { $0.joining = nil }
        written.changed.insert(newID)
        guard let member = members[newID] else { return }
        var response = joined(member)
        if caller.version >= 9 {
            // The leader is told that it is one, so that it watches for changes, and that there is nothing to divide (KIP-814).
            response.skipAssignment = newID == leaderID
        } else {
            // It must not divide the partitions again, so it is not told.
            response.leader = formerLeaderID ?? ""
            response.members = []
        }
        answer(caller.token, .join(response))
    }

    /// A consumer that wants other topics than before its restart needs a rebalance to get them, which Kafka leaves to
    /// the next one. The rest of the metadata, such as what it holds, is different after every restart.
    private func readsTheSame(_ memberID: String, _ formerMetadata: [UInt8]?) -> Bool {
        guard protocolType == ConsumerProtocol.type, let formerMetadata, let metadata = members[memberID]?.metadata(protocolName) else { return true }
        return Self.topics(inSubscription: metadata) == Self.topics(inSubscription: formerMetadata)
    }

    /// The member's view of the current generation.
    func joined(_ member: ClassicMember) -> JoinGroupResponse {
        JoinGroupResponse {
            $0.generationID = generationID
            $0.protocolType = protocolType
            $0.protocolName = protocolName
            $0.leader = leaderID ?? ""
            $0.memberID = member.id
            guard member.id == leaderID else { return }
            $0.members = membersInOrder.map { other in
                JoinGroupResponse.Member {
                    $0.memberID = other.id
                    $0.groupInstanceID = other.groupInstanceID
                    $0.metadata = other.metadata(protocolName)
                }
            }
        }
    }
}

extension JoinGroupRequest {
    /// Version 0 has no rebalance timeout, and its session timeout serves. So it does for those who would not wait at all.
    fileprivate var effectiveRebalanceTimeoutMs: Int32 { rebalanceTimeoutMs <= 0 ? sessionTimeoutMs : rebalanceTimeoutMs }
}
