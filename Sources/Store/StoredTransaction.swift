internal import KafkaProtocol

/// A transactional id as the committer knows it, after the last operation it has decided on. Kept while anything of it is not in
/// its row, also when it is deleted.
final class StoredTransaction {
    let id: String
    /// Nil: deleted.
    private(set) var state: TransactionState?
    private var partitions: Set<PartitionID> = []
    private var groupIDs: Set<ExactString> = []
    /// The row holds the effects of the journal up to this sequence.
    var asOf: UInt64 = 0
    /// The first journal entry with a change that is not in the row.
    var since: UInt64?

    init(_ id: String) { self.id = id }

    func set(_ state: TransactionState?) {
        self.state = state
        partitions = Set(state?.partitions ?? [])
        groupIDs = Set(exact: state?.groupIDs ?? [])
    }

    /// Whether its transaction is open and has the partition in it.
    func takes(_ partition: PartitionID) -> Bool { state?.isOpen == true && partitions.contains(partition) }
    func takes(groupID: String) -> Bool { state?.isOpen == true && groupIDs.contains(groupID) }
}

/// An offset of a group, in the whole store.
struct PendingOffsetKey: Hashable, Sendable {
    var group: ExactString
    var offset: PackedOffsetKey

    init(groupID: String, offset: PackedOffsetKey) {
        group = ExactString(groupID)
        self.offset = offset
    }

    var groupID: String { group.text }
}

/// What the transaction of one producer will commit for groups.
final class PendingOffsets {
    let producerID: Int64
    private(set) var offsets: [PendingOffsetKey: CommittedOffset] = [:]
    private var rows: Set<PendingOffsetKey> = []
    /// By offset, the first journal entry with a change that is not in its row.
    private var unsettled: [PendingOffsetKey: UInt64] = [:]

    init(producerID: Int64) { self.producerID = producerID }

    /// Nothing is pending, and no row says so.
    var isGone: Bool { offsets.isEmpty && rows.isEmpty }
    var groups: Set<ExactString> { Set(offsets.keys.map(\.group)) }

    /// As the database tells it.
    func load(_ key: PendingOffsetKey, _ value: CommittedOffset) {
        offsets[key] = value
        rows.insert(key)
    }

    /// Returns whether there was none before.
    @discardableResult
    func set(_ key: PendingOffsetKey, _ value: CommittedOffset, sequence: UInt64) -> Bool {
        unsettled[key] = unsettled[key] ?? sequence
        return offsets.updateValue(value, forKey: key) == nil
    }

    /// The rows that have to go when nothing is pending for these groups any more.
    func rows(ofGroups groupIDs: [String]) -> [PendingOffsetKey] {
        let groups = Set(exact: groupIDs)
        return rows.filter { groups.contains($0.group) }
    }

    /// Lets go of what is pending for a group, and returns it.
    func drop(groupID: String, sequence: UInt64) -> [(key: PendingOffsetKey, value: CommittedOffset)] {
        let dropped = offsets.filter { $0.key.group == ExactString(groupID) }
        for key in dropped.keys {
            offsets[key] = nil
            unsettled[key] = rows.contains(key) ? unsettled[key] ?? sequence : nil
        }
        return dropped.map { ($0.key, $0.value) }
    }

    enum Settlement {
        case inOrder
        case row(CommittedOffset)
        case noRow
    }

    /// What its row must be for the journal up to `sequence` not to be needed; the caller sees to it.
    func settle(_ key: PendingOffsetKey, through sequence: UInt64) -> Settlement {
        guard let since = unsettled[key], since <= sequence else { return .inOrder }
        unsettled[key] = nil
        if let value = offsets[key] {
            rows.insert(key)
            return .row(value)
        }
        rows.remove(key)
        return .noRow
    }
}
