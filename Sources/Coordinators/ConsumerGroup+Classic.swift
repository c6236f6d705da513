internal import KafkaProtocol

/// Members of the classic protocol in a group that has moved to the new one (KIP-848, online migration). Nobody of them
/// leads: JoinGroup takes the member one step towards its target, what it owns being what its subscription says;
/// SyncGroup brings what it is to have; Heartbeat tells it to rejoin when there is another step to take.
extension ConsumerGroup {
    mutating func join(_ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment) -> GroupEffects {
        let response: JoinGroupResponse
        do throws(Refusal) {
            response = try admit(request, caller, &environment, at: moment)
        } catch {
            response = JoinGroupResponse {
                $0.errorCode = error.code
                $0.memberID = request.memberID
            }
        }
        return GroupEffects(groupID: id, records: takeRecords(), replies: [(caller.token, .join(response))])
    }

    private mutating func admit(
        _ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment
    ) throws(Refusal) -> JoinGroupResponse {
        if let instanceID = request.groupInstanceID, !(1...ClassicGroup.groupInstanceIDBytesMax).contains(instanceID.utf8.count) {
            throw Refusal(.invalidRequest, "the instance id is too long")
        }
        guard request.memberID.utf8.count <= memberIDBytesMax, !ClassicGroup.isTooLarge(request) else {
            throw Refusal(.invalidRequest, "the request is too large")
        }
        guard request.protocolType == ConsumerProtocol.type, let first = request.protocols.first, supports(request),
            let subscription = ConsumerProtocol.decode(ConsumerProtocol.Subscription.self, first.metadata)
        else { throw Refusal(.inconsistentGroupProtocol, "the member's protocols are not supported") }
        if request.memberID.isEmpty, request.groupInstanceID == nil, caller.version >= 4 {
            // It comes back with this id (KIP-394). Nothing has to be remembered for it.
            return JoinGroupResponse {
                $0.errorCode = .memberIDRequired
                $0.memberID = environment.memberID(caller.clientID)
            }
        }
        let memberID = request.memberID.isEmpty ? environment.memberID(caller.clientID) : request.memberID
        let former = try formerSelf(request, memberID)
        // A newcomer has nothing. Who says that it has something is one that was fenced, and has to learn it.
        if former == nil, !subscription.ownedPartitions.isEmpty { throw Refusal(.unknownMemberID, "the member is not in the group any more") }
        if former == nil, members.count >= Int(environment.options.consumerSizeMax) { throw Refusal(.groupMaxSizeReached, "the group is full") }
        var profile = former?.profile ?? ConsumerMember.Profile()
        profile.update(request, subscription, caller)
        try checkRoom(for: profile, of: former, nil, environment)

        // From here on nothing is refused.
        let isFirst = members.isEmpty
        var member = former ?? ConsumerMember(id: memberID)
        if let former, former.id != memberID {
            member = ConsumerMember(id: memberID, profile: former.profile, holding: former.holding.anew(keeping: former.holding.assigned))
            replace(former, by: member, at: moment)
        }
        member.profile = profile
        put(member)
        touch(memberID, environment.options, at: moment)
        let isAssigning = isFirst || !(former?.profile.isSubscribedAs(member.profile) ?? false)
        let owned = ConsumerProtocol.partitions(subscription.ownedPartitions, environment.topics)
        let holding = lead(memberID, isAssigning: isAssigning, owned: owned, knownEpoch: member.holding.epoch, environment, at: moment)
        deadlines[memberID]?.rebalance = nil
        deadlines[memberID]?.join = nil
        deadlines[memberID]?.sync = moment.monotonicMs + Int64(member.profile.rebalanceTimeoutMs)
        return JoinGroupResponse {
            $0.memberID = memberID
            $0.generationID = holding.epoch
            $0.protocolType = ConsumerProtocol.type
            $0.protocolName = first.name
        }
    }

    /// One of the protocols that a member offers has to be known to all other members of the classic protocol.
    private func supports(_ request: JoinGroupRequest) -> Bool {
        let own = members[request.memberID]?.profile.classic
        let ownNames = own?.protocolNames ?? []
        let otherCount = classicMemberCount - (own == nil ? 0 : 1)
        return request.protocols.contains { protocolCounts[$0.name, default: 0] - (ownNames.contains($0.name) ? 1 : 0) == otherCount }
    }

    /// Who the joining member was until now; nil for a newcomer.
    private func formerSelf(_ request: JoinGroupRequest, _ memberID: String) throws(Refusal) -> ConsumerMember? {
        guard let instanceID = request.groupInstanceID else { return members[memberID] }
        let holder = instances[instanceID].flatMap { members[$0] }
        // A static member without an id takes the place of the one that had its instance id.
        if request.memberID.isEmpty { return holder }
        guard let holder else { throw Refusal(.unknownMemberID, "instance id \(instanceID) is unknown") }
        guard holder.id == memberID else { throw Refusal(.fencedInstanceID, "instance id \(instanceID) is held by another member") }
        return holder
    }

    mutating func sync(_ request: SyncGroupRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment) -> GroupEffects {
        let response: SyncGroupResponse
        do throws(Refusal) {
            response = try share(request, environment, at: moment)
        } catch {
            response = SyncGroupResponse { $0.errorCode = error.code }
        }
        return GroupEffects(groupID: id, records: takeRecords(), replies: [(caller.token, .sync(response))])
    }

    private mutating func share(_ request: SyncGroupRequest, _ environment: GroupEnvironment, at moment: Moment) throws(Refusal) -> SyncGroupResponse {
        let (member, face) = try classicMember(request.memberID, instanceID: request.groupInstanceID, generationID: request.generationID)
        // One that has to give up partitions learns here which; the rest of the way begins when it rejoins. What it says of its protocol
        // may be what the group agreed on before it moved over.
        if header.epoch > member.holding.epoch, member.holding.state != .unrevoked {
            expectRejoin(member, at: moment)
            throw Refusal(.rebalanceInProgress, "the member has to rejoin")
        }
        guard let first = face.protocols.first, request.protocolType ?? ConsumerProtocol.type == ConsumerProtocol.type,
            request.protocolName ?? first.name == first.name
        else { throw Refusal(.inconsistentGroupProtocol, "the protocol is not the one that JoinGroup was answered with") }
        deadlines[member.id]?.sync = nil
        touch(member.id, environment.options, at: moment)
        let assignment = ConsumerProtocol.Assignment { $0.assignedPartitions = ConsumerProtocol.named(member.holding.assigned, environment.topics) }
        return SyncGroupResponse {
            $0.protocolType = request.protocolType
            $0.protocolName = request.protocolName
            $0.assignment = ConsumerProtocol.encode(assignment, version: face.version)
        }
    }

    mutating func heartbeat(_ request: HeartbeatRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment) -> GroupEffects {
        var response = HeartbeatResponse()
        do throws(Refusal) {
            let (member, _) = try classicMember(request.memberID, instanceID: request.groupInstanceID, generationID: request.generationID)
            touch(member.id, environment.options, at: moment)
            // The first to notice that topics have changed may be a member of the classic protocol, and the only one left.
            if header.epoch == header.assignmentEpoch { refreshSubscriptions(environment, isAssigning: false, at: moment) }
            if hasNextStep(member) {
                expectRejoin(member, at: moment)
                response.errorCode = .rebalanceInProgress
            }
        } catch {
            response.errorCode = error.code
        }
        return GroupEffects(groupID: id, records: takeRecords(), replies: [(caller.token, .heartbeat(response))])
    }

    /// Whether rejoining would bring the member closer to its target.
    private func hasNextStep(_ member: ConsumerMember) -> Bool {
        if member.holding.epoch < header.epoch || member.holding.state == .unrevoked { return true }
        guard member.holding.state == .unreleased, let target = targets[member.id] else { return false }
        return target.subtracting(member.holding.assigned).sorted.contains { topicID, indexes in indexes.contains { isFree(topicID, $0) } }
    }

    private mutating func expectRejoin(_ member: ConsumerMember, at moment: Moment) {
        guard deadlines[member.id]?.join == nil else { return }
        deadlines[member.id]?.join = moment.monotonicMs + Int64(member.profile.rebalanceTimeoutMs)
    }

    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION
    private func classicMember(
        _ memberID: String, instanceID: String?, generationID: Int32
    ) throws(Refusal) -> (ConsumerMember, ConsumerMember.ClassicFace) {
        let member = try identify(memberID, instanceID: instanceID)
        guard let face = member.profile.classic else { throw Refusal(.unknownMemberID, "the member does not use the classic protocol") }
        guard generationID == member.holding.epoch else { throw Refusal(.illegalGeneration, "the member is at epoch \(member.holding.epoch)") }
        return (member, face)
    }

    mutating func leave(_ request: LeaveGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        var answers: [LeaveGroupResponse.Member] = []
        for member in request.leavers(caller.version) {
            answers.append(
                LeaveGroupResponse.Member {
                    $0.memberID = member.memberID
                    $0.groupInstanceID = member.groupInstanceID
                    do throws(Refusal) {
                        try dismiss(member, at: moment)
                    } catch {
                        $0.errorCode = error.code
                    }
                })
        }
        if answers.contains(where: { $0.errorCode == .none }) { beginEpoch() }
        return GroupEffects(groupID: id, records: takeRecords(), replies: [(caller.token, .leave(.to(answers, caller.version)))])
    }

    private mutating func dismiss(_ leaving: LeaveGroupRequest.Member, at moment: Moment) throws(Refusal) {
        var memberID = leaving.memberID
        // An administrator names a static member by its instance id alone.
        if memberID.isEmpty, let instanceID = leaving.groupInstanceID { memberID = instances[instanceID] ?? "" }
        let member = try identify(memberID, instanceID: leaving.groupInstanceID)
        remove(member.id, at: moment)
    }
}

extension ConsumerMember.Profile {
    mutating func update(_ request: JoinGroupRequest, _ subscription: ConsumerProtocol.Subscription, _ caller: Caller) {
        instanceID = request.groupInstanceID ?? instanceID
        rackID = subscription.rackID ?? rackID
        assignor = nil
        // Version 0 has no rebalance timeout; the session's serves, and so it does for those who would not wait at all.
        rebalanceTimeoutMs = request.rebalanceTimeoutMs > 0 ? request.rebalanceTimeoutMs : request.sessionTimeoutMs
        topicNames = Set(subscription.topics).sorted()
        topicPattern = nil
        clientID = caller.clientID
        clientHost = caller.clientHost
        classic = ConsumerMember.ClassicFace { ($0.sessionTimeoutMs, $0.protocols) = (request.sessionTimeoutMs, request.protocols.uniqued) }
    }
}
