internal import KafkaProtocol

/// A member of a group of the new protocol (KIP-848). Each part is a record of its own: what changes often is small.
struct ConsumerMember: Sendable, Equatable {
    /// The epoch of a static member that has gone for a while, and of the request that says so.
    static let awayEpoch: Int32 = -2
    /// The epoch of the request that leaves for good.
    static let leavingEpoch: Int32 = -1

    let id: String
    var profile: Profile
    var holding: Holding

    init(id: String, profile: Profile = Profile(), holding: Holding = Holding()) {
        self.id = id
        self.profile = profile
        self.holding = holding
    }

    /// What the member says of itself: a record of the group.
    struct Profile: Fields, Equatable {
        var instanceID: String?
        var rackID: String?
        var clientID = ""
        var clientHost = ""
        /// In milliseconds: how long it may take to give up partitions.
        var rebalanceTimeoutMs: Int32 = 0
        /// Ascending, each once.
        var topicNames: [String] = []
        /// A `TopicPattern`; nil if there is none.
        var topicPattern: String?
        var assignor: String?
        /// Not nil for a member that speaks the classic protocol.
        var classic: ClassicFace?

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&instanceID)
            wire.string(&rackID)
            wire.string(&clientID)
            wire.string(&clientHost)
            wire.int32(&rebalanceTimeoutMs)
            wire.array(&topicNames)
            wire.string(&topicPattern)
            wire.string(&assignor)
            wire.optional(&classic)
            wire.tags()
        }

        /// See `HeldBytes`. Where the member is may change with each of its connections, and counts among what all take.
        var byteCount: Int {
            let texts = [instanceID, rackID, clientID, topicPattern, assignor].reduce(0) { $0 + ($1?.utf8.count ?? 0) }
            return texts + topicNames.reduce(0) { $0 + $1.utf8.count + 48 } + (classic?.protocols.byteCount ?? 0)
        }

        func isSubscribedAs(_ other: Profile) -> Bool { topicNames == other.topicNames && topicPattern == other.topicPattern }
    }

    /// What a member of the classic protocol brought with its JoinGroup.
    struct ClassicFace: Fields, Equatable {
        var sessionTimeoutMs: Int32 = 0
        /// The client's assignors in its order of preference, each with the subscription as the client encoded it.
        var protocols: [JoinGroupRequest.GroupProtocol] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&sessionTimeoutMs)
            wire.array(&protocols)
            wire.tags()
        }

        var protocolNames: Set<ExactString> { Set(exact: protocols.map(\.name)) }
    }

    /// What the coordinator has let the member have, and how far it is on its way to its target.
    struct Holding: Sendable, Equatable {
        /// 0 before the first answer, `awayEpoch` while a static member is away.
        var epoch: Int32 = 0
        /// The epoch that the member knew when `epoch` was made: the one it comes with when the answer got lost.
        var previousEpoch: Int32 = 0
        var state = State.stable
        /// What the member is told to have.
        var assigned = PartitionSet()
        /// What the member had and has not said yet to have given up.
        var pendingRevocation = PartitionSet()
    }

    enum State: Int8, Sendable {
        /// At its target.
        case stable = 0
        /// It has to give up partitions before it may have any.
        case unrevoked = 1
        /// Partitions of its target are still with others.
        case unreleased = 2
    }

    var isClassic: Bool { profile.classic != nil }
    var isAway: Bool { holding.epoch == Self.awayEpoch }
}

extension ConsumerMember.Holding {
    /// The next step towards `target` (KIP-848, the member's reconciliation): nothing is given before everything that
    /// has to go is gone, and nothing that somebody else still holds.
    ///
    /// - Parameters:
    ///   - owned: what the member says that it has; nil if it does not say.
    ///   - knownEpoch: the epoch that the member came with.
    ///   - isFree: whether no member holds a partition.
    func step(
        towards target: PartitionSet, epoch targetEpoch: Int32, owned: PartitionSet?, knownEpoch: Int32, isFree: (Uuid, Int32) -> Bool
    ) -> Self {
        func stillOwns(_ partitions: PartitionSet) -> Bool { !partitions.isEmpty && !(owned?.isDisjoint(with: partitions) ?? false) }
        switch state {
        case .stable where epoch == targetEpoch: return self
        case .unrevoked where stillOwns(pendingRevocation): return self
        case .stable, .unrevoked, .unreleased: break
        }
        var next = self
        next.assigned = assigned.intersection(target)
        let revoked = assigned.subtracting(target)
        if stillOwns(revoked) {
            // The epoch stays: the member is not at the new one before it has given these up.
            next.state = .unrevoked
            next.pendingRevocation = revoked
            return next
        }
        next.pendingRevocation = PartitionSet()
        // Its own former partitions count as free to it.
        let wanted = target.subtracting(next.assigned)
        let free = wanted.filter { topicID, index in isFree(topicID, index) || pendingRevocation.contains(topicID, index) }
        next.assigned.formUnion(free)
        next.state = free.count == wanted.count ? .stable : .unreleased
        if epoch != targetEpoch {
            next.epoch = targetEpoch
            next.previousEpoch = knownEpoch
        }
        return next
    }
}
