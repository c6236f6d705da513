import KafkaProtocol

// KIP-848: one request, the heartbeat, joins, tells what changed, and brings what to hold. The coordinator gives a
// partition only after its last holder has told that it let go.
extension GroupMembership {
    struct ConsumerState: Sendable {
        /// What the coordinator has been told last and has acknowledged; nil to tell everything.
        var told: (subscription: [String], held: Set<Held>)?
        /// A heartbeat is due, whatever the time.
        var isDue = false
        /// What the coordinator wants to be held, by topic id.
        var assignment: [Uuid: Set<Int32>]?
        /// Since when the instance id has been in use by another member, who may be dead.
        var unreleasedSince: Int64?
        /// A heartbeat has been sent, so that the coordinator may know the member.
        var hasAsked = false
        /// What the request under way tells.
        var telling: (subscription: [String], held: Set<Held>) = ([], [])
    }

    /// Twice as long as a broker lets a session last unless it is told otherwise (`group.consumer.max.session.timeout.ms`).
    private static let unreleasedPatienceMs: Int64 = 120_000

    mutating func stepConsumer(_ now: Int64) {
        if identity.generation <= 0 {
            guard handoff == nil, held.isEmpty, !subscription.isEmpty else { return }
            identity.generation = 0
            consumer.told = nil
        } else {
            // Told at once when everything is in place, so that others get what was let go.
            let isSettled = target == nil && handoff == nil && consumer.told.map { $0.held != claimed } ?? true
            guard consumer.isDue || isSettled || now >= heartbeatDue else { return }
        }
        consumer.isDue = false
        consumer.hasAsked = true
        consumer.telling = (subscription, claimed)
        ask(.consumerHeartbeat(consumerHeartbeat()))
    }

    /// What the member says that it has. What it is about to take on counts, or the coordinator, which may want it elsewhere
    /// meanwhile, would give it to another before this member has let go.
    private var claimed: Set<Held> {
        if case (.assign, let coming)? = handoff { held.union(coming) } else { held }
    }

    private func consumerHeartbeat() -> ConsumerGroupHeartbeatRequest {
        let told = consumer.told
        return ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.memberEpoch) = (settings.groupID, identity.memberID, identity.generation)
            $0.instanceID = settings.instanceID
            if told == nil {
                $0.rebalanceTimeoutMs = Int32(clamping: settings.maxPollIntervalMs)
                $0.serverAssignor = settings.serverAssignor
            }
            if told?.subscription != subscription { $0.subscribedTopicNames = subscription }
            if told?.held != claimed {
                $0.topicPartitions = Dictionary(grouping: claimed, by: \.topicID).map { id, held in
                    ConsumerGroupHeartbeatRequest.TopicPartitions {
                        ($0.topicID, $0.partitions) = (id, held.map(\.partition.partition).sorted())
                    }
                }
            }
        }
    }

    mutating func beaten(_ response: ConsumerGroupHeartbeatResponse, to request: ConsumerGroupHeartbeatRequest, _ now: Int64) {
        guard response.errorCode == .none else { return refused(response, now) }
        succeeded()
        consumer.told = consumer.telling
        consumer.unreleasedSince = nil
        if let given = response.memberID, !given.isEmpty { identity.memberID = given }
        identity.generation = response.memberEpoch
        heartbeatDue = now + max(Int64(response.heartbeatIntervalMs), 10)
        guard let assignment = response.assignment else { return }
        consumer.assignment = Dictionary(
            assignment.topicPartitions.map { ($0.topicID, Set($0.partitions)) }, uniquingKeysWith: { $0.union($1) })
        resolve()
        if consumer.assignment != nil { lookUpDue = now }
    }

    /// Turns the assignment's topic ids into names, as far as they are known: what is not is held later.
    mutating func resolve() {
        guard let assignment = consumer.assignment else { return }
        let names = Dictionary(topics.map { ($0.value.id, $0.key) }) { first, _ in first }
        var resolved: Set<Held> = []
        var isWhole = true
        for (id, partitions) in assignment {
            // What is held already needs no look-up, and stays even if its topic is just being deleted.
            let name = names[id] ?? held.first { $0.topicID == id }?.partition.topic
            if name == nil { isWhole = false }
            if let name { resolved.formUnion(partitions.map { Held(partition: TopicPartition(name, $0), topicID: id) }) }
        }
        target = isWhole || resolved != held ? resolved : nil
        if isWhole { consumer.assignment = nil }
    }

    private mutating func refused(_ response: ConsumerGroupHeartbeatResponse, _ now: Int64) {
        consumer.told = nil
        let said = response.errorMessage.map { ": \($0)" } ?? Self.advice(response.errorCode, settings)
        switch response.errorCode {
        case .unknownMemberID, .fencedMemberEpoch: expelled()
        case .fencedInstanceID: fail(Self.fenced(settings))
        case .unreleasedInstanceID:
            // After a crash the place is free when the old member's session is over.
            let since = consumer.unreleasedSince ?? now
            consumer.unreleasedSince = since
            if now - since > Self.unreleasedPatienceMs {
                fail(.broker(response.errorCode, "the instance id \(settings.instanceID ?? "") of \(settings.groupID) is in use\(said)"))
            } else {
                hold(now)
            }
        case .groupIDNotFound:
            fail(.broker(response.errorCode, "the group \(settings.groupID) cannot be joined with the protocol 'consumer'\(said)"))
        default: trouble(.broker(response.errorCode, "the group \(settings.groupID) cannot be joined\(said)"), now)
        }
    }

    /// The coordinator goes on without the member: what it holds is lost, and it joins anew under its own id.
    mutating func expelled() {
        request = nil
        identity.generation = -1
        consumer.told = nil
        consumer.assignment = nil
        consumer.hasAsked = false
        target = nil
        isVoid = true
    }
}
