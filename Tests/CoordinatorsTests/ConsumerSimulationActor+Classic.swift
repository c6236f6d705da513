import KafkaProtocol

@testable import Coordinators

/// The classic protocol: eager members give everything up before they rejoin, cooperative ones only what they are told to.
extension ConsumerActor {
    private var protocolName: String { world.isCooperative ? "cooperative-sticky" : "range" }

    func actClassic() {
        switch phase {
        case .joining: join()
        case .syncing: sync()
        case .stable:
            // A leader watches the topics.
            if saidNames != names || isLeader && seenTopics != world.topics.version { return rejoin() }
            let request = HeartbeatRequest { ($0.groupID, $0.memberID, $0.generationID) = (ConsumerWorld.groupID, memberID, epoch) }
            self.request(.heartbeat(request), version: 4, timeoutMs: 3_000)
        }
    }

    func rejoin() {
        phase = .joining
        wake(after: isSlow ? world.number(0...12_000) : world.number(0...500))
    }

    private func join() {
        if !world.isCooperative { owned = PartitionSet() }
        saidNames = names
        let subscription = ConsumerProtocol.Subscription {
            $0.topics = names
            $0.ownedPartitions = ConsumerProtocol.named(owned, world.topics)
        }
        let request = JoinGroupRequest {
            ($0.groupID, $0.memberID, $0.protocolType) = (ConsumerWorld.groupID, memberID, ConsumerProtocol.type)
            ($0.sessionTimeoutMs, $0.rebalanceTimeoutMs) = (15_000, 10_000)
            $0.protocols = [.init { ($0.name, $0.metadata) = (protocolName, ConsumerProtocol.encode(subscription, version: world.isCooperative ? 1 : 0)) }]
        }
        self.request(.join(request), version: 9, timeoutMs: 20_000)
    }

    private func sync() {
        var request = SyncGroupRequest()
        (request.groupID, request.memberID, request.generationID) = (ConsumerWorld.groupID, memberID, epoch)
        if isLeader { request.assignments = divide() }
        self.request(.sync(request), version: 5, timeoutMs: 15_000)
    }

    func receiveClassic(_ response: GroupResponse) {
        if response.errorCode != .none { world.log("\(self): \(response.errorCode)") }
        switch (response, response.errorCode) {
        case (.join(let joined), .none):
            memberID = joined.memberID
            world.checkEpoch(joined.generationID, of: memberID)
            epoch = joined.generationID
            isLeader = joined.leader == memberID
            followers = joined.members
            seenTopics = world.topics.version
            phase = .syncing
            wake(after: 0)
        case (.join(let joined), .memberIDRequired):
            memberID = joined.memberID
            wake(after: 0)
        case (.sync(let synced), .none): take(synced)
        case (.heartbeat, .none): wake(after: 3_000)
        case (_, .rebalanceInProgress): rejoin()
        case (_, .illegalGeneration):
            abandon()
            phase = .joining
            wake(after: 0)
        case (_, .unknownMemberID):
            abandon()
            (memberID, phase, isLeader) = ("", .joining, false)
            wake(after: world.number(0...200))
        case (_, .coordinatorNotAvailable): wake(after: 200)
        default: world.fail("\(self) cannot make anything of \(response)")
        }
    }

    private func take(_ response: SyncGroupResponse) {
        guard let assignment = ConsumerProtocol.decode(ConsumerProtocol.Assignment.self, response.assignment) ?? (response.assignment.isEmpty ? .init() : nil)
        else { return world.fail("\(self) cannot read its assignment") }
        let told = ConsumerProtocol.partitions(assignment.assignedPartitions, world.topics)
        world.log("\(self) is to have \(world.describe(told))")
        phase = .stable
        let revoked = owned.subtracting(told)
        own(told)
        guard !revoked.isEmpty else { return wake(after: 3_000) }
        // It has to say that these are gone.
        owned = owned.intersection(told)
        rejoin()
    }

    /// As a leader: even shares, in which cooperative members keep what they can, and nobody gets what another has yet.
    private func divide() -> [SyncGroupRequest.Assignment] {
        var wanted: [String: Set<String>] = [:]
        var had: [String: PartitionSet] = [:]
        for member in followers {
            guard let subscription = ConsumerProtocol.decode(ConsumerProtocol.Subscription.self, member.metadata) else { continue }
            wanted[member.memberID] = Set(subscription.topics)
            had[member.memberID] = ConsumerProtocol.partitions(subscription.ownedPartitions, world.topics)
        }
        var problem = AssignmentProblem(members: [], partitionCounts: [:])
        for memberID in wanted.keys.sorted() {
            let topics = (wanted[memberID] ?? []).compactMap { world.topics.topic(named: $0) }
            for topic in topics { problem.partitionCounts[topic.id] = topic.partitionCount }
            problem.members.append(.init(id: memberID, topicIDs: Set(topics.map(\.id)), previous: had[memberID] ?? PartitionSet()))
        }
        let sets = Assignor.uniform.assign(problem)
        return zip(problem.members, sets).map { member, set in
            let others = had.filter { $0.key != member.id }.values.reduce(into: PartitionSet()) { $0.formUnion($1) }
            let allowed = set.subtracting(others.subtracting(had[member.id] ?? PartitionSet()))
            let assignment = ConsumerProtocol.Assignment { $0.assignedPartitions = ConsumerProtocol.named(allowed, world.topics) }
            return SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (member.id, ConsumerProtocol.encode(assignment, version: 1)) }
        }
    }
}
