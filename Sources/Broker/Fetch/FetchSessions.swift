internal import KafkaProtocol
internal import NIOCore
internal import Store
internal import Synchronization

/// What a fetch is about, once its session is known.
struct FetchPlan: Sendable {
    var targets: [FetchTarget] = []
    /// Indices of `targets` in the order they are served.
    var order: [Int32] = []
    /// Nil without a session.
    var session: FetchSession?
    /// Only partitions with news are answered.
    var isIncremental = false
    /// The answer before told an error of every partition.
    var wasAllInError = false
}

/// The incremental fetch sessions of a broker (KIP-227). They outlive connections, and are bounded in number
/// (`max.incremental.fetch.session.cache.slots`). A client whose session was dropped is told so, and opens another.
final class FetchSessions: Sendable {
    enum Outcome {
        case plan(FetchPlan)
        case refused(ErrorCode)
    }

    /// `min.incremental.fetch.session.eviction.ms`: how long a session is safe from being dropped for another.
    static let evictionAge = TimeAmount.seconds(120)

    private let slotCount: Int
    /// Partitions that all sessions together may be about, some 200 bytes each: clients may name such as there are not.
    private let targetsMax: Int
    private let sessions = Mutex<[Int32: FetchSession]>([:])

    init(slotCount: Int, targetsMax: Int = 1_000_000) {
        self.slotCount = slotCount
        self.targetsMax = targetsMax
    }

    var count: Int { sessions.withLock { $0.count } }

    /// Finds, opens, changes or closes the session that `request` names.
    func plan(_ request: FetchRequest, version: Int16, store: Store, now: NIODeadline = .now()) -> Outcome {
        let usesTopicIDs = version >= 13
        guard request.sessionEpoch > 0 else {
            if request.sessionID != 0 { close(request.sessionID) }
            return .plan(full(request, usesTopicIDs: usesTopicIDs, opens: request.sessionEpoch == 0, store: store, now: now))
        }
        guard let session = sessions.withLock({ $0[request.sessionID] }) else { return .refused(.fetchSessionIDNotFound) }
        guard session.usesTopicIDs == usesTopicIDs else { return .refused(.fetchSessionTopicIDError) }
        guard Self.mayRemember(request) else { return forget(session) }
        let sizeBefore = session.use.size
        guard let plan = session.advance(request, store: store, now: now) else { return .refused(.invalidFetchSessionEpoch) }
        guard !plan.targets.isEmpty else {
            close(session.id)
            return .plan(FetchPlan())
        }
        // The client asks for all of its partitions anew then, and has them without a session.
        if plan.targets.count > sizeBefore, sessions.withLock({ Self.size($0) }) > targetsMax { return forget(session) }
        return .plan(plan)
    }

    private func forget(_ session: FetchSession) -> Outcome {
        close(session.id)
        return .refused(.fetchSessionIDNotFound)
    }

    /// A session looks at the names of its topics again and again. What is too long for one is answered without a session.
    private static func mayRemember(_ request: FetchRequest) -> Bool { request.topics.allSatisfy { $0.topic.utf8.count <= TopicName.lengthMax } }

    private func full(_ request: FetchRequest, usesTopicIDs: Bool, opens: Bool, store: Store, now: NIODeadline) -> FetchPlan {
        var plan = FetchPlan()
        plan.targets.reserveCapacity(request.topics.reduce(0) { $0 + $1.partitions.count })
        var placesByTopic: [FetchTopicKey: [Int32: Int]] = [:]
        for topic in request.topics {
            let found = usesTopicIDs ? store.topic(id: topic.topicID) : store.topic(named: topic.topic)
            let key = FetchTopicKey(name: topic.topic, id: topic.topicID)
            // The name is looked up once, not once for each partition: it may be long, and they many.
            var places = placesByTopic.removeValue(forKey: key) ?? [:]
            for partition in topic.partitions {
                // Named again, it is the same one.
                if let place = places[partition.partition] {
                    plan.targets[place].update(partition)
                    continue
                }
                places[partition.partition] = plan.targets.count
                var target = FetchTarget(topic, partition, usesTopicID: usesTopicIDs)
                target.resolve(in: found)
                plan.targets.append(target)
            }
            placesByTopic[key] = places
        }
        plan.order = Array(0..<Int32(plan.targets.count))
        if opens, !plan.targets.isEmpty, Self.mayRemember(request) { plan.session = open(plan, usesTopicIDs: usesTopicIDs, now: now) }
        return plan
    }

    /// Partitions in all sessions.
    private static func size(_ sessions: [Int32: FetchSession]) -> Int { sessions.values.reduce(0) { $0 + $1.use.size } }

    /// Nil when there is no slot, and none may be freed yet; or when there are too many partitions in those there are.
    private func open(_ plan: FetchPlan, usesTopicIDs: Bool, now: NIODeadline) -> FetchSession? {
        sessions.withLock { sessions in
            guard Self.size(sessions) + plan.targets.count <= targetsMax else { return nil }
            if sessions.count >= slotCount {
                guard let victim = Self.evictable(sessions, for: plan.targets.count, now: now) else { return nil }
                sessions[victim] = nil
            }
            var id = Int32.random(in: 1...Int32.max)
            while sessions[id] != nil { id = Int32.random(in: 1...Int32.max) }
            let session = FetchSession(id: id, plan: plan, usesTopicIDs: usesTopicIDs, now: now)
            sessions[id] = session
            return session
        }
    }

    /// The session longest unused, if that is long enough, or else the smallest one that had its time and is smaller
    /// than the new one.
    private static func evictable(_ sessions: [Int32: FetchSession], for size: Int, now: NIODeadline) -> Int32? {
        let all = sessions.values.map { (id: $0.id, use: $0.use) }
        if let stalest = all.min(by: { $0.use.lastUsed < $1.use.lastUsed }), now - stalest.use.lastUsed > evictionAge { return stalest.id }
        let smaller = all.filter { now - $0.use.created > evictionAge && $0.use.size < size }
        return smaller.min { $0.use.size < $1.use.size }?.id
    }

    private func close(_ id: Int32) { sessions.withLock { $0[id] = nil } }
}
