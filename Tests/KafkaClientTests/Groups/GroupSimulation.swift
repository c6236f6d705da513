import KafkaProtocol
import Synchronization

@testable import Coordinators
@testable import KafkaClient

/// A group's life without sockets and clocks: memberships on one side, the broker's coordinator on the other, and
/// between them a network that delays, loses and refuses, all from one seed.
final class GroupSimulation {
    /// Topics that may grow.
    final class Topics: TopicDirectory {
        private let facts: Mutex<(version: UInt64, topics: [String: Coordinators.TopicFacts])>

        init(_ counts: [String: Int32]) {
            var topics: [String: Coordinators.TopicFacts] = [:]
            for (number, (name, count)) in counts.sorted(by: { $0.key < $1.key }).enumerated() {
                topics[name] = Coordinators.TopicFacts(name: name, id: Uuid(high: 1, low: UInt64(number + 1)), partitionCount: count)
            }
            facts = Mutex((1, topics))
        }

        var version: UInt64 { facts.withLock { $0.version } }
        func topic(named name: String) -> Coordinators.TopicFacts? { facts.withLock { $0.topics[name] } }
        func topic(id: Uuid) -> Coordinators.TopicFacts? { facts.withLock { $0.topics.values.first { $0.id == id } } }
        func names() -> [String] { facts.withLock { Array($0.topics.keys) } }

        func grow(_ name: String) {
            facts.withLock { facts in
                facts.topics[name]?.partitionCount += 1
                facts.version += 1
            }
        }

        var partitions: Set<TopicPartition> {
            facts.withLock { Set($0.topics.values.flatMap { topic in (0..<topic.partitionCount).map { TopicPartition(topic.name, $0) } }) }
        }
    }

    /// A consumer: a membership and an owner who does what it is handed, sooner or later.
    final class Member {
        let name: String
        var membership: GroupMembership
        var reads: Set<TopicPartition> = []
        var isAlive = true
        var failure: ClientError?
        var hasLeft = false

        init(_ name: String, _ membership: GroupMembership) { (self.name, self.membership) = (name, membership) }
    }

    private struct Event {
        var time: Int64
        var order: Int
        var body: (GroupSimulation) -> Void
    }

    var chance: Chance
    var now: Int64 = 1_000_000
    let topics: Topics
    let settings: GroupSettings
    var options = GroupOptions()
    var coordinator: GroupCoordinator
    private var disk: [String: [[UInt8]: [UInt8]]] = [:]
    private var events: [Event] = []
    private var nextOrder = 0
    private var nextToken: UInt64 = 1
    private var boots: UInt64 = 0
    /// Who waits for which answer of the coordinator.
    private var waiting: [RequestToken: (member: Member, ticket: UInt64)] = [:]
    var members: [Member] = []
    private var memberCount: UInt64 = 0
    var hasFaults = true
    /// What should never be seen.
    var violations: [String] = []
    var log: [String] = []

    init(seed: UInt64, _ settings: GroupSettings) {
        chance = Chance(seed: seed)
        topics = Topics(["a": 4, "b": 3])
        self.settings = settings
        options.sessionTimeoutMsMin = 1_000
        coordinator = GroupCoordinator(options: options, topics: topics, random: .seeded(seed))
    }

    // MARK: Time

    func after(_ ms: Int64, _ body: @escaping (GroupSimulation) -> Void) {
        let event = Event(time: now + ms, order: nextOrder, body: body)
        nextOrder += 1
        let place = events.firstIndex { ($0.time, $0.order) > (event.time, event.order) } ?? events.endIndex
        events.insert(event, at: place)
    }

    func run(for ms: Int64) {
        let end = now + ms
        while true {
            var next = min(events.first?.time ?? .max, coordinator.nextDeadline ?? .max)
            for member in members where member.isAlive { next = min(next, member.membership.nextDeadline ?? .max) }
            guard next <= end else { break }
            now = max(now, next)
            if let event = events.first, event.time <= now {
                events.removeFirst()
                event.body(self)
            } else if let deadline = coordinator.nextDeadline, deadline <= now {
                for effects in coordinator.advance(to: moment) { take(effects) }
            } else {
                for member in members where member.isAlive {
                    if let deadline = member.membership.nextDeadline, deadline <= now { tell(member, .tick) }
                }
            }
            check()
        }
        now = end
    }

    private var moment: Moment { Moment(monotonicMs: now, wallClockMs: 1_700_000_000_000 + now) }

    // MARK: Members

    func begin(instanceID: String? = nil) {
        memberCount += 1
        var settings = settings
        settings.instanceID = instanceID
        let membership = GroupMembership(settings, memberID: "member-\(memberCount)", seed: chance.next())
        let member = Member(instanceID ?? "m\(memberCount)", membership)
        members.append(member)
        tell(member, .subscribe(["a", "b"]))
        tell(member, .polling(true))
    }

    func tell(_ member: Member, _ event: GroupMembership.Event) {
        guard member.isAlive else { return }
        for action in member.membership.handle(event, at: now) {
            switch action {
            case .send(let ticket, let request): send(member, ticket, request)
            case .lookUp(let ticket, let names): lookUp(member, ticket, names)
            case .hand(let handoff):
                after(.random(in: 0...(chance.oneIn(10) ? 8_000 : 300), using: &chance)) { $0.carryOut(member, handoff) }
            case .left: (member.hasLeft, member.isAlive) = (true, false)
            case .failed(let error):
                (member.failure, member.isAlive) = (error, false)
            }
        }
    }

    private func carryOut(_ member: Member, _ handoff: GroupMembership.Handoff) {
        guard member.isAlive else { return }
        log.append("\(now) \(member.name) \(handoff)")
        switch handoff {
        case .assign(let partitions): member.reads.formUnion(partitions)
        case .revoke(let partitions), .lose(let partitions): member.reads.subtract(partitions)
        }
        tell(member, .handedOver)
    }

    /// As kill -9: nobody says goodbye.
    func kill(_ member: Member) {
        log.append("\(now) \(member.name) killed")
        member.isAlive = false
        member.reads = []
        waiting = waiting.filter { $0.value.member !== member }
    }

    private func lookUp(_ member: Member, _ ticket: UInt64, _ names: [String]) {
        let fails = hasFaults && chance.oneIn(10)
        after(.random(in: 1...100, using: &chance)) { simulation in
            var facts: [String: GroupMembership.TopicFacts] = [:]
            for name in names {
                guard let topic = simulation.topics.topic(named: name) else { continue }
                facts[name] = GroupMembership.TopicFacts(id: topic.id, partitionCount: topic.partitionCount)
            }
            simulation.tell(member, .lookedUp(ticket, fails ? .failure(.timedOut("no metadata")) : .success(facts)))
        }
    }

    // MARK: The network and the coordinator

    private func send(_ member: Member, _ ticket: UInt64, _ request: GroupMembership.Request) {
        let delay = Int64.random(in: 1...(hasFaults && chance.oneIn(20) ? 5_000 : 50), using: &chance)
        if hasFaults, chance.oneIn(25) {
            return after(delay) { $0.tell(member, .answered(ticket, .failure(.connectionLost("cut on the way there")))) }
        }
        if hasFaults, chance.oneIn(25) {
            let code = [ErrorCode.notCoordinator, .coordinatorLoadInProgress, .coordinatorNotAvailable].randomElement(using: &chance) ?? .notCoordinator
            return after(delay) { $0.tell(member, .answered(ticket, Self.refusal(of: request, code))) }
        }
        after(delay) { $0.arrive(member, ticket, request) }
    }

    private static func refusal(of request: GroupMembership.Request, _ code: ErrorCode) -> Result<GroupMembership.Response, ClientError> {
        switch request {
        case .findCoordinator: .failure(.broker(code, "refused"))
        case .join: .success(.join(JoinGroupResponse { $0.errorCode = code }))
        case .sync: .success(.sync(SyncGroupResponse { $0.errorCode = code }))
        case .heartbeat: .success(.heartbeat(HeartbeatResponse { $0.errorCode = code }))
        case .leave: .success(.leave(LeaveGroupResponse { $0.errorCode = code }))
        case .consumerHeartbeat: .success(.consumerHeartbeat(ConsumerGroupHeartbeatResponse { $0.errorCode = code }))
        }
    }

    private func arrive(_ member: Member, _ ticket: UInt64, _ request: GroupMembership.Request) {
        guard member.isAlive else { return }
        if case .findCoordinator = request { return tell(member, .answered(ticket, .success(.coordinator))) }
        let token = RequestToken(rawValue: nextToken)
        nextToken += 1
        waiting[token] = (member, ticket)
        func caller(_ version: Int16) -> Caller { Caller(token: token, clientID: member.name, clientHost: "/127.0.0.1", version: version) }
        switch request {
        case .findCoordinator: break
        case .join(let request): take(coordinator.join(request, caller(9), at: moment))
        case .sync(let request): take(coordinator.sync(request, caller(5), at: moment))
        case .heartbeat(let request): take(coordinator.heartbeat(request, caller(4), at: moment))
        case .leave(let request): take(coordinator.leave(request, caller(5), at: moment))
        case .consumerHeartbeat(let request): take(coordinator.consumerHeartbeat(request, caller(1), at: moment))
        }
    }

    private func take(_ effects: GroupEffects) {
        for record in effects.records { disk[effects.groupID, default: [:]][record.key] = record.value }
        for (token, response) in effects.replies {
            guard let (member, ticket) = waiting.removeValue(forKey: token) else { continue }
            let isLost = hasFaults && chance.oneIn(25)
            let answer: GroupMembership.Response =
                switch response {
                case .join(let response): .join(response)
                case .sync(let response): .sync(response)
                case .heartbeat(let response): .heartbeat(response)
                case .leave(let response): .leave(response)
                case .consumerHeartbeat(let response): .consumerHeartbeat(response)
                }
            after(.random(in: 1...(hasFaults && chance.oneIn(20) ? 3_000 : 50), using: &chance)) {
                $0.tell(member, .answered(ticket, isLost ? .failure(.connectionLost("cut on the way back")) : .success(answer)))
            }
        }
    }

    /// The broker is killed and started again with what is on the disk.
    func restart() {
        log.append("\(now) broker restarted")
        boots += 1
        coordinator = GroupCoordinator(options: options, topics: topics, random: .seeded(boots << 32))
        for (group, records) in disk where !records.isEmpty {
            do {
                try coordinator.load(group, records: records.map { StateRecord(key: $0.key, value: $0.value) }, at: moment)
            } catch {
                violations.append("\(now): the group cannot be loaded: \(error)")
            }
        }
        let cut = waiting.sorted { $0.key.rawValue < $1.key.rawValue }
        waiting = [:]
        for (_, asked) in cut {
            after(.random(in: 1...200, using: &chance)) { $0.tell(asked.member, .answered(asked.ticket, .failure(.connectionLost("the broker is gone")))) }
        }
    }

    // MARK: What must hold

    /// Of all who read a partition, at most one may commit: the others have been put out and do not know it yet.
    private func check() {
        var readers: [TopicPartition: [Member]] = [:]
        for member in members where member.isAlive {
            for partition in member.reads { readers[partition, default: []].append(member) }
        }
        for (partition, readers) in readers where readers.count > 1 {
            let entitled = readers.filter(isEntitled)
            if entitled.count > 1 {
                violations.append("\(now): \(partition) is read by \(entitled.map(\.name).joined(separator: " and "))")
            }
        }
    }

    private func isEntitled(_ member: Member) -> Bool {
        let identity = member.membership.identity
        if identity.generation < 0 { return false }
        var copy = coordinator
        return copy.admitCommit(
            groupID: settings.groupID, memberID: identity.memberID, groupInstanceID: member.membership.settings.instanceID,
            generationIDOrMemberEpoch: identity.generation, version: 9, isTransactional: false, at: moment) == .none
    }

    /// Everything is read, by members that can commit.
    var isSettled: Bool {
        let alive = members.filter(\.isAlive)
        let read = alive.flatMap(\.reads)
        return read.count == Set(read).count && Set(read) == topics.partitions && alive.allSatisfy(isEntitled)
    }

    var state: String {
        let alive = members.filter(\.isAlive).map { member in
            "\(member.name) \(member.membership.identity) entitled \(isEntitled(member)) reads \(member.reads.map(\.description).sorted())"
                + " asked \(String(describing: member.membership.request)) hand \(String(describing: member.membership.handoff?.work))"
        }
        return (alive + log.suffix(30)).joined(separator: "\n")
    }
}
