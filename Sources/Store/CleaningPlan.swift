internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// What a pass of compaction over a partition would have to do.
struct CleaningPlan: Equatable, Sendable {
    var logStart: Int64
    /// Where the part begins that no pass has seen.
    var cleanedEnd: Int64
    /// The extent that holds `cleanedEnd`, or the first after it; nil where there is nothing new.
    var firstDirtyBase: Int64?
    /// Where what may be cleaned ends, between two extents; 0 where there is none. The rest is not sealed, not stable or too young.
    var end: Int64
    var cleanByteCount = 0
    var dirtyByteCount = 0
    /// Of the first batch that no pass has seen, in ms since 1970; what its extent is kept by where it has none.
    var firstDirtyTime: Int64 = .max
    /// As in `CleaningState`.
    var dueMs: Int64

    /// The share of new bytes in what can be cleaned.
    var dirtyRatio: Double {
        dirtyByteCount == 0 ? 0 : Double(dirtyByteCount) / Double(cleanByteCount + dirtyByteCount)
    }

    /// Whether a pass is due by the topic's settings.
    func isDue(_ settings: TopicSettings, now: Int64) -> Bool { isOverdue(settings, now: now) || dirtyRatio > settings.minCleanableDirtyRatio }

    /// Whether a pass must not wait for more to come.
    func isOverdue(_ settings: TopicSettings, now: Int64) -> Bool {
        // The lag is what is taken from now: an age may be larger than any number, where a producer's timestamp lies far back.
        if dirtyByteCount > 0, firstDirtyTime < now - settings.maxCompactionLagMs { return true }
        return dueMs >= 0 && dueMs <= now
    }
}

/// An extent that was read to be cleaned.
struct SealedExtent {
    var baseOffset: Int64
    var bytes: [UInt8] = []
    var runningMaximum = Int64.min
    var time = ExtentTime()

    func timeKey(of partition: PartitionID) -> TimeKey { TimeKey(partition, runningMaximum: runningMaximum, baseOffset: baseOffset) }
}

/// A few extents, read in one snapshot, and what was aborted in them.
struct CleaningStep {
    var extents: [SealedExtent] = []
    /// Base offset of the extent that follows; nil behind the last one.
    var next: Int64?
    fileprivate var aborted: [AbortedSpan] = []

    /// Whether the batch is of a transaction that was aborted.
    func isAborted(_ header: RecordBatchHeader) -> Bool {
        header.isTransactional
            && aborted.contains {
                $0.producerID == header.producerID && $0.firstOffset <= header.baseOffset && header.baseOffset < $0.markerOffset
            }
    }
}

struct AbortedSpan {
    var producerID: Int64
    var firstOffset: Int64
    var markerOffset: Int64
}

extension LogReader {
    /// Looks at what there is to clean in `partition`; nil where it is nothing at all.
    func cleaningPlan(of partition: Partition, _ settings: TopicSettings, now: Int64) throws(StoreError) -> CleaningPlan? {
        // First the bounds: the snapshot then has all that they call sealed.
        let tail = partition.tail.withLock { $0 }
        guard !tail.isDeleted else { return nil }
        try renew()
        let state = try cleaningState(of: partition.id)
        var plan = CleaningPlan(
            logStart: tail.logStartOffset, cleanedEnd: max(state.cleanedEnd, tail.logStartOffset), end: 0, dueMs: state.dueMs)
        let limit = min(tail.sealedEnd, tail.lastStableOffset)
        guard limit > plan.cleanedEnd || plan.dueMs >= 0 && plan.dueMs <= now else { return nil }
        let youngest = settings.minCompactionLagMs > 0 ? now - settings.minCompactionLagMs : .max
        try lmdb("looking at what to compact") { () throws(LMDBError) in
            try snapshot.measure(partition.id, databases, sealedEnd: tail.sealedEnd, limit: limit, youngest: youngest, &plan)
            if let base = plan.firstDirtyBase, let header = try snapshot.firstHeader(of: LogKey(partition.id, base), databases),
                header.maxTimestamp >= 0
            {
                plan.firstDirtyTime = header.maxTimestamp
            }
        }
        return plan
    }

    /// How far compaction has come, in this snapshot.
    func cleaningState(of partition: PartitionID) throws(StoreError) -> CleaningState {
        let row = try lmdb("reading a partition's row") { () throws(LMDBError) in
            try snapshot.row(of: partition, databases)
        }
        return row?.cleaning ?? CleaningState()
    }

    /// Reads extents from the one that begins at `base`, or the first after it, that begin below `end`: at least one, if there is one.
    ///
    /// `after`: where their entries in `times` are looked for.
    func cleaningStep(
        of partition: PartitionID, from base: Int64, below end: Int64, after time: TimeKey? = nil
    ) throws(StoreError) -> CleaningStep {
        try lmdb("reading what to compact") { () throws(LMDBError) in
            var step = try snapshot.extents(of: partition, databases, from: base, below: end, after: time)
            if let first = step.extents.first, let database = databases.transactions?.aborted {
                step.aborted = try snapshot.abortedSpans(in: partition, database, from: first.baseOffset, below: step.next ?? end)
            }
            return step
        }
    }
}

extension Snapshot {
    /// The partition's row in this snapshot; nil where none has been written yet.
    borrowing func row(of partition: PartitionID, _ databases: Databases) throws(LMDBError) -> PartitionRow? {
        guard let bytes = try value(PartitionKey(partition: partition), in: databases.partitions) else { return nil }
        guard let row = try? PartitionRow(bytes, "") else { throw .corrupted }
        return row
    }

    fileprivate borrowing func firstHeader(of extent: LogKey, _ databases: Databases) throws(LMDBError) -> RecordBatchHeader? {
        guard let bytes = try value(extent, in: databases.log) else { return nil }
        return RecordBatchHeader(headOf: bytes)
    }

    /// Bytes of what is clean and what is dirty, and where what may be cleaned ends.
    fileprivate borrowing func measure(
        _ partition: PartitionID, _ databases: Databases, sealedEnd: Int64, limit: Int64, youngest: Int64, _ plan: inout CleaningPlan
    ) throws(LMDBError) {
        var log = try cursor(in: databases.log)
        var times = try cursor(in: databases.times)
        var hasTime = try times.seek(TimeKey(partition, runningMaximum: .min, baseOffset: 0))
        var more = try log.seek(LogKey(partition, 0))
        while more, let key = LogKey(log.key), key.partition == partition, key.baseOffset < limit {
            var byteCount = 0
            var next = sealedEnd
            while more, let part = LogKey(log.key), part.partition == partition {
                guard part.baseOffset == key.baseOffset else {
                    next = min(part.baseOffset, sealedEnd)
                    break
                }
                byteCount += log.value.byteCount
                more = try log.move(.next)
            }
            if next > limit { return }
            if next <= plan.cleanedEnd {
                plan.cleanByteCount += byteCount
            } else {
                var entry: ExtentTime?
                while hasTime, let time = TimeKey(times.key), time.partition == partition, time.baseOffset <= key.baseOffset {
                    if time.baseOffset == key.baseOffset { entry = times.extentTime }
                    hasTime = try times.move(.next)
                }
                // An extent that the index does not know is none to touch.
                guard let found = entry else { throw .corrupted }
                if found.kept > youngest { return }
                plan.dirtyByteCount += byteCount
                if plan.firstDirtyBase == nil {
                    plan.firstDirtyBase = key.baseOffset
                    plan.firstDirtyTime = found.kept
                }
            }
            plan.end = next
        }
    }

    fileprivate borrowing func extents(
        of partition: PartitionID, _ databases: Databases, from base: Int64, below end: Int64, after time: TimeKey?
    ) throws(LMDBError) -> CleaningStep {
        var step = CleaningStep()
        var log = try cursor(in: databases.log)
        var times = try cursor(in: databases.times)
        var hasTime = try times.seek(time ?? TimeKey(partition, runningMaximum: .min, baseOffset: 0))
        var byteCount = 0
        try log.readAhead(partition, from: base, byteCount: CleaningLimits.stepByteCount)
        var more = try log.seek(LogKey(partition, base))
        while more, let key = LogKey(log.key), key.partition == partition, key.baseOffset < end {
            if byteCount >= CleaningLimits.stepByteCount || step.extents.count == CleaningLimits.stepExtentCount {
                step.next = key.baseOffset
                return step
            }
            var extent = SealedExtent(baseOffset: key.baseOffset)
            while more, let part = LogKey(log.key), part.partition == partition, part.baseOffset == key.baseOffset {
                log.value.withUnsafeBytes { extent.bytes.append(contentsOf: $0) }
                more = try log.move(.next)
            }
            while hasTime, let found = TimeKey(times.key), found.partition == partition, found.baseOffset <= key.baseOffset {
                if found.baseOffset == key.baseOffset { (extent.runningMaximum, extent.time) = (found.runningMaximum, times.extentTime) }
                hasTime = try times.move(.next)
            }
            byteCount += extent.bytes.count
            step.extents.append(extent)
        }
        return step
    }

    /// The aborted transactions that ended at or after `offset` and began below `end`.
    fileprivate borrowing func abortedSpans(
        in partition: PartitionID, _ database: Database, from offset: Int64, below end: Int64
    ) throws(LMDBError) -> [AbortedSpan] {
        var spans: [AbortedSpan] = []
        var cursor = try cursor(in: database)
        var more = try cursor.seek(AbortedKey(partition, offset))
        while more, let key = AbortedKey(cursor.key), key.partition == partition {
            guard let row = try? AbortedRow(cursor.value, "") else { throw .corrupted }
            if row.firstOffset < end {
                spans.append(AbortedSpan(producerID: row.producerID, firstOffset: row.firstOffset, markerOffset: key.lastOffset))
            }
            if row.lastStableOffset >= end { break }
            more = try cursor.move(.next)
        }
        return spans
    }
}

/// What compaction does at a time.
enum CleaningLimits {
    /// Read in one snapshot; one extent is read however large.
    static let stepByteCount = 1 << 20
    static let stepExtentCount = 256
    /// Written by one commit, and a large batch more at most.
    static let commitByteCount = 4 * extentByteCountMax
    /// Replaced by one commit.
    static let commitExtentCount = 64
    /// What may come out of a compressed batch.
    static let decompressedByteCount = 1 << 28
}
