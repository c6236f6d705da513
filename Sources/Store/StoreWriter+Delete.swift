internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Deletes what is below log start offsets, and what deleted topics leave, a bounded piece with each commit.
///
/// LMDB looks at the first page of each value that it lets go of, to learn how long it is. Where nobody has read the value
/// for long, that page comes from the disk, and every producer would wait for it with the committer. So a commit asks the
/// kernel for the pages that the next one will look at, and deletes only what the one before has asked for.
extension StoreWriter {
    /// Partitions that a commit deletes from, some of each: what was written at the same time stands side by side in the file,
    /// whoever's it is, and is free as one run again when it goes at the same time.
    private static let turnsPerCommit = 16
    /// Partitions that one commit looks at.
    private static let visitsPerCommit = 256

    /// Queues the partition for the deletion of what is below its log start offset, or of everything.
    func queueDeletion(_ partition: Partition) {
        guard !partition.state.isQueuedForDeletion else { return }
        partition.state.isQueuedForDeletion = true
        deletions.append(partition)
    }

    func deleteExtents(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        guard !deletions.isEmpty else { return }
        let budget = DeletionBudget(writtenByteCount: draft.directByteCount + draft.sealedByteCount)
        try deleteExtents(budget, &draft, &transaction)
        try prefetch(budget, &transaction)
    }

    private func deleteExtents(_ budget: DeletionBudget, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        var budget = budget
        let share = budget.share(of: min(deletions.count, Self.turnsPerCommit))
        // Of the partitions that have more than their share, and wait for their next turn.
        var waiting = 0
        // Their log start moved in this commit: readers do not know it yet, and may still ask what was aborted below it.
        var postponed: [Partition] = []
        defer { deletions.append(contentsOf: postponed) }
        for _ in 0..<Self.visitsPerCommit {
            guard !budget.isSpent, waiting < min(deletions.count, Self.turnsPerCommit) else { return }
            let partition = deletions[waiting]
            let isLess = try deleteExtents(of: partition, share, &budget, &draft, &transaction)
            // Its row must say so, or a copy made now would say that it holds more than it does.
            if isLess, !partition.state.isDeleted { try writeRow(of: partition, &draft, &transaction) }
            if try firstDeletableExtent(of: partition, &transaction) != nil {
                waiting += 1
                continue
            }
            if partition.state.isDeleted {
                guard try deleteProducers(of: partition, &budget.valueCount, &draft, &transaction),
                    try deleteAborted(of: partition, below: .max, &budget.valueCount, &draft, &transaction)
                else { return }
                try transaction.delete(PartitionKey(partition: partition.id), in: databases.partitions)
                catalog.partitions[partition.id] = nil
                producers.removed(partition.state.producers.count)
                draft.catalogChanges.append(.forget(partition.id))
                draft.isDirty = true
            } else if partition.state.hasAborted {
                let published = partition.tail.withLock { $0.logStartOffset }
                guard try deleteAborted(of: partition, below: published, &budget.valueCount, &draft, &transaction) else { return }
                if published < partition.state.logStartOffset {
                    postponed.append(deletions.remove(at: waiting))
                    continue
                }
            }
            partition.state.isQueuedForDeletion = false
            deletions.remove(at: waiting)
        }
    }

    /// Deletes from the front what the commit before has asked for, up to `share`. Whether that was something.
    private func deleteExtents(
        of partition: Partition, _ share: DeletionBudget, _ budget: inout DeletionBudget, _ draft: inout CommitDraft,
        _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        var share = share
        var isLess = false
        while !share.isSpent, !budget.isSpent, partition.state.prefetchedPartCount > 0,
            let extent = try firstDeletableExtent(of: partition, &transaction)
        {
            try delete(extent, of: partition, &draft, &transaction)
            partition.state.prefetchedPartCount -= extent.partCount
            share.take(extent)
            budget.take(extent)
            isLess = true
        }
        return isLess
    }

    private func delete(
        _ extent: FoundExtent, of partition: Partition, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        for part in 0..<extent.partCount {
            try transaction.delete(LogKey(partition.id, extent.baseOffset, part: UInt32(part)), in: databases.log)
        }
        try deleteTime(of: partition, baseOffset: extent.baseOffset, &transaction)
        partition.state.logByteCount -= Int64(extent.byteCount)
        touch(partition, &draft)
        draft.deletedExtentCount += 1
        draft.isDirty = true
    }

    /// Asks for the first pages of what is to be deleted next.
    private func prefetch(_ budget: DeletionBudget, _ transaction: inout Transaction) throws(LMDBError) {
        let turns = deletions.prefix(Self.turnsPerCommit)
        if turns.isEmpty { return }
        for partition in turns {
            var share = budget.share(of: turns.count)
            partition.state.prefetchedPartCount = 0
            var cursor = try transaction.cursor(in: databases.log)
            var more = try cursor.seek(LogKey(partition.id, 0))
            while more, !share.isSpent, let extent = try cursor.extent(of: partition.id, prefetching: true), isDeletable(extent, of: partition) {
                share.take(extent)
                partition.state.prefetchedPartCount += extent.partCount
                more = extent.end != nil
            }
        }
    }

    /// The partition's first extent if all of it is below the log start offset; nil when there is none such.
    private func firstDeletableExtent(of partition: Partition, _ transaction: inout Transaction) throws(LMDBError) -> FoundExtent? {
        var cursor = try transaction.cursor(in: databases.log)
        guard try cursor.seek(LogKey(partition.id, 0)), let extent = try cursor.extent(of: partition.id),
            isDeletable(extent, of: partition)
        else { return nil }
        return extent
    }

    private func isDeletable(_ extent: FoundExtent, of partition: Partition) -> Bool {
        if partition.state.isDeleted { return true }
        let unsealed = firstUnsealed(partition).piece?.baseOffset ?? partition.state.nextOffset
        // Where batches of the journal still come before the extent, so does the log start.
        guard unsealed > extent.baseOffset else { return false }
        return min(extent.end ?? .max, unsealed) <= partition.state.logStartOffset
    }

    private func deleteTime(of partition: Partition, baseOffset: Int64, _ transaction: inout Transaction) throws(LMDBError) {
        var cursor = try transaction.cursor(in: databases.times)
        guard try cursor.seek(TimeKey(partition.id, runningMaximum: .min, baseOffset: 0)), let key = TimeKey(cursor.key),
            key.partition == partition.id, key.baseOffset == baseOffset
        else { return }
        try cursor.delete()
    }

    /// False when there are more than `left` allows.
    private func deleteProducers(
        of partition: Partition, _ left: inout Int, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        var cursor = try transaction.cursor(in: databases.producers)
        var more = try cursor.seek(ProducerKey(partition.id, 0))
        while more, let key = ProducerKey(cursor.key), key.partition == partition.id {
            guard left > 0 else { return false }
            try cursor.delete()
            draft.isDirty = true
            left -= 1
            more = try cursor.seek(ProducerKey(partition.id, 0))
        }
        return true
    }
}

/// What one commit deletes: some values, and at least twice as many bytes as it has put into the log, so that the sweep keeps up
/// with producers however short the values are.
private struct DeletionBudget {
    /// Each value frees at most 64 pages, which the free list takes in as one short run. May become negative.
    var valueCount = 64
    private var byteCount: Int

    init(writtenByteCount: Int) { byteCount = 2 * writtenByteCount }

    var isSpent: Bool { valueCount <= 0 && byteCount <= 0 }

    /// One of `count` equal parts; at least one value.
    func share(of count: Int) -> DeletionBudget {
        var share = self
        share.valueCount = max(valueCount / max(count, 1), 1)
        share.byteCount = byteCount / max(count, 1)
        return share
    }

    mutating func take(_ extent: FoundExtent) {
        valueCount -= extent.partCount
        // What a tiny one costs is the look at it.
        byteCount -= max(extent.byteCount, extent.partCount * ExtentSizing.byteCountMin)
    }
}

/// An extent as a cursor has found it.
private struct FoundExtent {
    var baseOffset: Int64
    var byteCount = 0
    var partCount = 0
    /// Base offset of the partition's next extent; nil for the last.
    var end: Int64?
}

extension Cursor {
    /// The extent whose first part the cursor stands on, and moves it to what comes after it; nil where the partition has none
    /// there.
    @_lifetime(self: copy self)
    fileprivate mutating func extent(of partition: PartitionID, prefetching: Bool = false) throws(LMDBError) -> FoundExtent? {
        guard let first = LogKey(key), first.partition == partition else { return nil }
        var extent = FoundExtent(baseOffset: first.baseOffset)
        while let part = LogKey(key), part.partition == partition {
            guard part.baseOffset == extent.baseOffset else {
                extent.end = part.baseOffset
                break
            }
            if prefetching { willNeedValue(byteCount: 1) }
            extent.byteCount += value.byteCount
            extent.partCount += 1
            guard try move(.next) else { break }
        }
        return extent
    }
}
