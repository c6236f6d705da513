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
            !pending.isEmpty && pending[PendingOffsetKey(groupID: groupID, offset: PackedOffsetKey(key))] != nil
        }
    }
}
