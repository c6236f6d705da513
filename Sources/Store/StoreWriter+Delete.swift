internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Deletes what is below log start offsets, and what deleted topics leave, a bounded piece with each commit.
///
/// LMDB looks at the first page of each value that it lets go of, to learn how long it is. Where nobody has read the value
/// for long, that page comes from the disk, and every producer would wait for it with the committer. So a commit asks the
/// kernel for the pages that the next one will look at, as many as `DeletionPace` says, and deletes only what was asked for before.
extension StoreWriter {
    /// Partitions that are deleted from in turn, some of each: what was written at the same time stands side by side in the file,
    /// whoever's it is, and is free as one run again when it goes at the same time.
    private static let partitionsPerRound = 16
    /// Partitions that one commit looks at.
    private static let visitsPerCommit = 256
    /// Rows of producers and aborted transactions that one commit deletes.
    private static let rowsPerCommit = 64

    /// Queues the partition for the deletion of what is below its log start offset, or of everything.
    func queueDeletion(_ partition: Partition) {
        guard !partition.state.isQueuedForDeletion else { return }
        partition.state.isQueuedForDeletion = true
        partition.state.prefetchedPartCount = 0
        deletions.append(partition)
    }

    func deleteExtents(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        guard !deletions.isEmpty else { return }
        try deletePrefetched(&draft, &transaction)
        if !deletions.isEmpty { try prefetch(&draft, &transaction) }
    }

    private func deletePrefetched(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        var budget = DeletionBudget(atLeast: DeletionPace.valueCountMax, draft)
        var rowsLeft = Self.rowsPerCommit
        // Of the partitions that have more to delete, and wait for their next turn.
        var waiting = 0
        // Their log start moved in this commit: readers do not know it yet, and may still ask what was aborted below it.
        var postponed: [Partition] = []
        defer { deletions.append(contentsOf: postponed) }
        for _ in 0..<Self.visitsPerCommit {
            guard waiting < min(deletions.count, Self.partitionsPerRound) else { return }
            let partition = deletions[waiting]
            let isLess = try deletePrefetched(of: partition, &budget, &draft, &transaction)
            // Its row must say so, or a copy made now would say that it holds more than it does.
            if isLess, !partition.state.isDeleted { try writeRow(of: partition, &draft, &transaction) }
            let hasMore = try firstDeletableExtent(of: partition, &transaction) != nil
            guard !hasMore, try deleteRows(of: partition, &rowsLeft, &draft, &transaction) else {
                waiting += 1
                continue
            }
            if partition.state.isDeleted {
                try transaction.delete(PartitionKey(partition: partition.id), in: databases.partitions)
                catalog.partitions[partition.id] = nil
                producers.removed(partition.state.producers.count)
                draft.catalogChanges.append(.forget(partition.id))
                draft.isDirty = true
            } else if partition.state.hasAborted, partition.publishedLogStart < partition.state.logStartOffset {
                postponed.append(deletions.remove(at: waiting))
                continue
            }
            partition.state.isQueuedForDeletion = false
            deletions.remove(at: waiting)
        }
    }

    /// Deletes from the front what a commit before has asked for. Whether that was something.
    private func deletePrefetched(
        of partition: Partition, _ budget: inout DeletionBudget, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        var isLess = false
        while !budget.isSpent, partition.state.prefetchedPartCount > 0,
            let extent = try firstDeletableExtent(of: partition, &transaction)
        {
            try delete(extent, of: partition, &draft, &transaction)
            partition.state.prefetchedPartCount -= extent.partCount
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

    /// Asks for the first pages of what the next commit is to delete.
    private func prefetch(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        let valueCount = deletionPace.nextValueCount()
        if valueCount == 0 { return }
        let round = min(deletions.count, Self.partitionsPerRound)
        var left = DeletionBudget(atLeast: valueCount, draft)
        let share = left.share(of: round)
        var served: [Partition] = []
        while served.count < round, !left.isSpent {
            let partition = deletions[served.count]
            try prefetch(of: partition, share, &left, &transaction)
            draft.prefetchedValueCount += partition.state.prefetchedPartCount
            served.append(partition)
        }
        // The others of the round come first with the next commit.
        deletions.insert(contentsOf: served, at: round)
        deletions.removeFirst(served.count)
    }

    /// Asks for the first pages of `share` from the front.
    private func prefetch(
        of partition: Partition, _ share: DeletionBudget, _ left: inout DeletionBudget, _ transaction: inout Transaction
    ) throws(LMDBError) {
        var share = share
        partition.state.prefetchedPartCount = 0
        var cursor = try transaction.cursor(in: databases.log)
        var more = try cursor.seek(LogKey(partition.id, 0))
        while more, !share.isSpent, !left.isSpent, let extent = try cursor.extent(of: partition.id, prefetching: true),
            isDeletable(extent, of: partition)
        {
            share.take(extent)
            left.take(extent)
            partition.state.prefetchedPartCount += extent.partCount
            more = extent.end != nil
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

    /// Deletes what else is known of what is gone. False when there is more than `left` allows.
    private func deleteRows(
        of partition: Partition, _ left: inout Int, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        guard partition.state.isDeleted else {
            return try deleteAborted(of: partition, below: partition.publishedLogStart, &left, &draft, &transaction)
        }
        guard try deleteProducers(of: partition, &left, &draft, &transaction) else { return false }
        return try deleteAborted(of: partition, below: .max, &left, &draft, &transaction)
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

/// What one commit asks for, or deletes: some values, but no fewer than twice as many, or of twice as many bytes, as it has put
/// into the log, so that the sweep keeps up with producers whatever its pace, and however short values are or were.
private struct DeletionBudget {
    /// May become negative, as the other.
    private var valueCount: Int
    private var byteCount: Int

    init(atLeast valueCount: Int, _ draft: CommitDraft) {
        self.valueCount = max(valueCount, 2 * draft.logValueCount)
        byteCount = 2 * (draft.directByteCount + draft.sealedByteCount)
    }

    var isSpent: Bool { valueCount <= 0 && byteCount <= 0 }

    /// One of `count` equal parts; at least one value.
    func share(of count: Int) -> DeletionBudget {
        var share = self
        share.valueCount = max(valueCount / count, 1)
        share.byteCount = byteCount / count
        return share
    }

    mutating func take(_ extent: FoundExtent) {
        valueCount -= extent.partCount
        // What a tiny one costs is the look at it.
        byteCount -= max(extent.byteCount, extent.partCount * ExtentSizing.byteCountMin)
    }
}

extension Partition {
    fileprivate var publishedLogStart: Int64 { tail.withLock { $0.logStartOffset } }
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
