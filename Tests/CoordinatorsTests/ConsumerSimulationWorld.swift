import HeapModule
import KafkaProtocol

@testable import Coordinators

/// A broker, its disk, its network, its topics and the members of one group, of both protocols, played from a seed: the
/// same seed is the same story, to the last message. Nothing in it sleeps; time is a number.
final class ConsumerWorld {
    static let groupID = "orders"

    let seed: UInt64
    private var random: RandomSource
    private(set) var now: Int64 = 0
    private var events = Heap<Event>()
    private var eventCount: UInt64 = 0
    private(set) var trace: [String] = []
    let isTracing: Bool
    private(set) var violation: String?
    /// How often a member was told of partitions; how often the group moved from one protocol to the other.
    private(set) var assignmentCount = 0
    private(set) var migrationCount = 0

    let options: GroupOptions
    let isCooperative: Bool
    private(set) var actors: [ConsumerActor] = []
    private(set) var topics: ConsumerTopics
    /// By member id: the last epoch that it was told.
    private var toldEpochs: [String: Int32] = [:]
    /// No more faults: from here on everybody has to get somewhere.
    private(set) var isCalm = false

    // The broker.
    private var coordinator: GroupCoordinator
    private var isUp = true
    /// Tells what an earlier life of the broker left behind.
    private var life: UInt64 = 0
    private var disk: [[UInt8]: [UInt8]] = [:]
    private var writesInFlight = 0
    private var durableAt: Int64 = 0
    private var waiting: [RequestToken: (actor: ConsumerActor, call: UInt64)] = [:]
    private var lastToken: UInt64 = 0

    private struct Event: Comparable {
        var time: Int64
        var number: UInt64
        var action: () -> Void
        static func < (left: Event, right: Event) -> Bool { (left.time, left.number) < (right.time, right.number) }
        static func == (left: Event, right: Event) -> Bool { left.number == right.number }
    }

    enum Request {
        case consumer(ConsumerGroupHeartbeatRequest)
        case join(JoinGroupRequest)
        case sync(SyncGroupRequest)
        case heartbeat(HeartbeatRequest)
        case leave(LeaveGroupRequest)
    }

    init(seed: UInt64, isTracing: Bool = false) {
        self.seed = seed
        self.isTracing = isTracing
        random = .seeded(seed)
        var options = GroupOptions()
        options.initialRebalanceDelayMs = [0, 3_000].randomElement(using: &random) ?? 0
        options.consumerAssignors = Bool.random(using: &random) ? ["uniform", "range"] : ["range", "uniform"]
        self.options = options
        isCooperative = Bool.random(using: &random)
        var topics = ConsumerTopics()
        for index in 0..<Int.random(in: 2...4, using: &random) { topics.create("t\(index)", Int32.random(in: 1...6, using: &random)) }
        self.topics = topics
        coordinator = GroupCoordinator(options: options, topics: topics, random: .seeded(seed ^ 0xbeef))
    }

    func log(_ line: @autoclosure () -> String) {
        if isTracing { trace.append("\(now) \(line())") }
    }

    func fail(_ sentence: String) {
        if violation == nil { violation = "\(now): \(sentence)" }
    }

    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    func number(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &random) }

    func later(_ delayMs: Int64, _ action: @escaping () -> Void) {
        eventCount += 1
        events.insert(Event(time: now + delayMs, number: eventCount, action: action))
    }

    // MARK: - The story

    /// A minute of trouble, then calm until all is well, or four minutes. Nil, or what went wrong.
    func run() -> String? {
        // Some stories know only one protocol, some have both, some go from one to the other.
        let classicPercent = [0, 30, 50, 50, 80].randomElement(using: &random) ?? 0
        for _ in 0..<number(2...6) { newActor(isClassic: chance(classicPercent)) }
        for _ in 0..<number(2...14) { later(number(0...60_000)) { self.trouble(classicPercent) } }
        play(until: 60_000)
        isCalm = true
        log("calm")
        play(until: 75_000)
        while violation == nil, let complaint = complaint {
            if now >= 300_000 { fail("in minutes of calm, \(complaint)") }
            play(until: now + 5_000)
        }
        return violation
    }

    private func play(until end: Int64) {
        while violation == nil {
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

    private func newActor(isClassic: Bool, instance: String? = nil) {
        let instance = instance ?? (!isClassic && chance(30) ? "i\(actors.count)" : nil)
        let actor = ConsumerActor(actors.count, isClassic: isClassic, instance: instance, self)
        actors.append(actor)
        later(number(0...5_000)) { actor.start() }
    }

    private func trouble(_ classicPercent: Int) {
        let actor = actors.filter(\.isAlive).randomElement(using: &random)
        switch number(0...15) {
        case 0, 1: newActor(isClassic: chance(classicPercent))
        case 2: actor?.leave(forGood: true)
        case 3: actor?.die()
        case 4:
            // A static member is restarted.
            guard let actor, let instance = actor.instance else { return }
            if chance(60) { actor.leave(forGood: false) } else { actor.die() }
            later(number(0...20_000)) { self.newActor(isClassic: false, instance: instance) }
        case 5, 6: actor?.pause(number(1_000...chanceOf(30, 70_000, else: 8_000)))
        case 7, 8: actor?.resubscribe()
        case 9: actor?.isSlow.toggle()
        case 10, 11, 12: kill(for: number(0...8_000))
        case 13: failWrites()
        default: changeTopics()
        }
    }

    private func chanceOf(_ percent: Int, _ value: Int64, else other: Int64) -> Int64 { chance(percent) ? value : other }

    private func changeTopics() {
        let name = "t\(number(0...3))"
        if let topic = topics.topic(named: name) {
            if chance(60) { topics.grow(name, to: topic.partitionCount + Int32(number(1...3))) } else { topics.delete(name) }
        } else {
            topics.create(name, Int32(number(1...5)))
        }
        log("\(name) has \(topics.topic(named: name)?.partitionCount ?? 0) partitions")
        coordinator.environment.topics = topics
    }

    func subscription() -> (names: [String], pattern: String?) {
        if chance(20) { return ([], ["t[01]", "t.*", "t[23]|t0"].randomElement(using: &random)) }
        return ((0...3).map { "t\($0)" }.filter { _ in chance(70) }, nil)
    }

    // MARK: - The broker

    private var moment: Moment { Moment(monotonicMs: now, wallClockMs: 1_700_000_000_000 + now) }

    private func submit(_ effects: GroupEffects) {
        if coordinator.environment.held.total != coordinator.recountedBytes { fail("what the group holds is not counted right") }
        if coordinator.environment.patternRest.total != coordinator.recountedPatternRest { fail("what patterns cost is not counted right") }
        let before = disk.keys.first?.first
        let life = life
        writesInFlight += 1
        // In order, and none overtakes another.
        durableAt = max(durableAt, now + (effects.records.isEmpty ? 0 : number(1...20)))
        later(durableAt - now) { [self] in
            guard life == self.life else { return }
            writesInFlight -= 1
            for record in effects.records { disk[record.key] = record.value }
            if Set(disk.keys.map(\.first)).count > 1 { fail("the disk has a group of both protocols: \(disk.keys.map { String(decoding: $0, as: UTF8.self) }.sorted())") }
            if let before, let after = disk.keys.first?.first, before != after {
                migrationCount += 1
                log("the group is of the other protocol")
            }
            for (token, response) in effects.replies { deliver(token, response) }
            if writesInFlight == 0, chance(3) { checkDisk() }
        }
    }

    private func deliver(_ token: RequestToken, _ response: GroupResponse) {
        guard let (actor, call) = waiting.removeValue(forKey: token) else { return fail("a request was answered twice") }
        // Lost on its way, now and then.
        if !isCalm, chance(6) { return log("\(actor): an answer is lost") }
        later(number(0...10)) { actor.receive(response, call) }
    }

    /// A request travels; if nobody answers it, the client finds out by itself.
    func send(_ request: Request, version: Int16, from actor: ConsumerActor, call: UInt64) {
        if !isCalm, chance(4) { return log("\(actor): a request is lost") }
        later(number(0...10)) { [self] in
            guard isUp else { return }
            lastToken += 1
            let token = RequestToken(rawValue: lastToken)
            waiting[token] = (actor, call)
            let caller = Caller(token: token, clientID: "c", clientHost: "/h", version: version)
            log("\(actor): \(name(of: request)) arrives")
            let effects =
                switch request {
                case .consumer(let request): coordinator.decide(request, caller, at: moment)
                case .join(let request): coordinator.join(request, caller, at: moment)
                case .sync(let request): coordinator.sync(request, caller, at: moment)
                case .heartbeat(let request): coordinator.heartbeat(request, caller, at: moment)
                case .leave(let request): coordinator.leave(request, caller, at: moment)
                }
            submit(effects)
        }
    }

    private func name(of request: Request) -> String {
        switch request {
        case .consumer(let request): "heartbeat at \(request.memberEpoch)\(request.topicPartitions.map { ", has \(describe(PartitionSet($0)))" } ?? "")"
        case .join: "join"
        case .sync(let request): "sync at \(request.generationID)"
        case .heartbeat(let request): "classic heartbeat at \(request.generationID)"
        case .leave: "leave"
        }
    }

    private func kill(for durationMs: Int64) {
        guard isUp, !isCalm else { return }
        log("the broker is killed")
        isUp = false
        life += 1
        writesInFlight = 0
        breakConnections()
        later(durationMs) { [self] in
            log("the broker is back")
            isUp = true
            durableAt = now
            coordinator = GroupCoordinator(options: options, topics: topics, random: .seeded(seed ^ life))
            reload()
        }
    }

    /// What is in flight is refused, and the group is again what the disk says.
    private func failWrites() {
        guard isUp, !isCalm else { return }
        log("writes fail")
        life += 1
        writesInFlight = 0
        durableAt = now
        _ = coordinator.unload(Self.groupID, answering: .coordinatorNotAvailable)
        breakConnections()
        reload()
    }

    private func breakConnections() {
        for (_, wait) in waiting.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { later(number(0...50)) { wait.actor.disconnected(wait.call) } }
        waiting = [:]
    }

    private func reload() {
        let records = disk.map { StateRecord(key: $0.key, value: $0.value) }
        guard !records.isEmpty else { return }
        do {
            try coordinator.load(Self.groupID, records: records, at: moment)
        } catch {
            fail("the group cannot be loaded: \(error)")
        }
    }

    // MARK: - What must hold

    /// With nothing in flight, the disk says what the coordinator thinks.
    private func checkDisk() {
        guard case .consumer(let group) = coordinator.groups[Self.groupID] else { return }
        do {
            let records = disk.map { StateRecord(key: $0.key, value: $0.value) }
            let loaded = try ConsumerGroup(id: Self.groupID, records: records, options: options, at: moment)
            guard loaded.members == group.members, loaded.targets == group.targets, loaded.header == group.header, loaded.instances == group.instances
            else { return fail("the disk does not say what the coordinator thinks") }
        } catch {
            fail("the group cannot be loaded: \(error)")
        }
    }

    private func isMember(_ memberID: String) -> Bool {
        disk[Array("KM".utf8) + memberID.utf8] != nil || disk[Array("Cm".utf8) + memberID.utf8] != nil
    }

    /// `actor` begins to own `partitions`; nobody else who is a member may.
    func checkOwnership(of partitions: PartitionSet, by actor: ConsumerActor) {
        assignmentCount += 1
        for other in actors where other !== actor && other.isAlive && isMember(other.memberID) {
            let common = other.owned.intersection(partitions).filter { topicID, _ in topics.topic(id: topicID) != nil }
            if !common.isEmpty { fail("\(actor) was given \(describe(common)), which \(other) still has") }
        }
    }

    func checkEpoch(_ epoch: Int32, of memberID: String) {
        if let before = toldEpochs[memberID], epoch < before { fail("\(memberID) was told epoch \(epoch) after \(before)") }
        toldEpochs[memberID] = epoch
    }

    func describe(_ partitions: PartitionSet) -> String {
        partitions.sorted.map { "\(topics.topic(id: $0.topicID)?.name ?? "gone")\($0.indexes)" }.joined(separator: " ")
    }

    /// Why the group is not at rest with every partition in one pair of hands; nil when it is.
    private var complaint: String? {
        let alive = actors.filter(\.isAlive)
        if let actor = alive.first(where: { !$0.isSettled }) { return "\(actor) gets nowhere" }
        for name in topics.names().sorted() {
            guard let topic = topics.topic(named: name) else { continue }
            let subscribers = alive.filter { $0.wants(name) }
            for partition in 0..<topic.partitionCount {
                let owners = alive.filter { $0.owned.contains(topic.id, partition) }
                if owners.count != min(subscribers.count, 1) { return "\(name)-\(partition) belongs to \(owners)" }
                if let owner = owners.first, !owner.wants(name) { return "\(owner) has \(name), which it does not want" }
            }
        }
        return nil
    }
}
