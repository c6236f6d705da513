/// How the leader of a classic group divides partitions among its members. The names are Kafka's, so that groups may mix
/// clients: a group takes the assignor that all of its members know.
public enum GroupAssignor: String, Sendable, CaseIterable {
    /// Topic by topic, consecutive partitions to each member: members that read the same topics get the same numbers of
    /// each. With many small topics the first members get the most.
    case range
    /// One partition to each member in turn, over all topics.
    case roundRobin = "roundrobin"
    /// As even as subscriptions allow; of all such divisions, one that moves few partitions (KIP-54).
    case sticky
    /// As `sticky`, and members go on reading what they keep while the rest moves: who must give up a partition does so
    /// before another gets it, in a second rebalance (KIP-429).
    case cooperativeSticky = "cooperative-sticky"

    /// Whether members keep their partitions while they join. A member that lists any assignor that is not cooperative
    /// gives everything up before it joins.
    public var isCooperative: Bool { self == .cooperativeSticky }

    /// A member as the one who divides sees it.
    struct Member: Sendable {
        var id: String
        var instanceID: String?
        var subscription: MemberSubscription

        init(id: String, instanceID: String? = nil, subscription: MemberSubscription) {
            (self.id, self.instanceID, self.subscription) = (id, instanceID, subscription)
        }
    }

    /// What a member tells the leader of itself for this assignor, nil for nothing.
    func userData(owned: [TopicPartition], generation: Int32) -> [UInt8]? {
        switch self {
        case .range, .roundRobin: nil
        case .sticky: generation < 0 && owned.isEmpty ? nil : StickyUserData.sticky(owned, generation: generation)
        case .cooperativeSticky: StickyUserData.cooperativeSticky(generation: generation)
        }
    }

    /// Divides the partitions of all topics that someone has subscribed to.
    ///
    /// - Parameter partitionCounts: By topic; topics that are missing are passed over.
    /// - Returns: for each member's id what it gets, perhaps nothing, in order.
    func assign(_ members: [Member], partitionCounts: [String: Int32]) -> [String: [TopicPartition]] {
        let assigned =
            switch self {
            case .range: RangeAssignment.divide(members, partitionCounts)
            case .roundRobin: RoundRobinAssignment.divide(members, partitionCounts)
            case .sticky: StickyAssignment.divide(members, partitionCounts, previous: Self.stickyClaims(members))
            case .cooperativeSticky:
                Self.withholding(
                    StickyAssignment.divide(members, partitionCounts, previous: Self.ownedClaims(members)), from: members)
            }
        return assigned.mapValues { $0.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) } }
    }

    /// Members in the order that assignors go through them: static ones first, by their instance ids, so that they get
    /// the same after a restart, which gives them another member id (KIP-345).
    static func ordered(_ members: [Member]) -> [Member] {
        members.sorted { one, other in
            switch (one.instanceID, other.instanceID) {
            case (let one?, let other?): one < other
            case (_?, nil): true
            case (nil, _?): false
            case (nil, nil): one.id < other.id
            }
        }
    }

    private static func stickyClaims(_ members: [Member]) -> [StickyAssignment.Claim] {
        members.compactMap { member in
            guard let data = member.subscription.userData.flatMap({ StickyUserData(sticky: $0) }) else { return nil }
            return StickyAssignment.Claim(member: member.id, generation: data.generation, partitions: data.owned)
        }
    }

    private static func ownedClaims(_ members: [Member]) -> [StickyAssignment.Claim] {
        members.map { member in
            let told = member.subscription.userData.map { StickyUserData.generation(cooperativeSticky: $0) } ?? -1
            return StickyAssignment.Claim(
                member: member.id, generation: max(member.subscription.generation, told), partitions: member.subscription.owned)
        }
    }

    /// Leaves out what another member still holds: that one sees that it is not given it any more, lets go of it, and
    /// joins again; then it is free.
    private static func withholding(_ assigned: [String: [TopicPartition]], from members: [Member]) -> [String: [TopicPartition]] {
        var holders: [TopicPartition: Set<String>] = [:]
        for member in members {
            for partition in member.subscription.owned { holders[partition, default: []].insert(member.id) }
        }
        return Dictionary(
            uniqueKeysWithValues: assigned.map { member, partitions in
                (member, partitions.filter { holders[$0].map { $0 == [member] } ?? true })
            })
    }
}

/// See `GroupAssignor.range`.
enum RangeAssignment {
    static func divide(_ members: [GroupAssignor.Member], _ partitionCounts: [String: Int32]) -> [String: [TopicPartition]] {
        var assigned = Dictionary(members.map { ($0.id, [TopicPartition]()) }) { first, _ in first }
        let ordered = GroupAssignor.ordered(members)
        for (topic, count) in partitionCounts where count > 0 {
            let readers = ordered.filter { $0.subscription.topics.contains(topic) }
            if readers.isEmpty { continue }
            let (share, extra) = Int(count).quotientAndRemainder(dividingBy: readers.count)
            var next = 0
            for (index, reader) in readers.enumerated() {
                let end = next + share + (index < extra ? 1 : 0)
                assigned[reader.id, default: []] += (next..<end).map { TopicPartition(topic, Int32($0)) }
                next = end
            }
        }
        return assigned
    }
}

/// See `GroupAssignor.roundRobin`.
enum RoundRobinAssignment {
    static func divide(_ members: [GroupAssignor.Member], _ partitionCounts: [String: Int32]) -> [String: [TopicPartition]] {
        var assigned = Dictionary(members.map { ($0.id, [TopicPartition]()) }) { first, _ in first }
        let ordered = GroupAssignor.ordered(members)
        let subscribed = Set(members.flatMap(\.subscription.topics))
        let topicsOf = ordered.map { Set($0.subscription.topics) }
        var turn = 0
        for topic in subscribed.sorted() {
            for partition in 0..<max(partitionCounts[topic] ?? 0, 0) {
                while !topicsOf[turn].contains(topic) { turn = (turn + 1) % ordered.count }
                assigned[ordered[turn].id, default: []].append(TopicPartition(topic, partition))
                turn = (turn + 1) % ordered.count
            }
        }
        return assigned
    }
}
