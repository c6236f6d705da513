internal import KafkaProtocol
internal import Synchronization

/// Transactions: what is on disk, never what is on its way there.
extension Store {
    /// All that is kept of transactional ids, in no order: for the coordinator's start, and for its start anew when a write has failed.
    public func transactions() -> [(transactionalID: String, state: TransactionState)] {
        shared.transactions.withLock { published in published.map { ($0.key, $0.value) } }
    }

    /// What is kept of one transactional id.
    public func transaction(_ transactionalID: String) -> TransactionState? {
        shared.transactions.withLock { $0[transactionalID] }
    }

    /// Whether an open transaction has an offset waiting for this partition (UNSTABLE_OFFSET_COMMIT, KIP-447).
    public func hasPendingOffset(_ groupID: String, _ key: OffsetKey) -> Bool {
        shared.pendingOffsets.withLock { pending in
            guard !pending.isEmpty, let ofGroup = pending[groupID] else { return false }
            return ofGroup[PackedOffsetKey(key)] != nil
        }
    }

    /// Whether an open transaction has any offset of the group waiting: then the group is in use, whoever its members are.
    public func hasPendingOffsets(of groupID: String) -> Bool {
        shared.pendingOffsets.withLock { $0[groupID] != nil }
    }

    /// The groups that open transactions have offsets waiting for.
    public func groupIDsWithPendingOffsets() -> Set<String> { shared.pendingOffsets.withLock { Set($0.keys) } }
}
