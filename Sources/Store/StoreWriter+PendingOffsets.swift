internal import KafkaProtocol
internal import LMDB

/// Offsets that transactions will commit for groups: durable, and invisible until the end.
extension StoreWriter {
    /// Takes in offsets that the gate has let through.
    func add(
        _ change: PendingOffsetChange, groupID: String, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        var operation = OffsetsPending()
        operation.producerID = change.producerID
        operation.groupID = groupID
        var byteCount = 0
        for (key, value) in change.offsets where catalog.byID[key.topicID] != nil {
            let length = OffsetChanged.byteCount(value)
            if byteCount + length > Self.pendingByteCountMax {
                try finish(&operation, &draft, &transaction)
                byteCount = 0
            }
            var offset = OffsetPending()
            offset.topicID = key.topicID
            offset.partition = key.partition
            offset.value = OffsetFields(value)
            operation.offsets.append(offset)
            byteCount += length
        }
        try finish(&operation, &draft, &transaction)
    }

    /// Of the offsets of one operation, unless it has a single one, which may be a little longer: so that it fits an entry.
    private static let pendingByteCountMax = 128 << 10

    private func finish(
        _ operation: inout OffsetsPending, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        guard !operation.offsets.isEmpty else { return }
        let producerID = operation.producerID
        let keys = operation.keys
        let touched = keys.map { StateKey.pendingOffset(producerID: producerID, $0) }
        try record(EncodedOperation(.offsetsPending, operation, touching: touched), &draft, &transaction)
        let pending = pendingOffsets[producerID] ?? PendingOffsets(producerID: producerID)
        pendingOffsets[producerID] = pending
        for (key, offset) in zip(keys, operation.offsets) {
            if pending.set(key, offset.value.committed, sequence: draft.sequence) { draft.pendingChanges[key, default: 0] += 1 }
        }
        operation.offsets = []
    }

    /// Commits or drops what a producer's transaction has pending, for `groupIDs` or for all.
    func endPendingOffsets(
        of producerID: Int64, _ groupIDs: [String]?, isCommit: Bool, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        guard let pending = pendingOffsets[producerID] else { return }
        let concerned = (groupIDs.map { pending.groups.intersection(Set(exact: $0)) } ?? pending.groups).sorted().map(\.text)
        guard !concerned.isEmpty else { return }
        var fields = PendingOffsetsEnded()
        fields.producerID = producerID
        fields.groupIDs = concerned
        let touched = pending.rows(ofGroups: concerned).map { StateKey.pendingOffset(producerID: producerID, $0) }
        try record(EncodedOperation(.pendingOffsetsEnded, fields, touching: touched), &draft, &transaction)
        let sequence = draft.sequence
        for groupID in concerned {
            let dropped = pending.drop(groupID: groupID, sequence: sequence)
            for (key, _) in dropped { draft.pendingChanges[key, default: 0] -= 1 }
            guard isCommit else { continue }
            try apply(GroupChange(groupID: groupID, offsets: dropped.map { ($0.key.offset.key, $0.value) }), &draft, &transaction)
        }
        if pending.isGone { pendingOffsets[producerID] = nil }
    }

    /// The group is deleted: what any transaction would commit for it goes as well.
    func dropPendingOffsets(ofGroup groupID: String, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        for producerID in pendingOffsets.keys.sorted() {
            try endPendingOffsets(of: producerID, [groupID], isCommit: false, &draft, &transaction)
        }
    }

    /// Brings the row of a pending offset to where the journal up to `sequence` is not needed for it. Returns the bytes moved.
    func settle(
        _ key: PendingOffsetKey, of producerID: Int64, through sequence: UInt64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Int {
        guard let pending = pendingOffsets[producerID] else { return 0 }
        let rowKey = PendingOffsetRowKey(producerID, key)
        switch pending.settle(key, through: sequence) {
        case .inOrder: return 0
        case .noRow:
            draft.isDirty = true
            try transaction.delete(rowKey, in: transactionDatabases.states)
            if pending.isGone { pendingOffsets[producerID] = nil }
            return 32
        case .row(let value):
            draft.isDirty = true
            var row = PendingOffsetRow()
            row.value = OffsetFields(value)
            let bytes = row.encoded()
            try transaction.put(rowKey, bytes, in: transactionDatabases.states)
            return bytes.count
        }
    }
}
