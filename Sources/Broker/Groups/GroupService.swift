internal import Coordinators
internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import Store
internal import Synchronization

/// All groups of this broker, between the connections that ask and the store that keeps: decisions are the pure
/// coordinator's, one at a time; what it decides is written in the order of the decisions; and no answer leaves before
/// everything decided for its group up to then is on disk.
final class GroupService: Sendable {
    private struct State {
        var coordinator: GroupCoordinator
        var writes = GroupWrites()
        /// Offsets that are being handed to a transaction, by group.
        var handovers: [ExactString: Int] = [:]
        /// Who waits for an answer of the coordinator.
        var waiting: [RequestToken: Reply] = [:]
        var nextToken: UInt64 = 0
        var alarm = DeadlineAlarm()
        var isStopped = false

        /// The answers of `effects`, with those who wait for them.
        mutating func take(_ effects: GroupEffects) -> Ready {
            effects.replies.compactMap { answer in waiting.removeValue(forKey: answer.token).map { ($0, answer.response) } }
        }
    }

    /// Answers that may leave.
    private typealias Ready = [(reply: Reply, response: GroupResponse)]

    private let state: Mutex<State>
    private let store: Store
    private let logger: Logger
    private let log: RateLimitedLog
    /// Where timers run, and writes that no request asked for come back to.
    private let lane: LoopLane

    init(store: Store, options: GroupOptions, lane: LoopLane, logger: Logger, log: RateLimitedLog) {
        self.store = store
        self.lane = lane
        self.logger = logger
        self.log = log
        state = Mutex(State(coordinator: GroupCoordinator(options: options, topics: StoreTopics(store: store))))
    }

    /// Takes over the groups that the store holds. Before the first client.
    func load() throws(StoreError) {
        let now = Moment.now
        try state.withLock { state throws(StoreError) in
            // What a transaction is going to commit makes a group of those it is for.
            let groups = Set(exact: store.groupIDs() + store.groupIDsWithPendingOffsets())
            for group in groups { try load(group.text, into: &state.coordinator, at: now) }
        }
        arm()
    }

    private func load(_ groupID: String, into coordinator: inout GroupCoordinator, at now: Moment) throws(StoreError) {
        let records = try store.groupRecords(of: groupID).map { StateRecord(key: $0.key, value: $0.value) }
        do throws(GroupStateError) {
            try coordinator.load(groupID, records: records, at: now)
        } catch {
            throw .corrupt("the group '\(groupID)' cannot be read: \(error)")
        }
    }

    // MARK: - Requests of members

    func join(_ request: JoinGroupRequest, _ call: Call, _ reply: Reply) {
        answer(call, reply, .join(JoinGroupResponse())) { $0.join(request, $1, at: $2) }
    }

    func sync(_ request: SyncGroupRequest, _ call: Call, _ reply: Reply) {
        answer(call, reply, .sync(SyncGroupResponse())) { $0.sync(request, $1, at: $2) }
    }

    func heartbeat(_ request: HeartbeatRequest, _ call: Call, _ reply: Reply) {
        answer(call, reply, .heartbeat(HeartbeatResponse())) { $0.heartbeat(request, $1, at: $2) }
    }

    func leave(_ request: LeaveGroupRequest, _ call: Call, _ reply: Reply) {
        answer(call, reply, .leave(LeaveGroupResponse())) { $0.leave(request, $1, at: $2) }
    }

    func consumerHeartbeat(_ request: ConsumerGroupHeartbeatRequest, _ call: Call, _ reply: Reply) {
        let empty = GroupResponse.consumerHeartbeat(ConsumerGroupHeartbeatResponse())
        let pattern = request.subscribedTopicRegex == nil ? nil : state.withLock { $0.coordinator.newPattern(in: request) }
        guard let pattern else { return answer(call, reply, empty) { $0.consumerHeartbeat(request, $1, at: $2) } }
        // No other group waits while the pattern is looked up. What the connection asks next does, so that it finds the member let in.
        call.offLoop(reply) {
            let lookup = PatternLookup(pattern, among: StoreTopics(store: self.store))
            let (ready, _) = self.decide(call, reply, empty) { $0.consumerHeartbeat(request, $1, lookup, at: $2) }
            self.send(ready)
            self.arm()
        }
    }

    /// Of an answer that is held: a connection has a few of them.
    static let heldBytesExpected = 1 << 20

    private typealias Decision = (inout GroupCoordinator, Caller, Moment) -> GroupEffects

    /// Has the coordinator decide, and sees to it that `reply` is spent, now or when a later decision answers it. To be called on the loop.
    private func answer(_ call: Call, _ reply: Reply, _ empty: GroupResponse, _ decision: Decision) {
        let (ready, waits) = decide(call, reply, empty, decision)
        if waits {
            // For the other members: of the request, nothing but what the group has taken over is in memory.
            reply.releaseRequest()
        } else if ready.isEmpty {
            // For a commit: the answer may say what all members have said of themselves.
            reply.expect(Self.heldBytesExpected)
        }
        send(ready)
        arm()
    }

    /// Returns the answers that may leave, and whether `reply` waits for a later decision.
    private func decide(_ call: Call, _ reply: Reply, _ empty: GroupResponse, _ decision: Decision) -> (Ready, waits: Bool) {
        let (ready, waits, fullGroupID) = state.withLock { state -> (Ready, Bool, String?) in
            guard !state.isStopped else { return ([(reply, empty.failing(.notCoordinator))], false, nil) }
            state.nextToken += 1
            let token = RequestToken(rawValue: state.nextToken)
            state.waiting[token] = reply
            let caller = Caller(
                token: token, clientID: call.header.clientID ?? "", clientHost: "/\(call.peer.host)", version: call.header.version)
            let effects = decision(&state.coordinator, caller, .now)
            let isFull = effects.replies.contains { $0.response.errorCode == .coordinatorNotAvailable }
            let ready = settle(effects, call.lane, &state)
            return (ready, state.waiting[token] != nil, isFull ? effects.groupID : nil)
        }
        if let fullGroupID { log.warning(.groupsFull, "refused \(call.peer) room in the group '\(fullGroupID)': see lmbroker.groups.max.bytes") }
        return (ready, waits)
    }

    /// Submits what is to be written, and returns the answers that need not wait for it.
    private func settle(_ effects: GroupEffects, _ lane: LoopLane, _ state: inout State) -> Ready {
        let answers = state.take(effects)
        guard !effects.records.isEmpty || state.writes.isBusy(effects.groupID) else { return answers }
        write(GroupChange(effects), lane, &state) { error in
            for (reply, response) in answers { reply.send(error == nil ? response : response.failing(.coordinatorNotAvailable)) }
        }
        return []
    }

    private func send(_ ready: Ready) {
        for (reply, response) in ready { reply.send(response) }
    }

    // MARK: - Offsets

    /// Who commits offsets, and as what.
    struct Committer {
        var groupID: String
        var memberID: String
        var groupInstanceID: String?
        var generationIDOrMemberEpoch: Int32
        /// Of the request.
        var version: Int16
    }

    /// Commits offsets, if the member may. `finish` is called when they are on disk, or with why they are not.
    func commit(
        _ offsets: [(key: OffsetKey, value: CommittedOffset)], by committer: Committer, _ lane: LoopLane,
        finish: @escaping @Sendable (ErrorCode) -> Void
    ) {
        let refusal = state.withLock { state -> ErrorCode in
            guard !state.isStopped else { return .notCoordinator }
            let now = Moment.now
            let code = state.coordinator.admitCommit(
                groupID: committer.groupID, memberID: committer.memberID, groupInstanceID: committer.groupInstanceID,
                generationIDOrMemberEpoch: committer.generationIDOrMemberEpoch, version: committer.version, isTransactional: false, at: now)
            if code == .none {
                state.coordinator.holdCommits(of: committer.groupID, at: now)
                let change = GroupChange(groupID: committer.groupID, offsets: offsets.map { ($0.key, $0.value) })
                write(change, lane, &state) { error in
                    finish(error == nil ? .none : .coordinatorNotAvailable)
                }
            }
            return code
        }
        if refusal != .none { finish(refusal) }
        arm()
    }

    /// Hands offsets to the producer's transaction, if the member and the producer may. A write of its own, whose refusal
    /// by the store is nobody else's.
    func commit(
        _ offsets: [(key: OffsetKey, value: CommittedOffset)], with request: TxnOffsetCommitRequest, _ call: Call,
        finish: @escaping @Sendable (ErrorCode) -> Void
    ) {
        let refusal = state.withLock { state -> ErrorCode in
            guard !state.isStopped else { return .notCoordinator }
            // A deletion may wait behind another write, and would take with it what was handed over meanwhile. Clients ask again.
            guard !state.writes.isDeleting(request.groupID) else { return .coordinatorLoadInProgress }
            let now = Moment.now
            let code = state.coordinator.admitCommit(
                groupID: request.groupID, memberID: request.memberID, groupInstanceID: request.groupInstanceID,
                generationIDOrMemberEpoch: request.generationID, version: call.header.version, isTransactional: true, at: now)
            guard code == .none else { return code }
            let admission = call.broker.transactions.admitOffsets(request, version: call.header.version, call.lane)
            guard admission == .none else { return admission }
            let pending = PendingOffsetChange(producerID: request.producerID, producerEpoch: request.producerEpoch, offsets: offsets)
            state.coordinator.holdCommits(of: request.groupID, at: now)
            handOver(pending, to: request.groupID, call.lane, &state, finish)
            return .none
        }
        if refusal != .none { finish(refusal) }
        arm()
    }

    private func handOver(
        _ pending: PendingOffsetChange, to groupID: String, _ lane: LoopLane, _ state: inout State, _ finish: @escaping @Sendable (ErrorCode) -> Void
    ) {
        state.handovers[groupID, default: 0] += 1
        let submission = Submission.groups([GroupChange(groupID: groupID, pendingOffsets: pending)], lane: lane) { error in
            self.state.withLock { state in
                state.handovers[groupID, default: 1] -= 1
                guard state.handovers[groupID] == 0 else { return }
                state.handovers[groupID] = nil
                // Refused: without anything else of it, the group never was.
                guard error != nil, !state.writes.isBusy(groupID), !self.store.hasGroup(groupID), !self.store.hasPendingOffsets(of: groupID) else { return }
                state.coordinator.letGoOfCommits(of: groupID)
            }
            finish(error.map(Self.code) ?? .none)
        }
        store.submit([submission])
    }

    private static func code(_ error: StoreError) -> ErrorCode {
        if case .refused(let code, _) = error { code } else { .coordinatorNotAvailable }
    }

    /// Whether the member may read the group's offsets (KIP-848: with the epoch it has).
    func admitFetch(groupID: String, memberID: String?, memberEpoch: Int32) -> ErrorCode {
        state.withLock { $0.coordinator.admitFetch(groupID: groupID, memberID: memberID, memberEpoch: memberEpoch) }
    }

    /// Deletes offsets of topics that no member is subscribed to. `choose` is told those topics' names, and says which keys go
    /// and what the answer then is; the group may refuse before.
    func deleteOffsets<Answer: Sendable>(
        of groupID: String, _ lane: LoopLane, choose: (_ subscribedTopics: Set<String>) -> (keys: [OffsetKey], answer: Answer),
        finish: @escaping @Sendable (Result<Answer, ProtocolError>) -> Void
    ) {
        let refusal = state.withLock { state -> ErrorCode in
            guard !state.isStopped else { return .notCoordinator }
            let (code, subscribed) = state.coordinator.admitOffsetDelete(groupID: groupID)
            if code == .none {
                let (keys, answer) = choose(subscribed)
                write(GroupChange(groupID: groupID, records: [], offsets: keys.map { ($0, nil) }), lane, &state) { error in
                    finish(error == nil ? .success(answer) : .failure(ProtocolError(.coordinatorNotAvailable)))
                }
            }
            return code
        }
        if refusal != .none { finish(.failure(ProtocolError(refusal))) }
    }

    // MARK: - Administration

    func list(states: [String], types: [String]) -> [ListGroupsResponse.Group] {
        state.withLock { $0.coordinator.list(states: states, types: types) }
    }

    func describe(_ groupID: String, version: Int16) -> DescribeGroupsResponse.Group {
        state.withLock { $0.coordinator.describe(groupID, version: version) }
    }

    func describeConsumer(_ groupID: String) -> ConsumerGroupDescribeResponse.Group {
        state.withLock { $0.coordinator.describeConsumer(groupID) }
    }

    /// Deletes the group with all its offsets, if it has no members.
    func delete(_ groupID: String, _ lane: LoopLane, finish: @escaping @Sendable (ErrorCode) -> Void) {
        let refusal = state.withLock { state -> ErrorCode in
            guard !state.isStopped else { return .notCoordinator }
            let (code, effects) = state.coordinator.delete(groupID)
            if code == .none { remove(effects, lane, &state, finish) }
            return code
        }
        if refusal != .none { finish(refusal) }
    }

    /// The offsets go by what the store has when it is the deletion's turn: a transaction may be committing some right now.
    private func remove(
        _ effects: GroupEffects, _ lane: LoopLane, _ state: inout State, _ finish: @escaping @Sendable (ErrorCode) -> Void
    ) {
        var change = GroupChange(effects)
        change.deletesOffsets = true
        write(change, lane, &state) { error in finish(error == nil ? .none : .coordinatorNotAvailable) }
    }

    /// Deletes the offsets that are past `retentionMs`, and groups that neither members nor offsets are left of.
    /// Returns how many offsets went.
    func expireOffsets(retentionMs: Int64, now: Int64) -> Int {
        let groupIDs = state.withLock { $0.coordinator.groupIDs }
        var count = 0
        // One group at a time: members of others need not wait for all of them.
        for groupID in groupIDs {
            count += state.withLock { state in
                // What is being written may be younger than what the store shows, and what a transaction is to commit is younger.
                guard !state.writes.isBusy(groupID), state.handovers[groupID] == nil, !store.hasPendingOffsets(of: groupID) else { return 0 }
                let expiry = state.coordinator.offsetsExpiry(of: groupID)
                guard expiry != .never else { return 0 }
                let offsets = store.committedOffsets(of: groupID)
                let expired = expiry.expired(among: offsets, retentionMs: retentionMs, now: now)
                if expired.count == offsets.count {
                    let (code, effects) = state.coordinator.delete(groupID)
                    if code == .none { remove(effects, lane, &state) { _ in } }
                } else if !expired.isEmpty {
                    write(GroupChange(groupID: groupID, records: [], offsets: expired.map { ($0, nil) }), lane, &state) { _ in }
                }
                return expired.count
            }
        }
        return count
    }

    // MARK: - Writing

    private func write(
        _ change: GroupChange, _ lane: LoopLane, _ state: inout State, _ finish: @escaping @Sendable (StoreError?) -> Void
    ) {
        guard let batch = state.writes.add(change, finish) else { return }
        submit(batch, of: change.groupID, lane)
    }

    private func submit(_ batch: GroupWrites.Batch, of groupID: String, _ lane: LoopLane) {
        let submission = Submission.groups(batch.changes, lane: lane) { error in self.landed(batch, of: groupID, lane, error) }
        store.submit([submission])
    }

    /// A write came back: the next one of its group goes out. One that failed takes those behind it with it, which were
    /// decided on top of it, and the group is again what the store says.
    private func landed(_ batch: GroupWrites.Batch, of groupID: String, _ lane: LoopLane, _ error: StoreError?) {
        let (finishes, ready) = state.withLock { state in
            guard let error else {
                if let next = state.writes.next(groupID) { submit(next, of: groupID, lane) }
                return (batch.finishes, Ready())
            }
            log.warning(.unwrittenGroup, "the group '\(groupID)' could not be written: \(error)")
            let lost = state.writes.abandon(groupID)
            return (batch.finishes + lost, reload(groupID, &state))
        }
        for finish in finishes { finish(error) }
        send(ready)
        arm()
    }

    private func reload(_ groupID: String, _ state: inout State) -> Ready {
        guard !state.isStopped else { return [] }
        let effects = state.coordinator.unload(groupID, answering: .coordinatorNotAvailable)
        do {
            // What is being handed to a transaction is not in the store yet. If it is refused, the group is let go of then.
            if store.hasGroup(groupID) || store.hasPendingOffsets(of: groupID) || state.handovers[groupID] != nil {
                try load(groupID, into: &state.coordinator, at: .now)
            }
        } catch {
            logger.error("\(error)")
        }
        return state.take(effects)
    }

    // MARK: - Time

    /// Sets the timer for the coordinator's next deadline, unless one goes off before it anyway.
    private func arm() {
        let deadline = state.withLock { $0.isStopped ? nil : $0.alarm.set(for: $0.coordinator.nextDeadline) }
        guard let deadline else { return }
        lane.schedule(atMs: deadline) { self.timeHasCome(for: deadline) }
    }

    private func timeHasCome(for deadline: Int64) {
        let ready = state.withLock { state -> Ready in
            guard !state.isStopped, state.alarm.goOff(at: deadline) else { return [] }
            return state.coordinator.advance(to: .now).flatMap { settle($0, lane, &state) }
        }
        send(ready)
        arm()
    }

    /// Answers those who wait; they ask again where they find the coordinator next.
    func stop() {
        let ready = state.withLock { state -> Ready in
            state.isStopped = true
            return state.coordinator.groupIDs.flatMap { state.take(state.coordinator.unload($0, answering: .notCoordinator)) }
        }
        send(ready)
    }
}

extension GroupChange {
    fileprivate init(_ effects: GroupEffects) {
        self.init(groupID: effects.groupID, records: effects.records.map { GroupRecord(key: $0.key, value: $0.value) })
    }
}

extension Moment {
    static var now: Moment {
        Moment(monotonicMs: Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000), wallClockMs: WallClock.nowMs)
    }
}

extension Reply {
    func send(_ response: GroupResponse) {
        switch response {
        case .join(let response): send(response)
        case .sync(let response): send(response)
        case .heartbeat(let response): send(response)
        case .leave(let response): send(response)
        case .consumerHeartbeat(let response): send(response)
        }
    }
}

/// The topics, as groups look at them.
private struct StoreTopics: TopicDirectory {
    let store: Store

    var version: UInt64 { store.catalogVersion }
    func topic(named name: String) -> TopicFacts? { store.topic(named: name).map(Self.facts) }
    func topic(id: Uuid) -> TopicFacts? { store.topic(id: id).map(Self.facts) }
    func names() -> [String] { store.topics().map(\.name) }

    private static func facts(_ topic: Topic) -> TopicFacts {
        TopicFacts(name: topic.name, id: topic.id, partitionCount: Int32(topic.partitions.count))
    }
}
