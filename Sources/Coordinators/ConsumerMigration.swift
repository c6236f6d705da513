internal import KafkaProtocol

/// How a group moves from one protocol to the other while its members go on (KIP-848, `group.consumer.migration.policy`).
/// Numbers go on where the other protocol's ended, so that no generation is an epoch of another membership.
extension ConsumerGroup {
    /// What becomes of a group of the classic protocol when somebody joins it with the new one. Its members are taken to
    /// have what their leader gave them, unless they have rejoined since, and what they said when they joined: a
    /// cooperative member may still be giving that up. They are told to rejoin with the next heartbeat. Nil where the group cannot move: the
    /// policy, another kind of protocol, too many members, a subscription or an assignment that cannot be read, or an assignor that gives
    /// more than partitions, as Kafka Streams' does (KAFKA-18134).
    init?(upgrading classic: ClassicGroup, _ environment: GroupEnvironment, at moment: Moment) {
        let options = environment.options
        guard options.consumerMigrationPolicy.allowsUpgrade, classic.protocolType == ConsumerProtocol.type,
            classic.members.count <= Int(options.consumerSizeMax), !classic.assignsMore,
            classic.members.values.allSatisfy({ ConsumerProtocol.isPlainAssignment($0.assignment) })
        else { return nil }
        self.init(id: classic.id, after: classic.generationID)
        var taken = PartitionSet()
        // Who waits to be let in for the first time has nothing, and will ask again.
        for member in classic.membersInOrder where !member.isNew {
            let metadata = member.protocols.first { $0.name == classic.protocolName } ?? member.protocols.first
            guard let metadata, let subscription = ConsumerProtocol.decode(ConsumerProtocol.Subscription.self, metadata.metadata) else { return nil }
            let hasRejoined = classic.state == .completingRebalance || member.joining != nil
            let named = subscription.ownedPartitions + (hasRejoined ? [] : Self.assigned(member))
            var upgraded = ConsumerMember(id: member.id, profile: ConsumerMember.Profile(member, subscription))
            // A leader may have given a partition to two.
            upgraded.holding = ConsumerMember.Holding(
                epoch: classic.generationID, previousEpoch: classic.generationID,
                assigned: ConsumerProtocol.partitions(named, environment.topics).subtracting(taken))
            taken.formUnion(upgraded.holding.assigned)
            put(upgraded)
            setTarget(upgraded.holding.assigned, of: member.id)
            touch(member.id, options, at: moment)
        }
    }

    private static func assigned(_ member: ClassicMember) -> [ConsumerProtocol.TopicPartitions] {
        ConsumerProtocol.decode(ConsumerProtocol.Assignment.self, member.assignment)?.assignedPartitions ?? []
    }

    /// The group after an event: one of the classic protocol if only members of that are left.
    func settled(_ effects: inout GroupEffects, _ environment: GroupEnvironment, at moment: Moment) -> GroupKind {
        let options = environment.options
        guard !members.isEmpty, options.consumerMigrationPolicy.allowsDowngrade, members.count <= Int(options.sizeMax),
            members.values.allSatisfy(\.isClassic)
        else { return .consumer(self) }
        var classic = ClassicGroup(downgrading: self, environment.topics, at: moment)
        // What the event wrote of this group is deleted with the rest of it.
        let tombstones = tombstones()
        let keys = Set(tombstones.map(\.key))
        effects.records = effects.records.filter { !keys.contains($0.key) } + tombstones
        // First as it is, so that its generation and members are known after a restart; then the rebalance begins.
        effects.records += classic.concluded().records
        classic.rebalance(options, at: moment)
        let rebalancing = classic.concluded()
        effects.records += rebalancing.records
        effects.replies += rebalancing.replies
        return .classic(classic)
    }
}

extension ClassicGroup {
    /// A settled group of the members that are left, with what they have. The generation is the last epoch that anybody
    /// was told, so that those who are at it notice nothing but a rebalance.
    fileprivate init(downgrading group: ConsumerGroup, _ topics: any TopicDirectory, at moment: Moment) {
        self.init(id: group.id, at: moment)
        protocolType = ConsumerProtocol.type
        generationID = group.header.assignmentEpoch
        state = .stable
        for memberID in group.members.keys.sorted().map(\.text) {
            guard let member = group.members[memberID], let face = member.profile.classic else { continue }
            var classic = ClassicMember(
                id: memberID, groupInstanceID: member.profile.instanceID, clientID: member.profile.clientID, clientHost: member.profile.clientHost,
                sessionTimeoutMs: face.sessionTimeoutMs, rebalanceTimeoutMs: member.profile.rebalanceTimeoutMs)
            classic.setProtocols(face.protocols)
            let assignment = ConsumerProtocol.Assignment { $0.assignedPartitions = ConsumerProtocol.named(member.holding.assigned, topics) }
            classic.assignment = ConsumerProtocol.encode(assignment, version: face.version)
            add(classic)
            touch(memberID, at: moment)
            written.changed.insert(memberID)
        }
        protocolName = selectedProtocol()
    }
}

extension ConsumerMember.ClassicFace {
    /// In which version of `ConsumerProtocol` the member speaks.
    var version: Int16 { protocols.first.flatMap { ConsumerProtocol.version(of: $0.metadata) } ?? 0 }
}

extension ConsumerMember.Profile {
    fileprivate init(_ member: ClassicMember, _ subscription: ConsumerProtocol.Subscription) {
        instanceID = member.groupInstanceID
        rackID = subscription.rackID
        clientID = member.clientID
        clientHost = member.clientHost
        rebalanceTimeoutMs = member.rebalanceTimeoutMs
        topicNames = Set(subscription.topics).sorted()
        classic = ConsumerMember.ClassicFace { ($0.sessionTimeoutMs, $0.protocols) = (member.sessionTimeoutMs, member.protocols) }
    }
}
