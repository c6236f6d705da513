internal import KafkaProtocol
internal import Synchronization

/// Partitions for which offsets of one group wait for the end of a transaction.
public struct PendingOffsetKeys: Sendable {
    fileprivate let counts: [PackedOffsetKey: Int]

    public func contains(_ key: OffsetKey) -> Bool { !counts.isEmpty && counts[PackedOffsetKey(key)] != nil }
}

/// Transactions: what is on disk, never what is on its way there.
extension Store {
    /// All that is kept of transactional ids, in no order: for the coordinator's start, and for its start anew when a write has failed.
    public func transactions() -> [(transactionalID: String, state: TransactionState)] {
        shared.transactions.withLock { published in published.map { ($0.key.text, $0.value) } }
    }

    /// What is kept of one transactional id.
    public func transaction(_ transactionalID: String) -> TransactionState? {
        shared.transactions.withLock { $0[transactionalID] }
    }

    /// Where open transactions have offsets of a group waiting (UNSTABLE_OFFSET_COMMIT, KIP-447).
    ///
    /// To be asked for before the offsets themselves are read: the offsets of a transaction that ends are shown before it is
    /// no longer waiting for, so who finds nothing waiting reads what it has committed.
    public func pendingOffsets(of groupID: String) -> PendingOffsetKeys {
        PendingOffsetKeys(counts: shared.pendingOffsets.withLock { $0[groupID] } ?? [:])
    }

    /// Whether an open transaction has any offset of the group waiting: then the group is in use, whoever its members are.
    public func hasPendingOffsets(of groupID: String) -> Bool {
        shared.pendingOffsets.withLock { $0[groupID] != nil }
    }

    /// The groups that open transactions have offsets waiting for.
    public func groupIDsWithPendingOffsets() -> [String] { shared.pendingOffsets.withLock { $0.keys.map(\.text) } }
}
