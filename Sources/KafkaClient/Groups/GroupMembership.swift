import KafkaProtocol

/// One member of a consumer group, as a value: what happens and what time it is go in, what to do comes out. It knows
/// no sockets and no clock, so that a test can lead it through anything.
///
/// Partitions change hands through *handoffs*: the membership asks the consumer to take on or to let go of some, one
/// handoff at a time, and goes on when it is told that this is done. Heartbeats go on meanwhile. What differs between
/// the classic protocol and KIP-848 is in the two files beside this one.
struct GroupMembership: Sendable {
    /// A partition that the member holds. The topic's id is zero in the classic protocol, which goes by names.
    struct Held: Hashable, Sendable {
        var partition: TopicPartition
        var topicID = Uuid()
    }

    struct TopicFacts: Sendable, Equatable {
        var id: Uuid
        var partitionCount: Int32
    }

    /// Something for the consumer to do, and to report with `Event.handedOver`.
    enum Handoff: Sendable, Equatable {
        /// Begin to read these. Empty when a rebalance brought nothing new.
        case assign(Set<TopicPartition>)
        /// Commit, and read these no more.
        case revoke(Set<TopicPartition>)
        /// These belong to others already: read them no more, without a commit.
        case lose(Set<TopicPartition>)
    }

    enum Request: Sendable {
        case findCoordinator
        case join(JoinGroupRequest)
        case sync(SyncGroupRequest)
        case heartbeat(HeartbeatRequest)
        case leave(LeaveGroupRequest)
        case consumerHeartbeat(ConsumerGroupHeartbeatRequest)
    }

    enum Response: Sendable {
        case coordinator
        case join(JoinGroupResponse)
        case sync(SyncGroupResponse)
        case heartbeat(HeartbeatResponse)
        case leave(LeaveGroupResponse)
        case consumerHeartbeat(ConsumerGroupHeartbeatResponse)
    }

    enum Event: Sendable {
        case subscribe([String])
        /// Whether the consumer's owner is waiting for records, and so able to hand over.
        case polling(Bool)
        case answered(UInt64, Result<Response, ClientError>)
        case lookedUp(UInt64, Result<[String: TopicFacts], ClientError>)
        case handedOver
        /// The coordinator refused a commit of this generation (or member epoch).
        case commitRefused(ErrorCode, generation: Int32)
        case leave
        /// Only time has passed.
        case tick
    }

    enum Action: Sendable {
        case send(UInt64, Request)
        case lookUp(UInt64, [String])
        case hand(Handoff)
        case left
        case failed(ClientError)
    }

    /// Who the member is in commits.
    struct Identity: Sendable, Equatable {
        var memberID = ""
        /// The generation, or the member's epoch; −1 outside the group.
        var generation: Int32 = -1
    }

    let settings: GroupSettings
    var identity = Identity()
    var subscription: [String] = []
    var held: Set<Held> = []
    /// What the member is to hold, until it does.
    var target: Set<Held>?
    /// Given to the consumer and not reported yet.
    private(set) var handoff: (work: Handoff, held: Set<Held>)?
    /// The coordinator says that the member is none any more: what it holds is lost.
    var isVoid = false
    var hasCoordinator = false
    /// Asked and not answered yet; there is one request at a time.
    var request: (ticket: UInt64, content: Request)?
    var lookUp: UInt64?
    var lookUpDue: Int64?
    var topics: [String: TopicFacts] = [:]
    var heartbeatDue: Int64 = 0
    /// After a failure nothing is asked before this.
    private(set) var notBefore: Int64 = 0
    private var failures = 0
    var isPolling = false
    var polledAt: Int64 = 0
    private var steppedAt: Int64 = 0
    /// The owner has not come for records for so long that the member has left.
    var isExpired = false
    var isLeaving = false
    /// A leave request is still to be sent, or sent again so many times.
    var leaveAttempts = 0
    private var failure: ClientError?
    private var isOver = false
    private var nextTicket: UInt64 = 1
    private var noise: UInt64
    private var actions: [Action] = []
    var classic = ClassicState()
    var consumer = ConsumerState()

    /// - Parameters:
    ///   - memberID: What the member calls itself in KIP-848; the classic protocol has the coordinator name it.
    ///   - seed: For the spread of back-off times.
    init(_ settings: GroupSettings, memberID: String, seed: UInt64) {
        self.settings = settings
        noise = seed
        if settings.protocol == .consumer { identity.memberID = memberID }
    }

    /// Takes an event in.
    /// - Parameter now: milliseconds of a clock that only goes forward.
    mutating func handle(_ event: Event, at now: Int64) -> [Action] {
        if !isOver { accept(event, now) }
        step(now)
        steppedAt = now
        defer { actions = [] }
        return actions
    }

    private mutating func accept(_ event: Event, _ now: Int64) {
        switch event {
        case .subscribe(let topics):
            subscribe(Array(Set(topics)).sorted())
            if !isPolling { polledAt = now }
        case .polling(let polling):
            (isPolling, polledAt) = (polling, now)
            if polling, isExpired { comeBack() }
        case .answered(let ticket, let result):
            guard let asked = request, asked.ticket == ticket else { return }
            request = nil
            answered(asked.content, result, now)
        case .lookedUp(let ticket, let result):
            guard lookUp == ticket else { return }
            lookUp = nil
            lookedUp(result, now)
        case .handedOver: handedOver()
        case .commitRefused(let code, let generation):
            if generation == identity.generation { commitRefused(code) }
        case .leave:
            if isLeaving { return }
            isLeaving = true
            leaveAttempts = 3
            notBefore = now
            if held.isEmpty, handoff == nil { dropQuestions() }
        case .tick: break
        }
    }

    /// Whatever is under way is of no interest to who leaves with nothing in hand; a join may be held for minutes. While something
    /// is still to be committed, an answer may bring the generation to commit it in.
    private mutating func dropQuestions() { if !owesAssignment { (request, lookUp) = (nil, nil) } }

    private mutating func subscribe(_ topics: [String]) {
        guard topics != subscription else { return }
        subscription = topics
        switch settings.protocol {
        case .classic: classic.rejoinReason = "the subscription has changed"
        case .consumer: consumer.isDue = true
        }
    }

    // MARK: What to do next

    private mutating func step(_ now: Int64) {
        if isOver { return }
        expire(now)
        if handoff == nil { offer() }
        if handoff == nil, let failure { return finish(.failed(failure)) }
        guard failure == nil else { return }
        if lookUp == nil, let due = lookUpDue, now >= due { askForTopics(now) }
        guard request == nil, now >= notBefore else { return }
        // While something is still to be committed, the member stays in the group, or it would have no generation to commit in.
        if isLeaving ? handoff == nil : isExpired { return leave(now) }
        guard !subscription.isEmpty || identity.generation > 0 else { return }
        guard hasCoordinator else { return ask(.findCoordinator) }
        switch settings.protocol {
        case .classic: stepClassic(now)
        case .consumer: stepConsumer(now)
        }
    }

    /// Hands the consumer what is next for it, if anything.
    private mutating func offer() {
        if isVoid {
            if !held.isEmpty { return hand(.lose(names(held)), held) }
            isVoid = false
        }
        if isLeaving || failure != nil {
            if !held.isEmpty { hand(.revoke(names(held)), held) }
            return
        }
        if isExpired { return }
        if let target {
            let gone = held.subtracting(target)
            if !gone.isEmpty { return hand(.revoke(names(gone)), gone) }
            let added = target.subtracting(held)
            if !added.isEmpty || settings.protocol == .classic { return hand(.assign(names(added)), added) }
            self.target = nil
        }
        let given = givenUpToJoin
        if !given.isEmpty { hand(.revoke(names(given)), given) }
    }

    private func names(_ held: Set<Held>) -> Set<TopicPartition> { Set(held.map(\.partition)) }

    private mutating func hand(_ work: Handoff, _ held: Set<Held>) {
        handoff = (work, held)
        actions.append(.hand(work))
    }

    private mutating func handedOver() {
        guard let (work, partitions) = handoff else { return }
        handoff = nil
        switch work {
        case .assign:
            held.formUnion(partitions)
            // The target may have become another one meanwhile.
            if held == target { target = nil }
        case .revoke:
            held.subtract(partitions)
            if settings.protocol == .classic, target != nil, classic.rejoinReason == nil {
                classic.rejoinReason = "partitions were given up that others wait for"
            }
        case .lose:
            held.subtract(partitions)
        }
        if isLeaving, held.isEmpty { dropQuestions() }
    }

    // MARK: Asking

    mutating func ask(_ content: Request) {
        request = (nextTicket, content)
        actions.append(.send(nextTicket, content))
        nextTicket += 1
    }

    /// Topics whose facts are wanted are asked for as soon as possible, or at `due`.
    private mutating func askForTopics(_ now: Int64) {
        let wanted = topicsOfInterest
        lookUpDue = nil
        guard !wanted.isEmpty else { return }
        lookUp = nextTicket
        actions.append(.lookUp(nextTicket, wanted))
        nextTicket += 1
    }

    private var topicsOfInterest: [String] {
        switch settings.protocol {
        case .classic: classic.topicsOfGroup.sorted()
        case .consumer: subscription
        }
    }

    private mutating func lookedUp(_ result: Result<[String: TopicFacts], ClientError>, _ now: Int64) {
        guard case .success(let found) = result else {
            lookUpDue = now + Int64(settings.backoff.maximumMs)
            return
        }
        topics = found
        // Who waits for a topic to be made does not want to wait for minutes.
        let soon = now + min(settings.metadataRefreshMs, 3_000)
        switch settings.protocol {
        case .classic:
            lookUpDue = topicsOfInterest.allSatisfy { found[$0] != nil } ? now + settings.metadataRefreshMs : soon
            topicsKnown(now)
        case .consumer:
            resolve()
            lookUpDue = consumer.assignment == nil ? nil : soon
        }
    }

    private mutating func answered(_ asked: Request, _ result: Result<Response, ClientError>, _ now: Int64) {
        switch (asked, result) {
        case (.findCoordinator, .success):
            hasCoordinator = true
            failures = 0
        case (.findCoordinator, .failure(let error)): trouble(error, now)
        case (.leave, _): left(result, now)
        case (.consumerHeartbeat(let request), _) where request.memberEpoch < 0: left(result, now)
        case (.join, .success(.join(let response))): joined(response, now)
        case (.sync, .success(.sync(let response))): synced(response, now)
        case (.heartbeat, .success(.heartbeat(let response))): beaten(response.errorCode, now)
        case (.consumerHeartbeat(let request), .success(.consumerHeartbeat(let response))): beaten(response, to: request, now)
        case (.join, .failure(let error)), (.sync, .failure(let error)):
            classic.phase = .outside
            trouble(error, now)
        case (.consumerHeartbeat, .failure(let error)):
            consumer.told = nil
            trouble(error, now)
        case (.heartbeat, .failure(let error)): trouble(error, now)
        default: fail(.malformed("the coordinator answered something else than was asked"))
        }
    }

    mutating func succeeded() { failures = 0 }

    /// What may pass is tried again a little later, perhaps at another coordinator; the rest ends the membership.
    mutating func trouble(_ error: ClientError, _ now: Int64) {
        guard error.isRetriable else { return fail(error) }
        switch error.code {
        case nil, .notCoordinator?, .coordinatorNotAvailable?: hasCoordinator = false
        default: break
        }
        hold(now)
    }

    /// Nothing is asked for a while, longer after each failure in a row.
    mutating func hold(_ now: Int64) {
        failures += 1
        noise = noise &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let jitter = (Double(noise >> 40) / Double(1 << 24) - 0.5) * 0.4
        notBefore = now + Int64(settings.backoff.delayMs(attempt: failures, jitter: jitter))
    }

    /// Ends the membership; what is held is lost first.
    mutating func fail(_ error: ClientError) {
        if failure == nil { failure = error }
        isVoid = true
    }

    mutating func finish(_ action: Action) {
        isOver = true
        actions.append(action)
    }

    // MARK: Time

    /// When something is to be done even if nothing happens. What was due at the last step and was not done waits for
    /// something else than time.
    var nextDeadline: Int64? {
        if isOver { return nil }
        var deadlines: [Int64] = []
        if lookUp == nil, let lookUpDue { deadlines.append(lookUpDue) }
        if request == nil { deadlines += [notBefore, heartbeatDue] }
        if !isPolling, !isExpired, !isLeaving, isMember { deadlines.append(polledAt + settings.maxPollIntervalMs + 1) }
        return deadlines.filter { $0 > steppedAt }.min()
    }
}
