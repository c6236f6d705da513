import KafkaProtocol

// The classic protocol (KIP-62, 345, 394, 429): join, have the leader divide, sync, and beat until the next rebalance.
extension GroupMembership {
    struct ClassicState: Sendable {
        enum Phase: Sendable { case outside, joining, dividing, syncing, inside }

        var phase = Phase.outside
        /// Why to join (again) as soon as possible; nil when there is no reason.
        var rejoinReason: String? = "a new member"
        /// The generation that what is held is of.
        var heldGeneration: Int32 = -1
        /// What was assigned last, which the sticky assignor is told even after it was given up.
        var lastAssigned: [TopicPartition] = []
        var protocolName = ""
        var isLeader = false
        /// The members, while the leader divides.
        var members: [GroupAssignor.Member] = []
        /// All topics that members read; only the leader knows.
        var topicsOfGroup: Set<String> = []
        /// What was divided last.
        var dividedCounts: [String: Int32] = [:]
        /// An answer to a join or a sync was lost, and a commit was refused since: the group is in a generation that the member has
        /// yet to hear of.
        var isBehind = false
        /// The leader is to leave the assignment as it is (KIP-814).
        var skipsAssignment = false
    }

    /// What must be given up before joining.
    var givenUpToJoin: Set<Held> {
        guard settings.protocol == .classic, classic.rejoinReason != nil, target == nil else { return [] }
        guard classic.phase == .outside || classic.phase == .inside else { return [] }
        if !settings.isCooperative { return held }
        let topics = Set(subscription)
        return held.filter { !topics.contains($0.partition.topic) }
    }

    mutating func stepClassic(_ now: Int64) {
        switch classic.phase {
        case .outside, .inside:
            // What is held is in order before the member joins again, and heartbeats keep it alive meanwhile.
            if mayJoin {
                join()
            } else if classic.phase == .inside, now >= heartbeatDue {
                heartbeatDue = now + settings.heartbeatIntervalMs
                ask(.heartbeat(heartbeat()))
            }
        case .joining, .dividing, .syncing: break
        }
    }

    private var mayJoin: Bool {
        // Or what is given up could not be committed.
        if case (.revoke, _)? = handoff { return classic.isBehind && classic.phase == .outside && identity.generation >= 0 }
        return (classic.rejoinReason != nil || classic.phase == .outside) && handoff == nil && target == nil && !subscription.isEmpty && !isLeaving
    }

    /// Others wait for what the member divides or has divided, and would until its session ends: a static one goes without a word.
    var owesAssignment: Bool { settings.instanceID != nil && (classic.phase == .dividing || classic.phase == .syncing) }

    private mutating func join() {
        let reason = classic.rejoinReason ?? "the connection was lost"
        classic.phase = .joining
        classic.rejoinReason = nil
        classic.isLeader = false
        (lookUp, lookUpDue) = (nil, nil)
        let owned = held.map(\.partition)
        ask(
            .join(
                JoinGroupRequest {
                    ($0.groupID, $0.memberID, $0.groupInstanceID) = (settings.groupID, identity.memberID, settings.instanceID)
                    $0.sessionTimeoutMs = Int32(clamping: settings.sessionTimeoutMs)
                    $0.rebalanceTimeoutMs = Int32(clamping: settings.maxPollIntervalMs)
                    $0.protocolType = "consumer"
                    $0.reason = reason
                    $0.protocols = settings.assignors.map { assignor in
                        let told = assignor == .sticky ? classic.lastAssigned : owned
                        let subscription = MemberSubscription(
                            topics: subscription, userData: assignor.userData(owned: told, generation: classic.heldGeneration), owned: owned,
                            generation: classic.heldGeneration)
                        return JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = (assignor.rawValue, subscription.bytes) }
                    }
                }))
    }

    private func heartbeat() -> HeartbeatRequest {
        HeartbeatRequest {
            ($0.groupID, $0.memberID, $0.groupInstanceID) = (settings.groupID, identity.memberID, settings.instanceID)
            $0.generationID = identity.generation
        }
    }

    // MARK: Answers

    mutating func joined(_ response: JoinGroupResponse, _ now: Int64) {
        switch response.errorCode {
        case .none: break
        case .memberIDRequired:
            identity.memberID = response.memberID
            classic.phase = .outside
            return
        default: return refused(response.errorCode, "cannot be joined", now)
        }
        succeeded()
        identity = Identity(memberID: response.memberID, generation: response.generationID)
        classic.isBehind = false
        classic.protocolName = response.protocolName ?? ""
        classic.isLeader = response.leader == response.memberID
        guard let assignor = GroupAssignor(rawValue: classic.protocolName), settings.assignors.contains(assignor) else {
            return fail(.malformed("the coordinator chose the assignor '\(classic.protocolName)', which was not offered"))
        }
        guard classic.isLeader else { return sync([:]) }
        classic.skipsAssignment = response.skipAssignment
        classic.members = response.members.compactMap { member in
            guard let subscription = try? MemberSubscription(member.metadata) else { return nil }
            return GroupAssignor.Member(id: member.memberID, instanceID: member.groupInstanceID, subscription: subscription)
        }
        classic.topicsOfGroup = Set(classic.members.flatMap(\.subscription.topics))
        classic.phase = .dividing
        lookUpDue = now
    }

    /// The leader has what it needs to divide, or sees whether it has to divide again.
    mutating func topicsKnown(_ now: Int64) {
        let counts = topics.mapValues(\.partitionCount)
        switch classic.phase {
        case .dividing:
            classic.dividedCounts = counts
            let assignor = GroupAssignor(rawValue: classic.protocolName) ?? .range
            sync(classic.skipsAssignment ? [:] : assignor.assign(classic.members, partitionCounts: counts))
            classic.members = []
        case .inside where classic.isLeader && counts != classic.dividedCounts && classic.rejoinReason == nil:
            classic.rejoinReason = "topics or their partitions have changed"
        default: break
        }
    }

    private mutating func sync(_ assignments: [String: [TopicPartition]]) {
        classic.phase = .syncing
        ask(
            .sync(
                SyncGroupRequest {
                    ($0.groupID, $0.memberID, $0.groupInstanceID) = (settings.groupID, identity.memberID, settings.instanceID)
                    $0.generationID = identity.generation
                    ($0.protocolType, $0.protocolName) = ("consumer", classic.protocolName)
                    $0.assignments = assignments.sorted { $0.key < $1.key }.map { member, partitions in
                        let note = member == identity.memberID ? DividedCounts.bytes(classic.dividedCounts) : nil
                        let assignment = MemberAssignment(partitions, userData: note).bytes
                        return SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (member, assignment) }
                    }
                }))
    }

    mutating func synced(_ response: SyncGroupResponse, _ now: Int64) {
        guard response.errorCode == .none else { return refused(response.errorCode, "gives no assignment", now) }
        guard let assignment = try? MemberAssignment(response.assignment) else {
            return fail(.malformed("the group's leader sent an assignment that cannot be understood"))
        }
        succeeded()
        classic.phase = .inside
        classic.heldGeneration = identity.generation
        classic.lastAssigned = assignment.partitions
        heartbeatDue = now + settings.heartbeatIntervalMs
        target = Set(assignment.partitions.map { Held(partition: $0) })
        // Back after a restart, and given what was divided before it.
        if classic.skipsAssignment, let counts = assignment.userData.flatMap(DividedCounts.read) { classic.dividedCounts = counts }
        if classic.isLeader { lookUpDue = now + settings.metadataRefreshMs }
    }

    mutating func beaten(_ code: ErrorCode, _ now: Int64) {
        switch code {
        case .none: succeeded()
        case .rebalanceInProgress:
            succeeded()
            if classic.rejoinReason == nil { classic.rejoinReason = "the group is rebalancing" }
        default: refused(code, "takes no heartbeat", now)
        }
    }

    private mutating func refused(_ code: ErrorCode, _ what: String, _ now: Int64) {
        let isJoining = classic.phase != .inside
        if isJoining { classic.phase = .outside }
        switch code {
        case .unknownMemberID, .illegalGeneration: outdated(code)
        case .rebalanceInProgress: hold(now)
        case .fencedInstanceID: fail(Self.fenced(settings))
        default: trouble(.broker(code, "the group \(settings.groupID) \(what)\(Self.advice(code, settings))"), now)
        }
    }

    /// The member, or its generation, is no more: what it holds is lost, and it joins anew.
    mutating func outdated(_ code: ErrorCode) {
        request = nil
        identity.generation = -1
        if code == .unknownMemberID { identity.memberID = "" }
        classic.phase = .outside
        classic.heldGeneration = -1
        classic.rejoinReason = code == .unknownMemberID ? "the coordinator does not know the member" : "the generation is over"
        target = nil
        lookUpDue = nil
        isVoid = true
    }

    static func advice(_ code: ErrorCode, _ settings: GroupSettings) -> String {
        switch code {
        case .inconsistentGroupProtocol:
            ": its members know none of the assignors \(settings.assignors.map(\.rawValue).joined(separator: ", ")), or it is no consumer group of the classic protocol"
        case .invalidSessionTimeout: ": the broker does not allow a session timeout of \(settings.sessionTimeoutMs) ms"
        case .groupMaxSizeReached: ": it has as many members as the broker allows"
        case .invalidGroupID: ": that is no name for a group"
        default: ""
        }
    }
}
