internal import KafkaProtocol

/// A group of the classic protocol: its members agree on a generation, and one of them divides the partitions among
/// all (https://cwiki.apache.org/confluence/display/KAFKA/Kafka+Client-side+Assignment+Proposal).
struct ClassicGroup: Sendable {
    enum State: Int8, Sendable {
        /// No members.
        case empty = 0
        /// Waits for its members to join again.
        case preparingRebalance = 1
        /// Has a new generation, and waits for its leader to divide the partitions.
        case completingRebalance = 2
        case stable = 3

        /// As Kafka calls it.
        var name: String {
            switch self {
            case .empty: "Empty"
            case .preparingRebalance: "PreparingRebalance"
            case .completingRebalance: "CompletingRebalance"
            case .stable: "Stable"
            }
        }
    }

    let id: String
    var state = State.empty
    /// 0 before the first one.
    var generationID: Int32 = 0
    /// Nil for a group that is committed offsets only.
    var protocolType: String?
    /// What the generation agreed on.
    var protocolName: String?
    var leaderID: String?
    /// The last assignments hold something besides partitions, which only the members' own assignor can give them.
    var assignsMore = false
    /// Milliseconds since 1970; nil once a generation has members, and for a group that never had any.
    var emptySinceMs: Int64?
    /// Offsets were committed, so that the group exists without any member.
    var holdsCommits = false

    private(set) var members: [ExactString: ClassicMember] = [:]
    /// Member ids by group.instance.id.
    private(set) var staticMembers: [ExactString: String] = [:]
    /// Ids that were given out with MEMBER_ID_REQUIRED (KIP-394), and how long they are good, in monotonic milliseconds.
    var pendingMembers: [ExactString: Int64] = [:]
    /// How many members speak each protocol.
    private var protocolCounts: [String: Int] = [:]
    private(set) var joiningCount = 0
    private var memberBytes = 0
    /// What the leader assigned last, to all together. It counts until the leader assigns anew, so that nobody takes the room that it needs
    /// for that, whoever has left meanwhile.
    var assignedBytes = 0
    private var nextOrder: UInt64 = 0

    /// Members that have not asked for their part of the generation yet.
    var pendingSync: Set<ExactString> = []
    /// Monotonic milliseconds: when the rebalance goes on without those who have not joined.
    var joinDeadlineMs: Int64?
    /// Monotonic milliseconds: when those who have not synced are put out.
    var syncDeadlineMs: Int64?
    /// Set while an empty group waits for more members to come.
    var initialDelay: InitialDelay?
    /// Monotonic milliseconds: when to look for members and pending ids that have expired. In a large group some of them may have
    /// done so for a while, see `expireSessions`.
    var sessionCheckMs: Int64?

    /// What is known to be, or about to be, on disk; see `concluded`.
    var written = Written()
    /// Answers of the event in progress.
    var answers: [(token: RequestToken, response: GroupResponse)] = []

    struct InitialDelay: Sendable {
        var lastMs: Int64
        var remainingMs: Int64
        var memberAdded = false
    }

    init(id: String, at moment: Moment) { self.id = id }

    // MARK: - Members

    var membersInOrder: [ClassicMember] { members.values.sorted { $0.order < $1.order } }

    /// The time to wait for members that have to give up partitions first: the longest that one of them asks for.
    var rebalanceTimeoutMs: Int64 { Int64(members.values.reduce(0) { max($0, $1.rebalanceTimeoutMs) }) }

    var hasAllJoined: Bool { members.count == joiningCount && pendingMembers.isEmpty }

    /// See `HeldBytes`.
    var byteCount: Int {
        guard !members.isEmpty || !pendingMembers.isEmpty else { return 0 }
        return HeldBytes.perGroup + memberBytes + assignedBytes + pendingMembers.count * HeldBytes.perMember
    }

    /// Protocols that every member speaks.
    var candidateProtocols: Set<String> { Set(protocolCounts.filter { $0.value == members.count }.keys) }

    mutating func add(_ member: ClassicMember) {
        var member = member
        member.order = nextOrder
        nextOrder += 1
        insert(member)
        assignedBytes += member.assignment.count
        pendingMembers[member.id] = nil
        if members.count == 1 { leaderID = member.id }
    }

    private mutating func insert(_ member: ClassicMember) {
        if let instance = member.groupInstanceID { staticMembers[instance] = member.id }
        for offered in member.protocols { protocolCounts[offered.name, default: 0] += 1 }
        if member.joining != nil { joiningCount += 1 }
        memberBytes += member.byteCount
        members[member.id] = member
    }

    /// Changes a member where it is, but for what it speaks: that is counted, and may be much.
    mutating func update(_ memberID: String, _ change: (inout ClassicMember) -> Void) {
        guard let place = members.index(forKey: ExactString(memberID)) else { return }
        if members[place].value.joining != nil { joiningCount -= 1 }
        memberBytes -= members[place].value.byteCount
        change(&members.values[place])
        memberBytes += members[place].value.byteCount
        if members[place].value.joining != nil { joiningCount += 1 }
    }

    mutating func setProtocols(_ protocols: [JoinGroupRequest.GroupProtocol], of memberID: String) {
        guard var member = withdraw(memberID) else { return }
        member.setProtocols(protocols)
        insert(member)
    }

    /// A sign of life.
    mutating func touch(_ memberID: String, at moment: Moment) {
        guard let timeoutMs = members[memberID]?.sessionTimeoutMs else { return }
        keepAlive(memberID, forMs: Int64(timeoutMs), at: moment)
    }

    mutating func keepAlive(_ memberID: String, forMs timeoutMs: Int64, at moment: Moment) {
        members[memberID]?.aliveUntilMs = moment.monotonicMs + timeoutMs
        checkSessions(by: moment.monotonicMs + timeoutMs)
    }

    mutating func checkSessions(by timeMs: Int64) { sessionCheckMs = min(sessionCheckMs ?? timeMs, timeMs) }

    private mutating func withdraw(_ memberID: String) -> ClassicMember? {
        guard let member = members.removeValue(forKey: memberID) else { return nil }
        if let instance = member.groupInstanceID { staticMembers[instance] = nil }
        for offered in member.protocols {
            protocolCounts[offered.name, default: 0] -= 1
            if protocolCounts[offered.name] == 0 { protocolCounts[offered.name] = nil }
        }
        if member.joining != nil { joiningCount -= 1 }
        memberBytes -= member.byteCount
        return member
    }

    /// Takes a member, or a pending id, out of the group; what it waits for is answered with `code`.
    mutating func remove(_ memberID: String, answering code: ErrorCode) {
        pendingMembers[memberID] = nil
        pendingSync.remove(memberID)
        guard let member = withdraw(memberID) else { return }
        written.forget(memberID)
        refuse(member, code)
        // The rebalance that follows elects another.
        if leaderID == memberID { leaderID = nil }
    }

    /// A static member came back without its id: the new one takes the old one's place, and the old one is fenced.
    mutating func replaceStatic(_ oldID: String, by newID: String) {
        guard let old = withdraw(oldID) else { return }
        written.forget(oldID)
        refuse(old, .fencedInstanceID)
        insert(ClassicMember(id: newID, replacing: old))
        pendingSync.remove(oldID)
        if leaderID == oldID { leaderID = newID }
    }

    // MARK: - Answers

    mutating func answer(_ token: RequestToken, _ response: GroupResponse) { answers.append((token, response)) }

    /// Answers whatever the member waits for.
    private mutating func refuse(_ member: ClassicMember, _ code: ErrorCode) {
        if let token = member.joining {
            let memberID = code == .unknownMemberID ? "" : member.id
            answer(token, .join(JoinGroupResponse { ($0.errorCode, $0.memberID) = (code, memberID) }))
        }
        if let token = member.syncing { answer(token, .sync(SyncGroupResponse { $0.errorCode = code })) }
    }

    /// Answers everyone who waits with `code`; the group is about to be forgotten.
    mutating func release(answering code: ErrorCode) -> GroupEffects {
        for member in membersInOrder {
            refuse(member, code)
            update(member.id) { ($0.joining, $0.syncing) = (nil, nil) }
        }
        defer { answers = [] }
        return GroupEffects(groupID: id, replies: answers)
    }

    // MARK: - Who may

    /// FENCED_INSTANCE_ID where another member goes by that instance id now, UNKNOWN_MEMBER_ID where nobody knows it.
    func validate(_ memberID: String, _ groupInstanceID: String?) -> ErrorCode {
        if let groupInstanceID {
            guard let current = staticMembers[groupInstanceID] else { return .unknownMemberID }
            guard current == memberID else { return .fencedInstanceID }
        }
        return members[memberID] == nil ? .unknownMemberID : .none
    }

    /// Whether a member that speaks these protocols finds one that all others speak too.
    func supports(_ type: String, _ protocols: [JoinGroupRequest.GroupProtocol]) -> Bool {
        guard !members.isEmpty else { return !type.isEmpty && !protocols.isEmpty }
        return protocolType == type && protocols.contains { protocolCounts[$0.name, default: 0] == members.count }
    }
}
