public import KafkaProtocol

/// All consumer groups of a broker, as a value: requests and time in, records and replies out. It knows neither sockets
/// nor disks nor clocks. Whoever holds it writes the records in the order in which they are returned, and lets a reply
/// go when the records returned with it, and all of its group before them, are durable: then no client ever learns of a
/// generation, an epoch or an assignment that a restart could take back.
public struct GroupCoordinator: Sendable {
    var environment: GroupEnvironment
    var groups: [ExactString: GroupKind] = [:]
    var deadlines = GroupDeadlines()

    public init(options: GroupOptions, topics: any TopicDirectory) {
        self.init(options: options, topics: topics, random: .system)
    }

    init(options: GroupOptions, topics: any TopicDirectory, random: RandomSource) {
        environment = GroupEnvironment(options: options, topics: topics, random: random)
    }

    /// In no order.
    public var groupIDs: [String] { groups.keys.map(\.text) }

    /// Takes in a group as its durable records say it is: at start, or again after a write failed. Its members get
    /// their whole session timeout from `moment` to show themselves, and nobody is told of a rebalance. Without
    /// records it is a group that consists of committed offsets only.
    public mutating func load(_ groupID: String, records: [StateRecord], at moment: Moment) throws(GroupStateError) {
        let isConsumer = records.contains { $0.key.first == ConsumerRecord.protocolByte }
        let group: GroupKind =
            isConsumer
            ? .consumer(try ConsumerGroup(id: groupID, records: records, options: environment.options, at: moment))
            : .classic(try ClassicGroup(id: groupID, records: records, at: moment))
        deadlines.forget(groupID)
        deadlines.arm(groupID, at: group.nextDeadline)
        environment.count(group, as: groupID)
        groups[groupID] = group
    }

    /// Forgets a group because a write of it failed; whoever waits in it is answered with `code`. To be loaded again
    /// from what is durable.
    public mutating func unload(_ groupID: String, answering code: ErrorCode) -> GroupEffects {
        deadlines.forget(groupID)
        environment.count(nil, as: groupID)
        guard var group = groups.removeValue(forKey: groupID) else { return GroupEffects(groupID: groupID) }
        return group.release(answering: code)
    }

    /// Monotonic milliseconds: when to call `advance` at the latest. Nil when there is nothing to wait for.
    public var nextDeadline: Int64? { deadlines.next }

    /// Time has passed: members that fell silent go, rebalances that waited long enough go on.
    public mutating func advance(to moment: Moment) -> [GroupEffects] {
        var all: [GroupEffects] = []
        // A deadline that lies in the past again after it was dealt with would keep us here for ever.
        var due: [String] = []
        while let groupID = deadlines.popDue(by: moment.monotonicMs) { due.append(groupID) }
        for groupID in due {
            let effects = change(groupID) { group, environment in group.advance(to: moment, &environment) }
            if let effects, !effects.isEmpty { all.append(effects) }
        }
        return all
    }

    /// Runs `body` on the group, if there is one, then sees to its deadline, and to its end where it left no trace.
    mutating func change<Outcome>(_ groupID: String, _ body: (inout GroupKind, inout GroupEnvironment) -> Outcome) -> Outcome? {
        // Taken out meanwhile, so that its members have one owner and are changed in place.
        guard var group = groups.removeValue(forKey: groupID) else { return nil }
        let outcome = body(&group, &environment)
        keep(group, as: groupID)
        return outcome
    }

    mutating func keep(_ group: GroupKind, as groupID: String) {
        environment.count(group, as: groupID)
        if group.isForgettable { return deadlines.forget(groupID) }
        deadlines.arm(groupID, at: group.nextDeadline)
        groups[groupID] = group
    }

    /// 1…255 bytes of UTF-8, which is what the store's keys have room for.
    static func isValid(groupID: String) -> Bool { !groupID.isEmpty && isValidForOffsets(groupID: groupID) }

    /// Consumers that are members of no group commit under the empty id, which Kafka has allowed since its beginnings.
    static func isValidForOffsets(groupID: String) -> Bool { groupID.utf8.count <= 255 }
}
