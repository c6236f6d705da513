internal import KafkaProtocol

/// ConsumerGroupHeartbeat, versions 0–1: by it members of the new protocol join, stay, report what they have given up,
/// and leave. Two things differ from Kafka 4.0, for the good of clients that lost an answer: who joins again under the
/// id that it has begins anew and at once, where Kafka would fence it until its session ends; and the epoch that a
/// member knows is remembered until it knows the next, however many answers get lost.
extension ConsumerGroup {
    mutating func heartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ lookup: PatternLookup?, _ environment: inout GroupEnvironment,
        at moment: Moment
    ) -> GroupEffects {
        let response: ConsumerGroupHeartbeatResponse
        do throws(Refusal) {
            response =
                switch request.memberEpoch {
                case ConsumerMember.leavingEpoch, ConsumerMember.awayEpoch: try goodbye(request, at: moment)
                default: try stay(request, caller, lookup, &environment, at: moment)
                }
        } catch {
            response = Self.refusal(error)
        }
        return GroupEffects(groupID: id, records: takeRecords(), replies: [(caller.token, .consumerHeartbeat(response))])
    }

    static func refusal(_ refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            $0.errorCode = refusal.code
            $0.errorMessage = refusal.message
        }
    }

    /// Who heartbeats.
    private enum Sender {
        case member(ConsumerMember)
        case newcomer
        /// A static member that comes with a new id, in the place of the one that it was.
        case successor(of: ConsumerMember)

        var known: ConsumerMember? {
            switch self {
            case .member(let member), .successor(of: let member): member
            case .newcomer: nil
            }
        }
    }

    private mutating func stay(
        _ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, _ lookup: PatternLookup?, _ environment: inout GroupEnvironment,
        at moment: Moment
    ) throws(Refusal) -> ConsumerGroupHeartbeatResponse {
        let isJoining = request.memberEpoch == 0
        let owned = request.topicPartitions.map { PartitionSet($0) }
        let memberID = request.memberID.isEmpty ? environment.memberID(caller.clientID) : request.memberID
        let sender = isJoining ? try joiner(request, memberID) : .member(try knownMember(request, owned))
        if isJoining, case .newcomer = sender { try checkRoom(environment.options) }
        let pattern = try subscriptions.admit(request.topicPattern, lookup)
        var profile = sender.known?.profile ?? ConsumerMember.Profile()
        profile.update(request, caller)
        try checkRoom(for: profile, of: sender.known, pattern, environment)

        // From here on nothing is refused.
        if let pattern { subscriptions.add(pattern, isOnly: patterns.isEmpty, at: moment) }
        let old: ConsumerMember
        switch sender {
        case .member(let member): old = member
        case .newcomer: old = ConsumerMember(id: memberID)
        case .successor(let former):
            old = ConsumerMember(id: memberID, profile: former.profile, holding: former.holding.anew(keeping: former.holding.assigned))
            replace(former, by: old, at: moment)
        }
        let isFirst = members.isEmpty
        var member = old
        member.profile = profile
        if isJoining, case .member = sender { member.holding = old.holding.anew(keeping: PartitionSet()) }
        put(member)
        touch(member.id, environment.options, at: moment)
        // Nobody waits for its JoinGroup or SyncGroup any more, if it was a member of the classic protocol.
        deadlines[member.id]?.join = nil
        deadlines[member.id]?.sync = nil

        let isAssigning = isFirst || !member.profile.isSubscribedAs(old.profile)
        let holding = lead(member.id, isAssigning: isAssigning, owned: owned, knownEpoch: request.memberEpoch, environment, at: moment)
        return ConsumerGroupHeartbeatResponse {
            $0.memberID = member.id
            $0.memberEpoch = holding.epoch
            $0.heartbeatIntervalMs = environment.options.consumerHeartbeatIntervalMs
            let isSubscribing = request.subscribedTopicNames != nil || request.subscribedTopicRegex != nil
            let isFull = isJoining || (request.rebalanceTimeoutMs != -1 && isSubscribing && owned != nil)
            // Who comes with an old epoch has not seen the last answer.
            guard isFull || holding.assigned != old.holding.assigned || request.memberEpoch != old.holding.epoch else { return }
            $0.assignment = .init { $0.topicPartitions = holding.assigned.fields }
        }
    }

    /// Does what a change of a member may make necessary: a new epoch, its assignment, the member's next step.
    mutating func lead(
        _ memberID: String, isAssigning: Bool, owned: PartitionSet?, knownEpoch: Int32, _ environment: GroupEnvironment, at moment: Moment
    ) -> ConsumerMember.Holding {
        if isAssigning { beginEpoch() }
        refreshSubscriptions(environment, isAssigning: header.epoch > header.assignmentEpoch, at: moment)
        if header.epoch > header.assignmentEpoch { assign(environment) }
        guard var member = members[memberID] else { return ConsumerMember.Holding() }
        let before = member.holding
        member.holding = before.step(
            towards: targets[memberID] ?? PartitionSet(), epoch: header.assignmentEpoch, owned: owned, knownEpoch: knownEpoch,
            isFree: { topicID, index in isFree(topicID, index) })
        if member.holding != before {
            put(member)
            watchRevocation(of: memberID, at: moment)
        }
        return member.holding
    }

    private func joiner(_ request: ConsumerGroupHeartbeatRequest, _ memberID: String) throws(Refusal) -> Sender {
        let sameID = members[memberID]
        guard let instanceID = request.instanceID, let former = instances[instanceID].flatMap({ members[$0] }) else {
            return sameID.map { .member($0) } ?? .newcomer
        }
        if former.id == memberID { return .member(former) }
        guard sameID == nil else { throw Refusal(.invalidRequest, "Member id \(memberID) is in use by another instance.") }
        guard former.isAway || former.isClassic else {
            throw Refusal(
                .unreleasedInstanceID, "Static member \(memberID) with instance id \(instanceID) cannot join: the instance id is owned by member \(former.id).")
        }
        return .successor(of: former)
    }

    private func checkRoom(_ options: GroupOptions) throws(Refusal) {
        guard members.count < Int(options.consumerSizeMax) else {
            throw Refusal(.groupMaxSizeReached, "The consumer group has reached its maximum capacity of \(options.consumerSizeMax) members.")
        }
    }

    /// Who is in may say as much as it did, whoever else has come since. COORDINATOR_NOT_AVAILABLE: clients come again.
    func checkRoom(
        for profile: ConsumerMember.Profile, of known: ConsumerMember?, _ newPattern: PatternLookup.Found?, _ environment: GroupEnvironment
    ) throws(Refusal) {
        guard environment.isFull else { return }
        // After a restart the group knows its members' patterns by their profiles alone.
        let isPatternNew = newPattern != nil && known?.profile.topicPattern != profile.topicPattern
        if let known, !isPatternNew, profile.byteCount <= known.profile.byteCount { return }
        throw Refusal(.coordinatorNotAvailable, "The groups of this broker hold all that they may of their members (lmbroker.groups.max.bytes).")
    }

    private func knownMember(_ request: ConsumerGroupHeartbeatRequest, _ owned: PartitionSet?) throws(Refusal) -> ConsumerMember {
        let member = try identify(request.memberID, instanceID: request.instanceID)
        let epoch = member.holding.epoch
        if request.memberEpoch == epoch { return member }
        // The answer that told of the epoch may have got lost. Then the member has nothing that it has not been given.
        if request.memberEpoch < epoch, request.memberEpoch == member.holding.previousEpoch, let owned, owned.isSubset(of: member.holding.assigned) {
            return member
        }
        let relation = request.memberEpoch > epoch ? "greater" : "smaller"
        throw Refusal(
            .fencedMemberEpoch,
            "The member has a \(relation) epoch (\(request.memberEpoch)) than the one known by the coordinator (\(epoch)). It must abandon its partitions and rejoin.")
    }

    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID
    func identify(_ memberID: String, instanceID: String?) throws(Refusal) -> ConsumerMember {
        if let instanceID {
            guard let holderID = instances[instanceID] else { throw Refusal(.unknownMemberID, "Instance id \(instanceID) is unknown.") }
            guard holderID == memberID else {
                throw Refusal(.fencedInstanceID, "Static member \(memberID) with instance id \(instanceID) was fenced by member \(holderID).")
            }
        }
        guard let member = members[memberID] else { throw Refusal(.unknownMemberID, "Member \(memberID) is not a member of group \(id).") }
        return member
    }

    private mutating func goodbye(_ request: ConsumerGroupHeartbeatRequest, at moment: Moment) throws(Refusal) -> ConsumerGroupHeartbeatResponse {
        var member = try identify(request.memberID, instanceID: request.instanceID)
        if request.memberEpoch == ConsumerMember.awayEpoch {
            // Its partitions wait for it until the session ends. Those that it was about to give up it has given up.
            member.holding.epoch = ConsumerMember.awayEpoch
            member.holding.pendingRevocation = PartitionSet()
            member.holding.state = .stable
            put(member)
            deadlines[member.id]?.rebalance = nil
        } else {
            remove(member.id, at: moment)
            beginEpoch()
        }
        return ConsumerGroupHeartbeatResponse {
            $0.memberID = request.memberID
            $0.memberEpoch = request.memberEpoch
        }
    }
}

extension ConsumerMember.Holding {
    /// Of a member that begins again at epoch 0 with nothing but `partitions`.
    func anew(keeping partitions: PartitionSet) -> Self { Self(assigned: partitions) }
}

extension ConsumerMember.Profile {
    /// Takes over what a heartbeat says; what it does not say stays.
    mutating func update(_ request: ConsumerGroupHeartbeatRequest, _ caller: Caller) {
        instanceID = request.instanceID ?? instanceID
        rackID = request.rackID ?? rackID
        assignor = request.serverAssignor ?? assignor
        if request.rebalanceTimeoutMs != -1 { rebalanceTimeoutMs = request.rebalanceTimeoutMs }
        if let names = request.subscribedTopicNames { topicNames = Set(names).sorted() }
        if let pattern = request.subscribedTopicRegex { topicPattern = pattern.isEmpty ? nil : pattern }
        clientID = caller.clientID
        clientHost = caller.clientHost
        classic = nil
    }
}
