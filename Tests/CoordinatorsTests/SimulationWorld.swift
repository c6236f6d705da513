import HeapModule
import KafkaProtocol

@testable import Coordinators

/// A broker, its disk, its network and the members of one group, played from a seed: the same seed is the same story,
/// to the last message. Nothing in it sleeps; time is a number.
final class SimulationWorld {
    let seed: UInt64
    private var random: RandomSource
    private(set) var now: Int64 = 0
    private var events = Heap<Event>()
    private var eventCount: UInt64 = 0
    private(set) var trace: [String] = []
    let isTracing: Bool

    let options: GroupOptions
    let partitionCount: Int
    let isCooperative: Bool
    private(set) var members: [SimulationMember] = []
    var checks = SimulationChecks()

    // The broker.
    private var coordinator: GroupCoordinator
    private var isUp = true
    /// Tells what was scheduled by this life of the broker from what an earlier one left behind.
    private var life: UInt64 = 0
    private var inFlight: [Submission] = []
    private var disk: [[UInt8]: [UInt8]] = [:]
    private(set) var committed: [Int64]
    private var waiting: [RequestToken: Waiting] = [:]
    private var lastToken: UInt64 = 0
    /// No more faults: from here on everybody has to get somewhere.
    private(set) var isCalm = false

    private struct Event: Comparable {
        var time: Int64
        var number: UInt64
        var action: () -> Void
        static func < (left: Event, right: Event) -> Bool { (left.time, left.number) < (right.time, right.number) }
        static func == (left: Event, right: Event) -> Bool { left.number == right.number }
    }

    private struct Waiting {
        var member: SimulationMember
        var connection: Int
        var sentAt: Int64
    }

    /// One step towards the disk, with the answers that wait for it.
    private struct Submission {
        var records: [StateRecord] = []
        var commits: [(partition: Int, offset: Int64)] = []
        var answers: [(token: RequestToken, answer: Answer)] = []
    }

    enum Answer {
        case group(GroupResponse)
        case commit(ErrorCode)
    }

    enum Request {
        case join(JoinGroupRequest)
        case sync(SyncGroupRequest)
        case heartbeat(HeartbeatRequest)
        case leave(LeaveGroupRequest)
        case commit(memberID: String, instance: String?, generationID: Int32, partition: Int, offset: Int64)
    }

    init(seed: UInt64, isTracing: Bool = false) {
        self.seed = seed
        self.isTracing = isTracing
        random = .seeded(seed)
        var options = GroupOptions()
        options.initialRebalanceDelayMs = [0, 500, 3_000].randomElement(using: &random) ?? 0
        self.options = options
        partitionCount = Int.random(in: 1...6, using: &random)
        isCooperative = Bool.random(using: &random)
        committed = Array(repeating: 0, count: partitionCount)
        coordinator = GroupCoordinator(options: options, topics: NoTopics(), random: .seeded(seed ^ 0xbeef))
    }

    func log(_ line: @autoclosure () -> String) {
        if isTracing { trace.append("\(now) \(line())") }
    }

    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    func number(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &random) }

    /// After `delayMs`.
    func later(_ delayMs: Int64, _ action: @escaping () -> Void) {
        eventCount += 1
        events.insert(Event(time: now + delayMs, number: eventCount, action: action))
    }

    // MARK: - The story

    /// A minute of trouble, then calm until all is well, or three minutes. Nil, or what went wrong.
    func run() -> String? {
        for _ in 0..<number(1...5) { newMember() }
        for _ in 0..<number(2...12) { later(number(0...60_000)) { self.trouble() } }
        play(until: 60_000)
        isCalm = true
        log("calm")
        // What was begun in the trouble ends in the calm: pauses, restarts, members that come back.
        play(until: 95_000)
        while checks.violation == nil, let complaint = complaint {
            if now >= 240_000 { checks.fail(complaint) }
            play(until: now + 5_000)
        }
        return checks.violation
    }

    private var complaint: String? {
        SimulationChecks.complaint(
            members.filter(\.isAlive), partitionCount: partitionCount, waitingSince: waiting.values.map(\.sentAt).min(), now: now)
    }

    private func play(until end: Int64) {
        while checks.violation == nil {
            let event = events.min?.time ?? .max
            let deadline = isUp ? coordinator.nextDeadline ?? .max : .max
            guard min(event, deadline) <= end else { break }
            now = max(now, min(event, deadline))
            if deadline < event {
                for effects in coordinator.advance(to: moment) { submit(effects) }
            } else {
                events.popMin()?.action()
            }
        }
        now = end
    }

    private func newMember(instance: String? = nil) {
        let isStatic = instance == nil && chance(40)
        let member = SimulationMember(members.count, instance: instance ?? (isStatic ? "i\(members.count)" : nil), self)
        members.append(member)
        later(number(0...5_000)) { member.start() }
    }

    private func trouble() {
        switch number(0...9) {
        case 0...2: crash()
        case 3: failWrite()
        case 4: if members.count < 9 { newMember() }
        default:
            let alive = members.filter(\.isAlive)
            guard let member = alive.isEmpty ? nil : alive[Int(number(0...Int64(alive.count - 1)))] else { return }
            switch number(0...5) {
            case 0: member.leave()
            case 1:
                member.vanish()
                // It comes back, a static one under its name.
                later(number(100...20_000)) { if self.members.count < 9 { self.newMember(instance: member.instance) } }
            case 2: member.pause(number(1_000...30_000))
            case 3: if let instance = member.instance, members.count < 9 { newMember(instance: instance) }
            case 4: member.changeSubscription()
            default: member.beImpatient()
            }
        }
    }

    // MARK: - The network

    /// A connection gives up what is on its way when its client does.
    func send(_ request: Request, version: Int16, from member: SimulationMember) {
        let connection = member.connection
        if !isCalm, chance(2) { return log("\(member) loses a request") }
        later(number(0...30)) {
            guard member.connection == connection else { return }
            guard self.isUp else { return member.disconnected(connection) }
            self.receive(request, version, member)
        }
    }

    private func receive(_ request: Request, _ version: Int16, _ member: SimulationMember) {
        lastToken += 1
        let caller = Caller(token: RequestToken(rawValue: lastToken), clientID: "c\(member.number)", clientHost: "/\(member.number)", version: version)
        waiting[caller.token] = Waiting(member: member, connection: member.connection, sentAt: now)
        switch request {
        case .join(let request): submit(coordinator.join(request, caller, at: moment))
        case .sync(let request): submit(coordinator.sync(request, caller, at: moment))
        case .heartbeat(let request): submit(coordinator.heartbeat(request, caller, at: moment))
        case .leave(let request): submit(coordinator.leave(request, caller, at: moment))
        case .commit(let memberID, let instance, let generationID, let partition, let offset):
            let code = coordinator.admitCommit(
                groupID: "g", memberID: memberID, groupInstanceID: instance, generationIDOrMemberEpoch: generationID, version: 8,
                isTransactional: false, at: moment)
            if code == .none { checks.admitted(generationID, at: now) }
            submit(Submission(commits: code == .none ? [(partition, offset)] : [], answers: [(caller.token, .commit(code))]))
        }
    }

    private func deliver(_ token: RequestToken, _ answer: Answer) {
        guard let request = waiting.removeValue(forKey: token) else { return checks.fail("\(now): request \(token.rawValue) was answered twice") }
        if !isCalm, chance(2) { return log("\(request.member) loses an answer") }
        later(number(0...30)) {
            if request.member.connection == request.connection { request.member.receive(answer) }
        }
    }

    // MARK: - The broker and its disk

    private var moment: Moment { Moment(monotonicMs: now, wallClockMs: now + 1_700_000_000_000) }

    private func submit(_ effects: GroupEffects) {
        if coordinator.environment.held.total != coordinator.recountedBytes { checks.fail("\(now): what the group holds is not counted right") }
        if effects.isEmpty { return }
        submit(Submission(records: effects.records, answers: effects.replies.map { ($0.token, .group($0.response)) }))
    }

    private func submit(_ submission: Submission) {
        inFlight.append(submission)
        let life = life
        later(number(0...20)) { if self.life == life { self.sync() } }
    }

    /// The oldest submission is durable, and its answers leave.
    private func sync() {
        guard !inFlight.isEmpty else { return }
        let submission = inFlight.removeFirst()
        for record in submission.records { disk[record.key] = record.value }
        for commit in submission.commits {
            checks.committed(commit.partition, commit.offset, before: committed[commit.partition], at: now)
            committed[commit.partition] = commit.offset
        }
        for (token, answer) in submission.answers {
            if case .group(let response) = answer { checks.left(response, for: waiting[token]?.member.identity ?? "", at: now) }
            deliver(token, answer)
        }
        if inFlight.isEmpty, chance(10) { compareWithDisk() }
    }

    private var diskRecords: [StateRecord] {
        disk.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { StateRecord(key: $0.key, value: $0.value) }
    }

    /// The broker dies with everything that is not durable.
    private func crash() {
        guard isUp else { return }
        log("the broker dies with \(inFlight.count) in flight")
        isUp = false
        life += 1
        inFlight = []
        let cut = waiting.sorted { $0.key.rawValue < $1.key.rawValue }.map(\.value)
        waiting = [:]
        for request in cut { later(number(0...30)) { request.member.disconnected(request.connection) } }
        later(number(0...5_000)) { self.restart() }
    }

    private func restart() {
        log("the broker is back")
        isUp = true
        coordinator = GroupCoordinator(options: options, topics: NoTopics(), random: .seeded(seed ^ life << 32))
        loadGroup()
    }

    private func loadGroup() {
        do {
            if !disk.isEmpty { try coordinator.load("g", records: diskRecords, at: moment) }
        } catch {
            checks.fail("\(now): the records cannot be read: \(error)")
        }
    }

    /// The disk refuses what is in flight; the broker goes on with what is there.
    private func failWrite() {
        guard isUp else { return }
        log("a write fails with \(inFlight.count) in flight")
        life += 1
        let lost = inFlight
        inFlight = []
        for (token, answer) in lost.flatMap(\.answers) {
            switch answer {
            case .group(let response): deliver(token, .group(response.failing(.coordinatorNotAvailable)))
            case .commit: deliver(token, .commit(.coordinatorNotAvailable))
            }
        }
        for (token, response) in coordinator.unload("g", answering: .coordinatorNotAvailable).replies { deliver(token, .group(response)) }
        loadGroup()
    }

    /// What is on the disk, with nothing on its way there, is the group between two rebalances to the letter.
    private func compareWithDisk() {
        let live = coordinator.describe("g", version: 6)
        guard live.groupState == "Stable" || live.groupState == "CompletingRebalance" else { return }
        var other = GroupCoordinator(options: options, topics: NoTopics(), random: .seeded(0))
        do {
            try other.load("g", records: diskRecords, at: moment)
        } catch {
            return checks.fail("\(now): the records cannot be read: \(error)")
        }
        func text(_ group: DescribeGroupsResponse.Group) -> String {
            let members = group.members.map { "\($0.memberID) \($0.groupInstanceID ?? "-") \($0.memberMetadata) \($0.memberAssignment)" }
            return "\(group.groupState) \(group.protocolData) \(members.sorted())"
        }
        let loaded = other.describe("g", version: 6)
        if text(live) != text(loaded) { checks.fail("\(now): in memory \(text(live)), on disk \(text(loaded))") }
    }
}
