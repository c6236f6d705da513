internal import KafkaProtocol
internal import LMDB

/// Compaction's part in a commit. Extents below a partition's sealed end are changed by nobody else but the deletion of those
/// that the log start has passed, so what was read for a replacement is what stands there, or part of it is gone.
///
/// The journal is not told: as with sealing, the row of the partition is written in the same commit, and replay leaves alone
/// what the row already has.
extension StoreWriter {
    func replaceExtents(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        for (replacement, submission) in draft.replacements {
            submission.changeError = try replace(replacement, &draft, &transaction)
        }
    }

    private func replace(
        _ replacement: ExtentReplacement, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> StoreError? {
        if case .stopped(let reason) = state { return .stopped(reason) }
        let partition = replacement.partition
        guard catalog.partitions[partition.id] === partition, !partition.state.isDeleted else {
            return .refused(.unknownTopicOrPartition, "the partition was deleted meanwhile")
        }
        guard try stands(replacement.old, of: partition, &transaction) else {
            return .refused(.offsetOutOfRange, "what was to be replaced is not there any more as it was read")
        }
        for old in replacement.old {
            try deleteParts(of: partition, at: old.baseOffset, &transaction)
            try transaction.delete(
                TimeKey(partition.id, runningMaximum: old.runningMaximum, baseOffset: old.baseOffset), in: databases.times)
            partition.state.logByteCount -= Int64(old.byteCount)
            draft.replacedByteCount += old.byteCount
        }
        for new in replacement.new {
            try put(new, of: partition, &draft, &transaction)
            partition.state.logByteCount += Int64(new.bytes.count)
            draft.compactedByteCount += new.bytes.count
        }
        for marker in replacement.forgottenAborts {
            try transaction.delete(AbortedKey(partition.id, marker), in: transactionDatabases.aborted)
        }
        partition.state.cleaning.gapsEnd = max(partition.state.cleaning.gapsEnd, replacement.gapsEnd)
        if let finished = replacement.finished {
            partition.state.cleaning.cleanedEnd = max(partition.state.cleaning.cleanedEnd, finished.cleanedEnd)
            partition.state.cleaning.dueMs = finished.dueMs
        }
        touch(partition, &draft)
        try writeRow(of: partition, &draft, &transaction)
        return nil
    }

    /// Whether the extents are there as they were read, with nothing between them, and all of them sealed.
    private func stands(
        _ extents: [ExtentReplacement.Old], of partition: Partition, _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        guard let first = extents.first, let last = extents.last else { return true }
        guard last.baseOffset < firstUnsealed(partition).piece?.baseOffset ?? .max else { return false }
        for extent in extents {
            let key = TimeKey(partition.id, runningMaximum: extent.runningMaximum, baseOffset: extent.baseOffset)
            guard try transaction.value(key, in: databases.times) != nil else { return false }
        }
        var cursor = try transaction.cursor(in: databases.log)
        var more = try cursor.seek(LogKey(partition.id, first.baseOffset))
        for extent in extents {
            guard more, LogKey(cursor.key) == LogKey(partition.id, extent.baseOffset),
                RecordBatchHeader(headOf: cursor.value)?.crc == extent.crc
            else { return false }
            var byteCount = 0
            while more, let key = LogKey(cursor.key), key.partition == partition.id, key.baseOffset == extent.baseOffset {
                byteCount += cursor.value.byteCount
                more = try cursor.move(.next)
            }
            guard byteCount == extent.byteCount else { return false }
        }
        return true
    }

    private func deleteParts(of partition: Partition, at baseOffset: Int64, _ transaction: inout Transaction) throws(LMDBError) {
        var part: UInt32 = 0
        while try transaction.delete(LogKey(partition.id, baseOffset, part: part), in: databases.log) { part += 1 }
    }

    private func put(
        _ extent: ExtentReplacement.New, of partition: Partition, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        // As where it was appended: a large batch of its own is cut, everything else stands in one value.
        let isCut = extent.bytes.count >= directByteCountMin && extent.bytes.withUnsafeBytes { RecordBatchHeader($0)?.byteCount } == extent.bytes.count
        let partByteCountMax = isCut ? draft.valueByteCountMax : extentByteCountMax
        var copied = 0
        var part: UInt32 = 0
        while copied < extent.bytes.count {
            let range = copied..<min(copied + partByteCountMax, extent.bytes.count)
            try putValue(LogKey(partition.id, extent.baseOffset, part: part), byteCount: range.count, in: databases.log, &transaction) { place in
                extent.bytes.withUnsafeBytes { place.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
            }
            copied = range.upperBound
            part += 1
        }
        draft.logValueCount += Int(part)
        try putTime(partition, baseOffset: extent.baseOffset, runningMaximum: extent.runningMaximum, extent.time, &transaction)
    }
}
