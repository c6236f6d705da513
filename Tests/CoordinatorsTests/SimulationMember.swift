import KafkaProtocol

@testable import Coordinators

/// A consumer as Kafka's clients are: one request at a time, joins again when it is told to, drops its partitions when
/// it is told that it is nobody. It reads by counting, and commits how far it has counted.
final class SimulationMember: CustomStringConvertible {
    let number: Int
    let instance: String?
    private unowned let world: SimulationWorld
    private let version: Int16
    private let sessionTimeoutMs: Int32
    private let rebalanceTimeoutMs: Int32

    private enum Phase { case stopped, joining, syncing, stable }
    private var phase = Phase.stopped
    private(set) var connection = 0
    private var memberID = ""
    private(set) var generationID: Int32 = -1
    /// Partitions and how far they are read.
    private(set) var owned: [Int: Int64] = [:]
    private var subscription: UInt8 = 0
    private var pausedUntil: Int64 = 0
    private var isImpatient = false
    private var isLeaving = false
    /// A cooperative member has given up partitions, which others can only have after another round.
    private var mustRejoin = false
    private var committing: (partition: Int, offset: Int64)?
    /// A commit of an earlier generation that somebody in the process held back.
    private var heldBack: SimulationWorld.Request?
    private var isSendingHeldBack = false
    /// The request that is waited for.
    private var requestNumber = 0

    init(_ number: Int, instance: String?, _ world: SimulationWorld) {
        self.number = number
        self.instance = instance
        self.world = world
        version = instance == nil ? [3, 5, 9][Int(world.number(0...2))] : [5, 9][Int(world.number(0...1))]
        sessionTimeoutMs = Int32(world.number(6_000...10_000))
        rebalanceTimeoutMs = Int32(world.number(4_000...15_000))
    }

    var description: String { "m\(number)\(instance.map { "/\($0)" } ?? "")" }
    /// A static member is the same under whatever id.
    var identity: String { instance ?? "m\(number)" }
    var isAlive: Bool { phase != .stopped }
    var isStable: Bool { phase == .stable }

    // MARK: - What happens to it

    func start() {
        guard phase == .stopped, !isLeaving else { return }
        world.log("\(self) starts")
        join()
    }

    func vanish() {
        world.log("\(self) vanishes")
        stop()
    }

    func leave() {
        guard !memberID.isEmpty else { return vanish() }
        world.log("\(self) leaves")
        connection += 1
        isLeaving = true
        request(
            .leave(
                LeaveGroupRequest {
                    $0.groupID = "g"
                    $0.memberID = version < 3 ? memberID : ""
                    let member = LeaveGroupRequest.Member { ($0.memberID, $0.groupInstanceID) = (memberID, instance) }
                    $0.members = [member]
                }))
        stop()
    }

    /// It is alive, but the world does not hear of it: what it does next may be long out of date.
    func pause(_ durationMs: Int64) {
        world.log("\(self) pauses for \(durationMs)")
        pausedUntil = world.now + durationMs
    }

    func changeSubscription() {
        subscription &+= 1
        mustRejoin = true
    }

    /// It gives up waiting early, once.
    func beImpatient() { isImpatient = true }

    private func stop() {
        phase = .stopped
        if !isLeaving { connection += 1 }
        owned = [:]
    }

    // MARK: - Requests

    /// Sends, and gives up after a time that fits the kind of request.
    private func request(_ request: SimulationWorld.Request) {
        requestNumber += 1
        let number = requestNumber
        var patienceMs: Int64 = 4_000
        if case .join = request { patienceMs = 40_000 }
        if case .sync = request { patienceMs = 20_000 }
        if isImpatient {
            patienceMs = world.number(50...3_000)
            isImpatient = false
        }
        world.send(request, version: version, from: self)
        let connection = connection
        world.later(patienceMs) {
            if self.requestNumber == number, self.connection == connection { self.disconnected(connection) }
        }
    }

    /// When the member is awake again, unless it did something else meanwhile.
    private func then(_ delayMs: Int64, _ action: @escaping () -> Void) {
        requestNumber += 1
        let number = requestNumber
        world.later(max(delayMs, pausedUntil - world.now)) {
            guard self.requestNumber == number, self.isAlive else { return }
            if self.pausedUntil > self.world.now { self.then(0, action) } else { action() }
        }
    }

    private func join() {
        phase = .joining
        mustRejoin = false
        if let (partition, offset) = owned.min(by: { $0.key < $1.key }) {
            heldBack = .commit(memberID: memberID, instance: instance, generationID: generationID, partition: partition, offset: offset)
        }
        // An eager member gives up everything before it joins.
        if !world.isCooperative { owned = [:] }
        let claim = owned.keys.sorted().map { UInt8($0) }
        let generation = UInt32(bitPattern: generationID)
        let metadata = [subscription] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: generation >> $0) } + claim
        request(
            .join(
                JoinGroupRequest {
                    $0.groupID = "g"
                    $0.memberID = memberID
                    $0.groupInstanceID = instance
                    $0.sessionTimeoutMs = sessionTimeoutMs
                    $0.rebalanceTimeoutMs = rebalanceTimeoutMs
                    $0.protocolType = "consumer"
                    $0.protocols = [JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = ("p", metadata) }]
                }))
    }

    private func goOn() {
        guard phase == .stable else { return }
        if mustRejoin { return join() }
        for partition in owned.keys { owned[partition, default: 0] += 1 }
        if let commit = heldBack, case .commit(_, _, let generation, _, _) = commit, generation < generationID, world.chance(5) {
            heldBack = nil
            isSendingHeldBack = true
            return request(commit)
        }
        if world.chance(40), let (partition, offset) = owned.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
            committing = (partition, offset)
            request(.commit(memberID: memberID, instance: instance, generationID: generationID, partition: partition, offset: offset))
        } else {
            request(
                .heartbeat(
                    HeartbeatRequest { ($0.groupID, $0.memberID, $0.generationID, $0.groupInstanceID) = ("g", memberID, generationID, instance) }))
        }
    }

    // MARK: - Answers

    /// The connection is gone, and with it the request and its answer.
    func disconnected(_ connection: Int) {
        guard self.connection == connection, isAlive else { return }
        self.connection += 1
        isSendingHeldBack = false
        world.log("\(self) is cut off in \(phase)")
        retry()
    }

    private func retry() {
        switch phase {
        case .stopped: break
        case .joining, .syncing: then(500) { self.join() }
        case .stable: then(500) { self.goOn() }
        }
    }

    func receive(_ answer: SimulationWorld.Answer) {
        guard isAlive else { return }
        if pausedUntil > world.now { return then(0) { self.receive(answer) } }
        requestNumber += 1
        if isSendingHeldBack {
            isSendingHeldBack = false
            return then(100) { self.goOn() }
        }
        switch answer {
        case .commit(let code):
            if code == .none, let committing { world.checks.acknowledged(committing.partition, committing.offset, stored: world.committed, at: world.now) }
            settled(code)
        case .group(.heartbeat(let response)): settled(response.errorCode)
        case .group(.join(let response)): joined(response)
        case .group(.sync(let response)): synced(response)
        case .group: break
        }
    }

    private func joined(_ response: JoinGroupResponse) {
        guard phase == .joining else { return }
        if response.errorCode == .memberIDRequired {
            memberID = response.memberID
            return join()
        }
        guard response.errorCode == .none else { return handle(response.errorCode) }
        // A generation was missed, and with it whoever had the partitions meanwhile.
        if response.generationID != generationID, response.generationID != generationID &+ 1 { owned = [:] }
        memberID = response.memberID
        generationID = response.generationID
        phase = .syncing
        world.log("\(self) is \(memberID.suffix(4)) in generation \(generationID)\(response.members.isEmpty ? "" : ", leads")")
        let leads = response.leader == memberID && !response.skipAssignment
        let assignments = leads ? SimulationAssignor(isCooperative: world.isCooperative, partitionCount: world.partitionCount).assign(response) : [:]
        request(
            .sync(
                SyncGroupRequest {
                    ($0.groupID, $0.memberID, $0.generationID, $0.groupInstanceID) = ("g", memberID, generationID, instance)
                    $0.protocolName = version >= 5 ? "p" : nil
                    $0.assignments = assignments.sorted { $0.key < $1.key }.map { assignment in
                        SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (assignment.key, assignment.value) }
                    }
                }))
    }

    private func synced(_ response: SyncGroupResponse) {
        guard phase == .syncing else { return }
        guard response.errorCode == .none else { return handle(response.errorCode) }
        let assigned = Set(response.assignment.map { Int($0) })
        let revoked = Set(owned.keys).subtracting(assigned)
        for partition in revoked { owned[partition] = nil }
        for partition in assigned where owned[partition] == nil { owned[partition] = world.committed[partition] }
        world.log("\(self) has \(assigned.sorted())")
        phase = .stable
        mustRejoin = mustRejoin || (world.isCooperative && !revoked.isEmpty)
        then(world.number(0...3_000)) { self.goOn() }
    }

    private func settled(_ code: ErrorCode) {
        guard phase == .stable else { return }
        if code == .none { return then(world.number(500...3_000)) { self.goOn() } }
        handle(code)
    }

    private func handle(_ code: ErrorCode) {
        world.log("\(self) is told \(code) in \(phase)")
        switch code {
        case .unknownMemberID:
            (memberID, generationID, owned) = ("", -1, [:])
            then(100) { self.join() }
        case .illegalGeneration:
            (generationID, owned) = (-1, [:])
            then(100) { self.join() }
        case .rebalanceInProgress: then(100) { self.join() }
        case .coordinatorNotAvailable: retry()
        case .fencedInstanceID: stop()
        default: world.checks.fail("\(world.now): \(self) is told \(code) in \(phase), which does not tell it what to do")
        }
    }
}

/// What the leader does. A member's metadata is its subscription, the generation it was in, and what it holds.
struct SimulationAssignor {
    var isCooperative: Bool
    var partitionCount: Int

    func assign(_ response: JoinGroupResponse) -> [String: [UInt8]] {
        let members = response.members.sorted { ($0.groupInstanceID ?? $0.memberID) < ($1.groupInstanceID ?? $1.memberID) }
        var assignments = Dictionary(uniqueKeysWithValues: members.map { ($0.memberID, [UInt8]()) })
        for partition in 0..<partitionCount {
            // Eager members may get anything each time; cooperative ones have to come to rest.
            let target = members[(partition + (isCooperative ? 0 : Int(response.generationID))) % members.count].memberID
            if isCooperative, let holder = holder(of: UInt8(partition), members), holder != target { continue }
            assignments[target, default: []].append(UInt8(partition))
        }
        return assignments
    }

    /// Who says so with the highest generation.
    private func holder(of partition: UInt8, _ members: [JoinGroupResponse.Member]) -> String? {
        let claims = members.filter { $0.metadata.dropFirst(5).contains(partition) }
        return claims.max { generation($0) < generation($1) }?.memberID
    }

    private func generation(_ member: JoinGroupResponse.Member) -> Int32 {
        Int32(bitPattern: member.metadata.dropFirst().prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
    }
}
