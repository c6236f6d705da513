internal import Synchronization

/// What the store has done since it was opened, and how large it is.
public struct StoreStatistics: Sendable {
    /// Commits synced, and those of them that held records.
    public var commitCount = 0
    public var appendCommitCount = 0
    /// Submissions that were decided, and synced where there was something to write, on the thread of whoever submitted them.
    public var loneSubmissionCount = 0
    public var batchCount = 0
    public var recordCount = 0
    /// Offsets of groups committed and deleted.
    public var offsetCount = 0
    /// Bytes of journal entries, and of batches that went straight to their keyspaces.
    public var journaledByteCount = 0
    public var directByteCount = 0
    /// Bytes moved from the journal into extents.
    public var sealedByteCount = 0
    public var deletedExtentCount = 0
    /// Bytes of extents that compaction has replaced, and of those in their place.
    public var replacedByteCount = 0
    public var compactedByteCount = 0
    /// Time spent waiting for commits to be written and synced, in ns.
    public var commitWaitNs: UInt64 = 0
    /// Commits by duration: element n counts those of up to 2ⁿ × 64 µs.
    public var commitWaitBuckets = [Int](repeating: 0, count: 20)
    /// What stands in the journal now.
    public var journalByteCount = 0
    public var journalEntryCount = 0
    /// Of the file.
    public var fileByteCount = 0
    /// Of freed pages: what a commit may fill now, and what waits for the oldest snapshot to end.
    public var freeByteCount = 0
    public var heldByteCount = 0
    /// Rows of the free list that both stand in.
    public var freeListRowCount = 0
    public var readersInUse = 0
    /// Commits made since the oldest snapshot that is still held, and for how long that has been seen; 0 where none is.
    public var oldestReaderLag = 0
    public var oldestReaderAgeNs: UInt64 = 0
}

/// The running counts, written by the committer, read by anyone.
final class StoreCounters: Sendable {
    private let statistics = Mutex(StoreStatistics())

    var current: StoreStatistics { statistics.withLock { $0 } }

    func committed(_ draft: CommitDraft, waitedNs: UInt64) {
        statistics.withLock { statistics in
            statistics.commitCount += 1
            if draft.batchCount > 0 { statistics.appendCommitCount += 1 }
            statistics.batchCount += draft.batchCount
            statistics.recordCount += draft.recordCount
            statistics.offsetCount += draft.offsetCount
            statistics.journaledByteCount += draft.journaledByteCount
            statistics.directByteCount += draft.directByteCount
            statistics.sealedByteCount += draft.sealedByteCount
            statistics.deletedExtentCount += draft.deletedExtentCount
            statistics.replacedByteCount += draft.replacedByteCount
            statistics.compactedByteCount += draft.compactedByteCount
            statistics.commitWaitNs += waitedNs
            let bucket = min(UInt64.bitWidth - (waitedNs / 64_000).leadingZeroBitCount, statistics.commitWaitBuckets.count - 1)
            statistics.commitWaitBuckets[bucket] += 1
        }
    }

    func oldestReader(ageNs: UInt64) { statistics.withLock { $0.oldestReaderAgeNs = ageNs } }

    func journal(byteCount: Int, entryCount: Int) {
        statistics.withLock { statistics in
            statistics.journalByteCount = byteCount
            statistics.journalEntryCount = entryCount
        }
    }
}
