internal import KafkaProtocol

/// Decides what compaction leaves of each batch, as they come in offset order from the front of a log. Kafka's rules
/// (LogCleaner 4.0, KIP-534), but for two: a marker whose transaction has lost its last batch in this very pass is given its time at once,
/// and a batch is never kept for the sake of its producer's sequences, which the store has elsewhere.
struct BatchCleaner {
    enum Fate: Equatable {
        case stays
        case goes
        case becomes([UInt8])
    }

    let logStart: Int64
    let nowMs: Int64
    let deleteRetentionMs: Int64
    /// The map knows the keys of all that is new below it.
    var mappedEnd: Int64 = 0
    /// The latest time of those that tombstones and markers were left; −1: none were.
    private(set) var dueMs: Int64 = -1
    private(set) var droppedCount = 0
    private(set) var keylessCount = 0
    private(set) var unreadableCount = 0
    /// Producers whose transaction was met and has not ended yet: whether any batch of it stays.
    private var transactions: [Int64: Bool] = [:]

    init(logStart: Int64, nowMs: Int64, deleteRetentionMs: Int64) {
        self.logStart = logStart
        self.nowMs = nowMs
        self.deleteRetentionMs = deleteRetentionMs
    }

    private var horizonMs: Int64 {
        let sum = nowMs.addingReportingOverflow(deleteRetentionMs)
        return sum.overflow ? .max : sum.partialValue
    }

    // MARK: - Records

    /// A batch of records that count. The last batch of all stays, if need be without records.
    mutating func judge(_ batch: DecodedBatch, _ map: borrowing KeyMap, isLast: Bool) throws -> Fate {
        let header = batch.header
        var kept: [Bool] = []
        kept.reserveCapacity(min(Int(header.recordCount), batch.records.count))
        var keptCount = 0
        var hasTombstone = false
        let isPastHorizon = header.hasDeleteHorizon && header.baseTimestamp <= nowMs
        var reader = batch.reader
        while let record = try reader.next() {
            var isKept = true
            if record.offset < mappedEnd {
                if let key = record.key {
                    isKept = reader.bytes(key).withUnsafeBytes({ map.offset(of: $0) }) <= record.offset
                } else {
                    isKept = false
                    keylessCount += 1
                }
                if isKept, record.value == nil {
                    if isPastHorizon { isKept = false } else { hasTombstone = true }
                }
            }
            kept.append(isKept)
            if isKept { keptCount += 1 }
        }
        droppedCount += kept.count - keptCount
        if keptCount == 0, !isLast {
            if header.isTransactional { met(header, stays: false) }
            return .goes
        }
        if header.isTransactional { met(header, stays: true) }
        // What the map does not reach has not been compacted yet, and its time has not begun.
        let stamp = hasTombstone && !header.hasDeleteHorizon && header.lastOffset < mappedEnd ? horizonMs : nil
        if hasTombstone, let due = stamp ?? (header.hasDeleteHorizon ? header.baseTimestamp : nil) { note(due) }
        if keptCount == kept.count, stamp == nil { return .stays }
        return .becomes(try batch.rewritten(keeping: kept, deleteHorizonMs: keptCount > 0 ? stamp : nil))
    }

    /// A batch of records that nobody reads: those of an aborted transaction, or below the log start.
    mutating func judgeUnwanted(_ header: RecordBatchHeader, isLast: Bool) -> Fate {
        droppedCount += Int(header.recordCount)
        if header.isTransactional, header.lastOffset >= logStart { met(header, stays: isLast) }
        guard isLast else { return .goes }
        if header.recordCount == 0 { return .stays }
        return .becomes(DecodedBatch.emptied(header))
    }

    /// A batch that its producer has filled with something else than records, which nobody looked at before the topic was compacted.
    mutating func judgeUnreadable(_ header: RecordBatchHeader) -> Fate {
        unreadableCount += 1
        if header.isTransactional { met(header, stays: true) }
        return .stays
    }

    private mutating func met(_ header: RecordBatchHeader, stays: Bool) {
        transactions[header.producerID] = (transactions[header.producerID] ?? false) || stays
    }

    // MARK: - Markers

    /// A marker stays while its transaction has a batch, and for its time after that: readers that are in the middle of the transaction
    /// are still to learn how it ended. From the moment on that nothing is left to be passed over, the index has no word of it either.
    mutating func judgeMarker(
        _ header: RecordBatchHeader, _ bytes: RawSpan, isLast: Bool, _ forgottenAborts: inout [Int64]
    ) throws -> Fate {
        if header.lastOffset < logStart, !isLast {
            droppedCount += 1
            return .goes
        }
        if transactions.removeValue(forKey: header.producerID) == true { return .stays }
        forgottenAborts.append(header.baseOffset)
        if header.hasDeleteHorizon {
            if header.baseTimestamp > nowMs {
                note(header.baseTimestamp)
            } else if !isLast {
                droppedCount += 1
                return .goes
            }
            return .stays
        }
        note(horizonMs)
        let batch = try DecodedBatch(bytes, limit: CleaningLimits.decompressedByteCount)
        return .becomes(try batch.rewritten(keeping: [true], deleteHorizonMs: horizonMs))
    }

    private mutating func note(_ due: Int64) { if due >= nowMs, due < .max { dueMs = max(dueMs, due) } }
}
