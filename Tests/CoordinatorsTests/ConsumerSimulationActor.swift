import KafkaProtocol

@testable import Coordinators

/// A consumer as its client library has it, of either protocol. It does one thing at a time.
final class ConsumerActor: CustomStringConvertible {
    let number: Int
    let isClassic: Bool
    let instance: String?
    unowned let world: ConsumerWorld

    private(set) var isAlive = false
    private var isFinished = false
    var memberID: String
    var epoch: Int32 = 0
    /// What it was given and has not given up.
    var owned = PartitionSet()
    var names: [String] = []
    var pattern: String?
    /// It takes long to give partitions up, at times too long.
    var isSlow = false
    private var pausedUntil: Int64 = 0

    /// The request that is under way; 0 for none.
    private var call: UInt64 = 0
    private var callCount: UInt64 = 0
    private var nextWake: UInt64 = 0

    // The new protocol: what it was told to have, and whether its next request has to say everything.
    var target: PartitionSet?
    var isFullDue = true
    var isRevoking = false

    // The classic protocol.
    enum Phase { case joining, syncing, stable }
    var phase = Phase.joining
    /// Of the JoinGroup answer, if it leads.
    var followers: [JoinGroupResponse.Member] = []
    var isLeader = false
    var seenTopics: UInt64 = 0
    /// What it said last that it wants.
    var saidNames: [String] = []

    init(_ number: Int, isClassic: Bool, instance: String?, _ world: ConsumerWorld) {
        self.number = number
        self.isClassic = isClassic
        self.instance = instance
        self.world = world
        memberID = isClassic ? "" : "m\(number)"
        choose()
    }

    var description: String { "\(isClassic ? "classic" : "new") \(number)\(instance.map { " (\($0))" } ?? "") '\(memberID)' at \(epoch)" }

    func start() {
        guard !isFinished else { return }
        isAlive = true
        world.log("\(self) starts, for \(names) \(pattern ?? "")")
        wake(after: 0)
    }

    func choose() {
        (names, pattern) = world.subscription()
        if isClassic { (names, pattern) = (pattern == nil ? names : ["t0"], nil) }
    }

    func resubscribe() {
        choose()
        world.log("\(self) wants \(names) \(pattern ?? "")")
        isFullDue = true
        if isClassic, phase == .stable { rejoin() }
    }

    func wants(_ name: String) -> Bool {
        if names.contains(name) { return true }
        guard let pattern, let compiled = try? TopicPattern(pattern) else { return false }
        var steps = TopicPattern.stepsMax
        return (try? compiled.matches(name, stepsLeft: &steps)) ?? false
    }

    func die() {
        world.log("\(self) dies")
        isAlive = false
        isFinished = true
        owned = PartitionSet()
    }

    func leave(forGood: Bool) {
        if !isClassic {
            var request = ConsumerGroupHeartbeatRequest()
            (request.groupID, request.memberID, request.instanceID) = (ConsumerWorld.groupID, memberID, instance)
            request.memberEpoch = forGood ? -1 : -2
            if epoch > 0 { world.send(.consumer(request), version: 1, from: self, call: 0) }
        } else if !memberID.isEmpty {
            let request = LeaveGroupRequest {
                $0.groupID = ConsumerWorld.groupID
                $0.members = [.init { $0.memberID = memberID }]
            }
            world.send(.leave(request), version: 5, from: self, call: 0)
        }
        // It gives everything up before it says goodbye.
        die()
    }

    func pause(_ durationMs: Int64) {
        world.log("\(self) pauses for \(durationMs)")
        pausedUntil = max(pausedUntil, world.now + durationMs)
    }

    /// Has nothing left to do, as far as it knows.
    var isSettled: Bool { isClassic ? phase == .stable : epoch > 0 && !isRevoking && (target.map { owned == $0 } ?? true) }

    // MARK: - Requests and answers

    /// Acts after a while, unless something makes it act before.
    func wake(after delayMs: Int64) {
        nextWake += 1
        let wake = nextWake
        world.later(max(delayMs, pausedUntil - world.now)) { [weak self] in
            guard let self, isAlive, nextWake == wake else { return }
            if pausedUntil > world.now { return self.wake(after: 0) }
            act()
        }
    }

    private func act() {
        guard call == 0 else { return }
        if isClassic { actClassic() } else { beat() }
    }

    func request(_ request: ConsumerWorld.Request, version: Int16, timeoutMs: Int64) {
        callCount += 1
        call = callCount
        let sent = call
        world.send(request, version: version, from: self, call: sent)
        world.later(timeoutMs) { [weak self] in self?.disconnected(sent) }
    }

    /// The connection breaks: an answer that comes later does not count.
    func disconnected(_ broken: UInt64) {
        guard isAlive, call == broken, broken != 0 else { return }
        call = 0
        isFullDue = true
        if isClassic, phase == .syncing { phase = .joining }
        wake(after: world.number(50...500))
    }

    func receive(_ response: GroupResponse, _ answered: UInt64) {
        guard isAlive, call == answered, answered != 0 else { return }
        if pausedUntil > world.now { return world.later(pausedUntil - world.now) { [weak self] in self?.receive(response, answered) } }
        call = 0
        if isClassic { receiveClassic(response) } else if case .consumerHeartbeat(let response) = response { receiveNew(response) }
    }

    func abandon() {
        if !owned.isEmpty { world.log("\(self) loses \(world.describe(owned))") }
        owned = PartitionSet()
        target = nil
    }

    func own(_ partitions: PartitionSet) {
        let new = partitions.subtracting(owned)
        if !new.isEmpty { world.checkOwnership(of: new, by: self) }
        owned.formUnion(new)
    }

    // MARK: - The new protocol

    private func beat() {
        var request = ConsumerGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.memberEpoch, request.instanceID) = (ConsumerWorld.groupID, memberID, epoch, instance)
        if isFullDue || epoch == 0 {
            request.rebalanceTimeoutMs = 10_000
            (request.subscribedTopicNames, request.subscribedTopicRegex) = (names, pattern ?? "")
            request.topicPartitions = said
            isFullDue = false
        } else if target != nil {
            // On its way, and when it has arrived, it says what it has.
            request.topicPartitions = said
            if !isRevoking { target = nil }
        }
        self.request(.consumer(request), version: 1, timeoutMs: 3_000)
    }

    private var said: [ConsumerGroupHeartbeatRequest.TopicPartitions] {
        owned.sorted.map { topicID, indexes in
            ConsumerGroupHeartbeatRequest.TopicPartitions { ($0.topicID, $0.partitions) = (topicID, indexes) }
        }
    }

    private func receiveNew(_ response: ConsumerGroupHeartbeatResponse) {
        switch response.errorCode {
        case .none:
            if response.memberEpoch < 0 { return }
            world.checkEpoch(response.memberEpoch, of: memberID)
            epoch = response.memberEpoch
            if let assignment = response.assignment {
                let told = PartitionSet(assignment.topicPartitions)
                world.log("\(self) is to have \(world.describe(told))")
                reconcile(told)
            }
            wake(after: isFullDue ? 0 : 5_000)
        case .fencedMemberEpoch, .unknownMemberID, .groupIDNotFound:
            world.log("\(self): \(response.errorCode)")
            abandon()
            epoch = 0
            isRevoking = false
            wake(after: world.number(0...200))
        case .unreleasedInstanceID: wake(after: 2_000)
        case .fencedInstanceID: die()
        default: world.fail("\(self) cannot make anything of \(response.errorCode): \(response.errorMessage ?? "")")
        }
    }

    private func reconcile(_ told: PartitionSet) {
        target = told
        own(told)
        guard !owned.subtracting(told).isEmpty else { return wake(after: 0) }
        isRevoking = true
        let epoch = epoch
        world.later(isSlow ? world.number(0...15_000) : world.number(0...3_000)) { [weak self] in
            // Fenced meanwhile, or told something else.
            guard let self, isAlive, isRevoking, self.epoch == epoch, let target else { return }
            isRevoking = false
            owned = owned.intersection(target)
            world.log("\(self) has left \(world.describe(owned))")
            wake(after: 0)
        }
    }
}
