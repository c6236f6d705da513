internal import KafkaProtocol

/// How a group gets from one generation to the next, and what the passing of time does to it.
extension ClassicGroup {
    /// Begins a rebalance, or goes on with the one in progress where all have come.
    mutating func rebalance(_ options: GroupOptions, at moment: Moment) {
        guard state != .preparingRebalance else { return completeJoinIfAllCame(options, at: moment) }
        if state == .completingRebalance { abandonGeneration(at: moment) }
        pendingSync = []
        syncDeadlineMs = nil
        let wasEmpty = state == .empty
        state = .preparingRebalance
        if wasEmpty, options.initialRebalanceDelayMs > 0 {
            // Members of a new group come one by one; each generation begun too early makes the next one interrupt it.
            let delayMs = Int64(options.initialRebalanceDelayMs)
            initialDelay = InitialDelay(lastMs: delayMs, remainingMs: max(rebalanceTimeoutMs - delayMs, 0))
            joinDeadlineMs = moment.monotonicMs + delayMs
        } else if wasEmpty || hasAllJoined {
            completeJoin(options, at: moment)
        } else {
            joinDeadlineMs = moment.monotonicMs + rebalanceTimeoutMs
        }
    }

    /// Nobody gets a part of this generation any more: those who wait for one join again.
    private mutating func abandonGeneration(at moment: Moment) {
        for member in membersInOrder {
            guard let token = member.syncing else { continue }
            answer(token, .sync(SyncGroupResponse { $0.errorCode = .rebalanceInProgress }))
            update(member.id) { $0.syncing = nil }
            touch(member.id, at: moment)
        }
    }

    mutating func completeJoinIfAllCame(_ options: GroupOptions, at moment: Moment) {
        guard state == .preparingRebalance, hasAllJoined else { return }
        // The initial delay is for those who are not here yet; without anybody it has no purpose.
        guard initialDelay == nil || members.isEmpty else { return }
        completeJoin(options, at: moment)
    }

    private mutating func joinDeadlinePassed(_ options: GroupOptions, at moment: Moment) {
        joinDeadlineMs = nil
        guard state == .preparingRebalance else { return }
        if var delay = initialDelay, delay.memberAdded, delay.remainingMs > 0 {
            let nextMs = min(Int64(options.initialRebalanceDelayMs), delay.remainingMs)
            delay = InitialDelay(lastMs: nextMs, remainingMs: max(delay.remainingMs - delay.lastMs, 0))
            initialDelay = delay
            joinDeadlineMs = moment.monotonicMs + nextMs
            return
        }
        completeJoin(options, at: moment)
    }

    /// Whoever has come by now makes up the next generation. A static member may be late: its place is kept.
    private mutating func completeJoin(_ options: GroupOptions, at moment: Moment) {
        joinDeadlineMs = nil
        for member in membersInOrder where member.joining == nil && !member.isStatic { remove(member.id, answering: .unknownMemberID) }
        guard !members.isEmpty else { return becomeEmpty(at: moment) }
        guard electJoinedLeader() else {
            // Only static members, and none of them came. Their sessions end this, or they come.
            joinDeadlineMs = moment.monotonicMs + rebalanceTimeoutMs
            return
        }
        generationID = generationID == .max ? 1 : generationID + 1
        protocolName = selectedProtocol()
        state = .completingRebalance
        emptySinceMs = nil
        initialDelay = nil
        pendingSync = Set(members.keys)
        syncDeadlineMs = moment.monotonicMs + rebalanceTimeoutMs
        for member in membersInOrder { update(member.id) { $0.assignment = [] } }
        for member in membersInOrder {
            written.changed.insert(member.id)
            if let token = member.joining { answer(token, .join(joined(member))) }
            update(member.id) { ($0.joining, $0.isNew) = (nil, false) }
            touch(member.id, at: moment)
        }
    }

    private mutating func becomeEmpty(at moment: Moment) {
        state = .empty
        initialDelay = nil
        protocolName = nil
        leaderID = nil
        pendingSync = []
        assignedBytes = 0
        // It was empty before, and who came and went since was never let in.
        guard written.header != nil, emptySinceMs == nil else { return }
        generationID = generationID == .max ? 1 : generationID + 1
        emptySinceMs = moment.wallClockMs
    }

    /// Keeps the leader where it came, else takes the first who did. False where nobody came.
    private mutating func electJoinedLeader() -> Bool {
        if let leaderID, members[leaderID]?.joining != nil { return true }
        guard let elected = membersInOrder.first(where: { $0.joining != nil }) else { return false }
        leaderID = elected.id
        return true
    }

    /// Each member votes for the first of its protocols that all speak; among equals the leader's taste decides.
    func selectedProtocol() -> String? {
        let candidates = candidateProtocols
        var votes: [String: Int] = [:]
        for member in members.values {
            if let name = member.vote(candidates) { votes[name, default: 0] += 1 }
        }
        guard let most = votes.values.max() else { return nil }
        let winners = votes.filter { $0.value == most }.keys
        let taste = leaderID.flatMap { members[$0]?.protocols } ?? []
        return taste.first { winners.contains($0.name) }?.name ?? winners.min()
    }

    // MARK: - Time

    /// Monotonic milliseconds: the soonest moment at which `advance` may have something to do.
    var nextDeadline: Int64? { [joinDeadlineMs, syncDeadlineMs, sessionCheckMs].compactMap(\.self).min() }

    mutating func advance(to moment: Moment, _ options: GroupOptions) -> GroupEffects {
        let now = moment.monotonicMs
        if let deadline = syncDeadlineMs, deadline <= now { expireSync(options, at: moment) }
        if let deadline = joinDeadlineMs, deadline <= now { joinDeadlinePassed(options, at: moment) }
        if let check = sessionCheckMs, check <= now { expireSessions(options, at: moment) }
        return concluded()
    }

    /// Members that took part in the rebalance and never asked what came of it hold up everybody else.
    private mutating func expireSync(_ options: GroupOptions, at moment: Moment) {
        syncDeadlineMs = nil
        let late = membersInOrder.filter { pendingSync.contains($0.id) }
        guard !late.isEmpty else { return }
        for member in late { remove(member.id, answering: .unknownMemberID) }
        rebalance(options, at: moment)
    }

    /// How many members and pending ids may be looked at for each millisecond that passes.
    private static let lookedAtPerMs = 100

    /// Heartbeats do not move the time of this check, they only make it find nothing: so they cost next to nothing.
    private mutating func expireSessions(_ options: GroupOptions, at moment: Moment) {
        let now = moment.monotonicMs
        for memberID in pendingMembers.filter({ $0.value <= now }).keys { pendingMembers[memberID] = nil }
        let silent = members.values.filter { $0.aliveUntilMs <= now && !$0.isExcusedFromHeartbeats }.sorted { $0.order < $1.order }
        for member in silent { remove(member.id, answering: .unknownMemberID) }
        let deadlines = members.values.lazy.filter { !$0.isExcusedFromHeartbeats }.map(\.aliveUntilMs)
        // Many that expire one after the other would have all the others looked at each time: the more there are, the longer until
        // they are looked at again.
        let restMs = Int64((members.count + pendingMembers.count) / Self.lookedAtPerMs)
        sessionCheckMs = [deadlines.min(), pendingMembers.values.min()].compactMap(\.self).min().map { max($0, now + restMs) }
        if state == .preparingRebalance {
            completeJoinIfAllCame(options, at: moment)
        } else if !silent.isEmpty {
            rebalance(options, at: moment)
        }
    }
}
