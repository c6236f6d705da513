internal import KafkaProtocol

/// A group of the new protocol (KIP-848). The coordinator computes a target assignment for each epoch of the group, and
/// leads each member there on its own, heartbeat by heartbeat: first it gives up what it is not to keep, then it gets
/// what others have given up. A partition never has two holders.
///
/// Members of the classic protocol may be in the group while it moves from one protocol to the other; they are led the
/// same way, by being told to rejoin.
struct ConsumerGroup: Sendable {
    let id: String
    /// What is durable of the group itself.
    private(set) var header = ConsumerRecord.Group()
    private(set) var members: [ExactString: ConsumerMember] = [:]
    /// By member id. May lack members that came after `header.assignmentEpoch`.
    private(set) var targets: [ExactString: PartitionSet] = [:]
    /// By `group.instance.id`: the id of the member that has it.
    private(set) var instances: [ExactString: String] = [:]
    /// How many members speak the classic protocol, and how many of these offer each of its assignors.
    private(set) var classicMemberCount = 0
    private(set) var protocolCounts: [ExactString: Int] = [:]
    /// Who holds each partition, as `assigned` or as `pendingRevocation`.
    private var holders: [Uuid: [Int32: String]] = [:]
    private var heldPartitionCount = 0
    private var profileBytes = 0
    /// What the group was subscribed to when it was last looked up; not durable.
    var subscriptions = ConsumerSubscriptions()
    var deadlines = ConsumerDeadlines()

    /// Of which records are to be written.
    private var changes = Changes()

    private struct Changes: Sendable {
        var header = false
        var profiles: Set<ExactString> = []
        var targets: Set<ExactString> = []
        var holdings: Set<ExactString> = []
    }

    /// `epoch` is the last generation of a group by the same id that this one takes the place of.
    init(id: String, after epoch: Int32 = 0) {
        self.id = id
        header.epoch = epoch
        header.assignmentEpoch = epoch
    }

    /// Members get their whole session timeout from `moment`, and as long again as they had to revoke.
    init(id: String, records: [StateRecord], options: GroupOptions, at moment: Moment) throws(GroupStateError) {
        self.id = id
        var profiles: [ExactString: ConsumerMember.Profile] = [:]
        var holdings: [ExactString: ConsumerMember.Holding] = [:]
        var hasHeader = false
        for record in records {
            guard let (kind, memberID) = ConsumerRecord.kind(of: record.key) else { throw .unreadable(key: record.key) }
            switch kind {
            case .group:
                header = try record.fields()
                hasHeader = true
            case .profile: profiles[memberID] = try record.fields()
            case .target: targets[memberID] = PartitionSet(try record.fields(ConsumerRecord.Target.self).partitions)
            case .holding:
                guard let holding = ConsumerMember.Holding(try record.fields()) else {
                    throw .unreadable(key: record.key)
                }
                holdings[memberID] = holding
            }
        }
        guard hasHeader, Set(profiles.keys) == Set(holdings.keys), targets.keys.allSatisfy({ profiles[$0] != nil }) else { throw .incomplete }
        for (key, profile) in profiles {
            let memberID = key.text
            guard let holding = holdings[memberID], areFree(holding) else { throw .incomplete }
            put(ConsumerMember(id: memberID, profile: profile, holding: holding))
            touch(memberID, options, at: moment)
            watchRevocation(of: memberID, at: moment)
        }
        guard instances.count == profiles.values.count(where: { $0.instanceID != nil }) else { throw .incomplete }
        changes = Changes()
    }

    /// The records that follow from what was changed since they were last asked for, in an order that does not vary.
    mutating func takeRecords() -> [StateRecord] {
        var records: [StateRecord] = []
        if changes.header { records.append(StateRecord(key: ConsumerRecord.key(.group), header)) }
        for memberID in changes.profiles.sorted().map(\.text) {
            records.append(StateRecord(key: ConsumerRecord.key(.profile, memberID), members[memberID]?.profile))
        }
        for memberID in changes.targets.sorted().map(\.text) {
            let target = targets[memberID].map { target in ConsumerRecord.Target { $0.partitions = target.fields } }
            records.append(StateRecord(key: ConsumerRecord.key(.target, memberID), target))
        }
        for memberID in changes.holdings.sorted().map(\.text) {
            records.append(StateRecord(key: ConsumerRecord.key(.holding, memberID), members[memberID]?.holding.row))
        }
        changes = Changes()
        return records
    }

    /// Deletes every record of the group.
    func tombstones() -> [StateRecord] {
        var keys = [ConsumerRecord.key(.group)]
        for memberID in Set(members.keys).union(changes.profiles).sorted().map(\.text) {
            keys += [ConsumerRecord.key(.profile, memberID), ConsumerRecord.key(.target, memberID), ConsumerRecord.key(.holding, memberID)]
        }
        return keys.map { StateRecord(key: $0, value: nil) }
    }
}

/// The only ways in which the durable part changes.
extension ConsumerGroup {
    /// Takes in a member, or what is new of it.
    mutating func put(_ member: ConsumerMember) {
        let old = members[member.id]
        if old?.profile != member.profile || old == nil {
            changes.profiles.insert(member.id)
            profileBytes += member.profile.byteCount - (old?.profile.byteCount ?? 0)
            count(old?.profile.classic, -1)
            count(member.profile.classic, 1)
        }
        if old?.holding != member.holding || old == nil {
            changes.holdings.insert(member.id)
            if let old { release(old) }
            claim(member)
        }
        if old?.profile.instanceID != member.profile.instanceID, let instanceID = old?.profile.instanceID { instances[instanceID] = nil }
        if let instanceID = member.profile.instanceID { instances[instanceID] = member.id }
        if members.isEmpty, header.emptySinceMs >= 0 { setEmpty(since: -1) }
        members[member.id] = member
    }

    /// Removes every trace of a member.
    mutating func remove(_ memberID: String, at moment: Moment) {
        guard let member = members.removeValue(forKey: memberID) else { return }
        profileBytes -= member.profile.byteCount
        count(member.profile.classic, -1)
        release(member)
        if let instanceID = member.profile.instanceID, instances[instanceID] == memberID { instances[instanceID] = nil }
        deadlines[memberID] = nil
        changes.profiles.insert(memberID)
        changes.holdings.insert(memberID)
        setTarget(nil, of: memberID)
        guard members.isEmpty else { return }
        setEmpty(since: moment.wallClockMs)
        subscriptions = ConsumerSubscriptions()
    }

    /// The member `old` goes on as `new`, with all that it had.
    mutating func replace(_ old: ConsumerMember, by new: ConsumerMember, at moment: Moment) {
        let target = targets[old.id]
        let (emptySince, subscriptions) = (header.emptySinceMs, self.subscriptions)
        remove(old.id, at: moment)
        setEmpty(since: emptySince)
        self.subscriptions = subscriptions
        put(new)
        setTarget(target, of: new.id)
    }

    mutating func setTarget(_ target: PartitionSet?, of memberID: String) {
        guard targets[memberID] != target else { return }
        targets[memberID] = target
        changes.targets.insert(memberID)
    }

    /// A new assignment is due.
    mutating func beginEpoch() {
        header.epoch += 1
        changes.header = true
    }

    /// The targets are those of the group's epoch.
    mutating func finishAssignment() {
        header.assignmentEpoch = header.epoch
        changes.header = true
    }

    mutating func setMetadataHash(_ hash: Int64) {
        guard header.metadataHash != hash else { return }
        header.metadataHash = hash
        changes.header = true
    }

    private mutating func setEmpty(since wallClockMs: Int64) {
        guard header.emptySinceMs != wallClockMs else { return }
        header.emptySinceMs = wallClockMs
        changes.header = true
    }

    private mutating func count(_ face: ConsumerMember.ClassicFace?, _ difference: Int) {
        guard let face else { return }
        classicMemberCount += difference
        for name in face.protocolNames {
            protocolCounts[name, default: 0] += difference
            if protocolCounts[name] == 0 { protocolCounts[name] = nil }
        }
    }

    /// Whether no member holds the partition.
    func isFree(_ topicID: Uuid, _ index: Int32) -> Bool { holders[topicID]?[index] == nil }

    private func areFree(_ holding: ConsumerMember.Holding) -> Bool {
        guard holding.assigned.isDisjoint(with: holding.pendingRevocation) else { return false }
        return [holding.assigned, holding.pendingRevocation].allSatisfy { partitions in
            partitions.topics.allSatisfy { topicID, indexes in indexes.allSatisfy { isFree(topicID, $0) } }
        }
    }

    private mutating func claim(_ member: ConsumerMember) {
        for partitions in [member.holding.assigned, member.holding.pendingRevocation] {
            for (topicID, indexes) in partitions.topics {
                for index in indexes {
                    let other = holders[topicID, default: [:]].updateValue(member.id, forKey: index)
                    precondition(other == nil, "a partition was given to a member while another still held it")
                    heldPartitionCount += 1
                }
            }
        }
    }

    private mutating func release(_ member: ConsumerMember) {
        for partitions in [member.holding.assigned, member.holding.pendingRevocation] {
            for (topicID, indexes) in partitions.topics {
                for index in indexes { holders[topicID]?[index] = nil }
                heldPartitionCount -= indexes.count
                if holders[topicID]?.isEmpty ?? false { holders[topicID] = nil }
            }
        }
    }
}

extension ConsumerGroup {
    var isEmpty: Bool { members.isEmpty }

    /// See `HeldBytes`.
    var byteCount: Int {
        guard !members.isEmpty else { return 0 }
        let memberBytes = profileBytes + members.count * HeldBytes.perMember + heldPartitionCount * HeldBytes.perPartition
        return HeldBytes.perGroup + memberBytes + subscriptions.byteCount
    }

    /// Nothing of it was ever written.
    var isForgettable: Bool { members.isEmpty && header == ConsumerRecord.Group() }

    /// Wall clock milliseconds; nil while there are members.
    var emptySinceMs: Int64? { header.emptySinceMs >= 0 ? header.emptySinceMs : nil }

    /// The name of the group's state, as Kafka's clients know it.
    var state: String {
        if members.isEmpty { return "Empty" }
        if header.epoch > header.assignmentEpoch { return "Assigning" }
        let isSettled = members.values.allSatisfy { $0.holding.state == .stable && $0.holding.epoch == header.assignmentEpoch }
        return isSettled ? "Stable" : "Reconciling"
    }

    /// The assignor that most members ask for, or the broker's first.
    func assignor(_ options: GroupOptions) -> Assignor {
        let known = options.consumerAssignors.compactMap(Assignor.init(rawValue:))
        var votes: [Assignor: Int] = [:]
        for member in members.values {
            if let assignor = member.profile.assignor.flatMap(Assignor.init(rawValue:)) { votes[assignor, default: 0] += 1 }
        }
        var best = known.first ?? .uniform
        for assignor in known where votes[assignor, default: 0] > votes[best, default: 0] { best = assignor }
        return best
    }
}
