internal import KafkaProtocol

/// The group's durable state: one record for the group, one for each member of its last generation.
///
/// A generation is written before any member learns of it, whole, so that a number stands for one membership for ever.
/// Between generations only those who left are taken out; those who are on their way in are not written, and a restart
/// tells them to ask again.
extension ClassicGroup {
    /// The group but for its members.
    struct Header: Fields, Equatable {
        /// A `State`.
        var state: Int8 = 0
        var generationID: Int32 = 0
        var protocolType: String?
        var protocolName: String?
        var leaderID: String?
        /// −1 for none.
        var emptySinceMs: Int64 = -1

        mutating func fields(_ wire: inout some Wire) {
            wire.int8(&state)
            wire.int32(&generationID)
            wire.string(&protocolType)
            wire.string(&protocolName)
            wire.string(&leaderID)
            wire.int64(&emptySinceMs)
            wire.tags()
        }
    }

    /// The member's id is in the key.
    struct MemberRow: Fields {
        var groupInstanceID: String?
        var clientID = ""
        var clientHost = ""
        var sessionTimeoutMs: Int32 = 0
        var rebalanceTimeoutMs: Int32 = 0
        var protocols: [JoinGroupRequest.GroupProtocol] = []
        var assignment: [UInt8] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.string(&groupInstanceID)
            wire.string(&clientID)
            wire.string(&clientHost)
            wire.int32(&sessionTimeoutMs)
            wire.int32(&rebalanceTimeoutMs)
            wire.array(&protocols)
            wire.bytes(&assignment)
            wire.tags()
        }
    }

    /// What was handed out to be written, and what has changed since.
    struct Written: Sendable {
        fileprivate(set) var header: Header?
        fileprivate(set) var members: Set<ExactString> = []
        /// Members whose record is to be written again.
        var changed: Set<ExactString> = []
        /// Members whose record is to be deleted.
        fileprivate var gone: Set<ExactString> = []

        fileprivate var hasMembers: Bool { !members.isEmpty || !gone.isEmpty }

        mutating func forget(_ memberID: String) {
            if members.remove(memberID) { gone.insert(memberID) }
        }
    }

    private static let headerKey = Array("Cg".utf8)
    private static let memberPrefix = Array("Cm".utf8)
    private static func memberKey(_ memberID: String) -> [UInt8] { memberPrefix + memberID.utf8 }

    /// The end of every event: its answers, and the records that have to be durable before they leave.
    mutating func concluded() -> GroupEffects {
        var effects = GroupEffects(groupID: id, replies: answers)
        answers = []
        let header = Header {
            $0.state = state.rawValue
            $0.generationID = generationID
            $0.protocolType = protocolType
            $0.protocolName = protocolName
            $0.leaderID = leaderID
            $0.emptySinceMs = emptySinceMs ?? -1
        }
        if header != written.header, isWorthWriting {
            effects.records.append(StateRecord(key: Self.headerKey, header))
            written.header = header
        }
        if !written.gone.isEmpty {
            effects.records += written.gone.sorted().map { StateRecord(key: Self.memberKey($0.text), value: nil) }
            written.gone = []
        }
        if !written.changed.isEmpty {
            for member in membersInOrder where written.changed.contains(member.id) {
                effects.records.append(StateRecord(key: Self.memberKey(member.id), member.row))
                written.members.insert(member.id)
            }
            written.changed = []
        }
        return effects
    }

    /// An empty group that prepares its first generation is as empty as before to whoever reads the records, so those
    /// who come and go without being let in leave no trace on the disk.
    /// What goes on where a group of the other protocol ended says so, or its generations would begin again.
    private var isWorthWriting: Bool {
        switch state {
        case .completingRebalance, .stable: true
        case .preparingRebalance: written.hasMembers || generationID > 0 && written.header == nil
        case .empty: written.header != nil || generationID > 0
        }
    }

    /// Nothing of the group is on disk, and nobody is in it.
    var isForgettable: Bool { state == .empty && pendingMembers.isEmpty && written.header == nil && !holdsCommits }

    /// Deletes every record of the group.
    func tombstones() -> [StateRecord] {
        guard written.header != nil else { return [] }
        return [StateRecord(key: Self.headerKey, value: nil)] + written.members.sorted().map { StateRecord(key: Self.memberKey($0.text), value: nil) }
    }

    /// The group as its records say. Without records it is a group of committed offsets only.
    init(id: String, records: [StateRecord], at moment: Moment) throws(GroupStateError) {
        self.init(id: id, at: moment)
        for record in records {
            if record.key == Self.headerKey {
                written.header = try record.fields()
            } else if record.key.starts(with: Self.memberPrefix) {
                let memberID = String(decoding: record.key.dropFirst(Self.memberPrefix.count), as: UTF8.self)
                add(ClassicMember(id: memberID, try record.fields()))
                written.members.insert(memberID)
            } else {
                throw .unreadable(key: record.key)
            }
        }
        guard let header = written.header else {
            guard records.isEmpty else { throw .incomplete }
            holdsCommits = true
            return
        }
        guard let writtenState = State(rawValue: header.state) else { throw .unreadable(key: Self.headerKey) }
        state = members.isEmpty ? .empty : writtenState
        generationID = header.generationID
        protocolType = header.protocolType
        protocolName = header.protocolName
        if let leader = header.leaderID, members[leader] != nil { leaderID = leader }
        emptySinceMs = header.emptySinceMs < 0 ? nil : header.emptySinceMs
        resume(at: moment)
    }

    /// Goes on where the broker stopped. Everybody gets their whole time again: it is not their fault.
    private mutating func resume(at moment: Moment) {
        for memberID in members.keys { touch(memberID.text, at: moment) }
        switch state {
        case .empty:
            leaderID = nil
            protocolName = nil
            emptySinceMs = emptySinceMs ?? moment.wallClockMs
        case .preparingRebalance: joinDeadlineMs = moment.monotonicMs + rebalanceTimeoutMs
        case .completingRebalance:
            pendingSync = Set(members.keys)
            syncDeadlineMs = moment.monotonicMs + rebalanceTimeoutMs
        case .stable: break
        }
    }
}

extension ClassicMember {
    fileprivate var row: ClassicGroup.MemberRow {
        ClassicGroup.MemberRow {
            $0.groupInstanceID = groupInstanceID
            $0.clientID = clientID
            $0.clientHost = clientHost
            $0.sessionTimeoutMs = sessionTimeoutMs
            $0.rebalanceTimeoutMs = rebalanceTimeoutMs
            $0.protocols = protocols
            $0.assignment = assignment
        }
    }

    fileprivate init(id: String, _ row: ClassicGroup.MemberRow) {
        self.init(
            id: id, groupInstanceID: row.groupInstanceID, clientID: row.clientID, clientHost: row.clientHost,
            sessionTimeoutMs: row.sessionTimeoutMs, rebalanceTimeoutMs: row.rebalanceTimeoutMs)
        setProtocols(row.protocols)
        assignment = row.assignment
    }
}
