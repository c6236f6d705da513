internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// A record found by its time.
public struct TimestampedOffset: Sendable, Equatable {
    /// In ms since 1970.
    public var timestamp: Int64
    public var offset: Int64
    public var leaderEpoch: Int32
}

/// Finding offsets by time (ListOffsets) and by age (retention).
extension LogReader {
    // What came compressed was not looked into when it was produced, and its header may lie. So a search opens no more of it than the
    // caller allows, and where one cannot be opened, holds no such record, or there is no more of the allowance, its header is believed.

    /// The first record, in offset order, whose timestamp is `timestamp` or later. Nil where there is none.
    /// - Parameter openableBytes: What may come out of compressed batches; what does is taken off.
    public func offset(
        in partition: Partition, atOrAfter timestamp: Int64, openableBytes: inout Int
    ) throws(StoreError) -> TimestampedOffset? {
        let tail = try renew(beside: partition)
        let start = tail.logStartOffset
        guard let place = try firstPlace(in: partition, tail, from: 0, atOrAfter: timestamp) else { return nil }
        guard place < start else { return try firstRecord(in: partition, from: place, &openableBytes) { $0 >= timestamp } }
        // What reaches the time is behind the log start, wholly or in part, and says nothing of what comes after it.
        let whole = try firstWhole(in: partition, tail)
        if let found = try firstRecord(in: partition, from: start, below: whole, &openableBytes, where: { $0 >= timestamp }) { return found }
        guard let next = try firstPlace(in: partition, tail, from: start, atOrAfter: timestamp) else { return nil }
        return try firstRecord(in: partition, from: next, &openableBytes) { $0 >= timestamp }
    }

    /// Where the first extent or unsealed batch begins that has a record of `timestamp` or later, among those that begin at `offset` or
    /// later.
    private func firstPlace(
        in partition: Partition, _ tail: PartitionTail, from offset: Int64, atOrAfter timestamp: Int64
    ) throws(StoreError) -> Int64? {
        let sealed = try lmdb("looking up a time") { () throws(LMDBError) in
            try snapshot.firstExtent(of: partition.id, databases, runningMaximum: timestamp) {
                $0.own >= timestamp && $0.baseOffset >= offset
            }
        }
        let unsealed = tail.pieces.first { $0.maxTimestamp >= timestamp && $0.baseOffset >= offset }
        return [sealed?.baseOffset, unsealed?.baseOffset].compactMap { $0 }.min()
    }

    /// Where the first extent or unsealed batch begins at the log start or later. The log may begin in the middle of the one before,
    /// whose greatest timestamp may be of a record that is let go of.
    private func firstWhole(in partition: Partition, _ tail: PartitionTail) throws(StoreError) -> Int64 {
        let start = tail.logStartOffset
        let sealed = try lmdb("looking for the first extent") { () throws(LMDBError) in
            try snapshot.firstExtent(of: partition.id, databases, runningMaximum: .min) { $0.baseOffset >= start }
        }
        return min(sealed?.baseOffset ?? .max, tail.pieces.first { $0.baseOffset >= start }?.baseOffset ?? tail.highWatermark)
    }

    /// The first record of the greatest timestamp in the partition (KIP-734). Nil where there is no record.
    /// - Parameter openableBytes: What may come out of compressed batches; what does is taken off.
    public func maxTimestamp(in partition: Partition, openableBytes: inout Int) throws(StoreError) -> TimestampedOffset? {
        let tail = try renew(beside: partition)
        let start = tail.logStartOffset
        let latest = try lmdb("looking up the greatest time") { () throws(LMDBError) in
            try snapshot.latestExtent(of: partition.id, databases, from: start)
        }
        var places = tail.pieces.filter { $0.baseOffset >= start }.map { (time: $0.maxTimestamp, offset: $0.baseOffset) }
        if let latest { places.append((latest.own, latest.baseOffset)) }
        let whole = try firstWhole(in: partition, tail)
        if start < whole, let time = try greatestTimestamp(in: partition, from: start, below: whole, &openableBytes) {
            places.append((time, start))
        }
        guard let greatest = places.map(\.time).max() else { return nil }
        guard let from = places.filter({ $0.time == greatest }).map(\.offset).min() else { return nil }
        return try firstRecord(in: partition, from: from, &openableBytes) { $0 >= greatest }
    }

    /// Retention by time: the end of the partition's leading extents and batches whose records are all older than `timestamp`. Those
    /// without a time are as old as their append.
    /// - Parameter isCompacted: Where the log begins there may be nothing, which is not old: its beginning stays unless something goes.
    public func expiredEnd(of partition: Partition, before timestamp: Int64, isCompacted: Bool) throws(StoreError) -> Int64 {
        let tail = try renew(beside: partition)
        let keptOfTail = tail.pieces.first { $0.keptTimestamp >= timestamp }?.baseOffset ?? tail.highWatermark
        let kept = try lmdb("looking for expired extents") { () throws(LMDBError) in
            try snapshot.firstExtent(of: partition.id, databases, runningMaximum: .min) { $0.time.kept >= timestamp }
        }
        let end = max(min(kept?.baseOffset ?? .max, keptOfTail), tail.logStartOffset)
        guard isCompacted, end > tail.logStartOffset else { return end }
        var hasExpired = false
        try forEachBatch(in: partition, from: tail.logStartOffset, below: end) { header, _, _ in
            hasExpired = header.baseOffset < end
            return false
        }
        return hasExpired ? end : tail.logStartOffset
    }

    /// Retention by size: the end of the leading extents and unsealed batches without which the partition still holds at least `bytes`.
    public func oversizeEnd(of partition: Partition, keeping bytes: Int) throws(StoreError) -> Int64 {
        let tail = try renew(beside: partition)
        let start = tail.logStartOffset
        guard tail.byteCount > bytes else { return start }
        return try lmdb("measuring extents") { () throws(LMDBError) in
            // Not by the partition's own sum: what was let go of before may wait for its deletion still, and is no reason to
            // let go of more.
            let sealed = try snapshot.byteCountOfExtents(of: partition.id, databases, from: start, below: tail.sealedEnd)
            var excess = tail.pieces.reduce(sealed) { $0 + Int($1.byteCount) } - bytes
            guard excess > 0 else { return start }
            if excess < sealed {
                let end = try snapshot.endOfExtents(of: partition.id, databases, from: start, holdingAtMost: excess)
                return max(start, end ?? start)
            }
            // However much stands behind an unsealed batch, that one may stay in the journal for long.
            excess -= sealed
            var end = max(start, tail.sealedEnd)
            for batch in tail.pieces {
                excess -= Int(batch.byteCount)
                if excess < 0 { break }
                end = batch.lastOffset + 1
            }
            return end
        }
    }

    /// Renews the snapshot and returns the partition's tail as it stood then: between the two, nothing was sealed, deleted or let
    /// go of. Otherwise an extent could be missed in both, and records let go of before their time.
    private func renew(beside partition: Partition) throws(StoreError) -> PartitionTail {
        var before = partition.tail.withLock { $0 }
        while true {
            try renew()
            let after = partition.tail.withLock { $0 }
            if after.isAsSealed(as: before) { return after }
            before = after
        }
    }

    /// The greatest timestamp of a record from `offset` on, of the batches that begin below `end`. Nil where there is none.
    private func greatestTimestamp(
        in partition: Partition, from offset: Int64, below end: Int64, _ openableBytes: inout Int
    ) throws(StoreError) -> Int64? {
        var greatest: Int64?
        try forEachBatch(in: partition, from: offset, below: end) { (header, at, batches) throws(StoreError) in
            if header.isControl { return true }
            var time = header.maxTimestamp
            if header.baseOffset < offset {
                var latest: Int64?
                let believed = try batches.firstRecord(of: header, at: at, from: offset, &openableBytes) { time in
                    latest = max(latest ?? time, time)
                    return false
                }
                // Compaction may have left none from there on.
                guard let latest = believed?.timestamp ?? latest else { return true }
                time = latest
            }
            greatest = max(greatest ?? time, time)
            return true
        }
        return greatest
    }

    /// Walks the batches from `offset` on that begin below `end`, looking inside those that may hold a record whose timestamp is `wanted`.
    private func firstRecord(
        in partition: Partition, from offset: Int64, below end: Int64 = .max, _ openableBytes: inout Int, where wanted: (Int64) -> Bool
    ) throws(StoreError) -> TimestampedOffset? {
        let logStart = partition.logStartOffset
        var result: TimestampedOffset?
        try forEachBatch(in: partition, from: max(offset, logStart), below: min(end, partition.highWatermark)) {
            (header, at, batches) throws(StoreError) in
            guard wanted(header.maxTimestamp), !header.isControl,
                let found = try batches.firstRecord(of: header, at: at, from: logStart, &openableBytes, where: wanted)
            else { return true }
            result = TimestampedOffset(timestamp: found.timestamp, offset: found.offset, leaderEpoch: header.partitionLeaderEpoch)
            return false
        }
        return result
    }

    /// Calls `body` with each batch from the one that holds `offset` on, while it returns true.
    private func forEachBatch(
        in partition: Partition, from offset: Int64, below limit: Int64,
        _ body: (_ header: RecordBatchHeader, _ at: Int, _ batches: ArraySink) throws(StoreError) -> Bool
    ) throws(StoreError) {
        var offset = offset
        while offset < limit {
            var batches = ArraySink()
            _ = try read(partition, from: offset, limit: limit, maxBytes: extentByteCountMax, firstBatchWhole: true, into: &batches)
            var at = 0
            while let header = batches.bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) {
                guard try body(header, at, batches) else { return }
                at += header.byteCount
                offset = header.nextOffset
            }
            if at == 0 { return }
        }
    }
}

/// Batches copied out, to be looked into.
private struct ArraySink: RecordSink {
    /// What the records of one batch may come to when they are decompressed: as much as a producer may send where they are looked into.
    private static let decompressedByteCountMax = 64 << 20

    private(set) var bytes: [UInt8] = []

    mutating func append(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
    func snapshotEnds() {}

    /// The first record of a batch, from `logStart` on, whose time is `wanted`; what the header says where that has to do.
    func firstRecord(
        of header: RecordBatchHeader, at: Int, from logStart: Int64, _ openableBytes: inout Int, where wanted: (Int64) -> Bool
    ) throws(StoreError) -> (timestamp: Int64, offset: Int64)? {
        let told = (timestamp: header.maxTimestamp, offset: max(header.baseOffset, logStart))
        // Of the records that compaction has left, the first has not the first offset.
        if header.timestampType == .logAppendTime, header.recordCount == header.lastOffsetDelta + 1 {
            return wanted(told.timestamp) ? told : nil
        }
        let isCompressed = header.codec != CompressionCodec.none
        if isCompressed, openableBytes <= 0 { return told }
        do {
            let records = Array(bytes[(at + RecordBatchHeader.headerByteCount)..<(at + header.byteCount)])
            let plain = isCompressed ? try open(records, header.codec, &openableBytes) : records
            var reader = RecordReader(plain.span.bytes, of: header)
            while let record = try reader.next() {
                if record.offset >= logStart, wanted(record.timestamp) { return (record.timestamp, record.offset) }
            }
            // Where all of it was looked at, the header has lied. To go on would be to read all that follows for it, at each search.
            return isCompressed && header.baseOffset >= logStart && wanted(told.timestamp) ? told : nil
        } catch {
            if isCompressed { return told }
            throw .corrupt("the batch at offset \(header.baseOffset) cannot be read: \(error)")
        }
    }

    private func open(_ records: [UInt8], _ codec: CompressionCodec?, _ openableBytes: inout Int) throws -> [UInt8] {
        guard let codec else { throw StoreError.corrupt("a batch names an unknown codec") }
        let limit = min(openableBytes, Self.decompressedByteCountMax)
        // Where it fails, as much may have come out.
        openableBytes -= limit
        let plain = try records.withUnsafeBytes { try codec.decompress($0, limit: limit) }
        openableBytes += limit - plain.count
        return plain
    }
}

/// An extent as `times` knows it.
struct TimedExtent {
    var baseOffset: Int64
    var time: ExtentTime
    /// Greatest timestamp in the extent.
    var own: Int64 { time.own }
}

extension Snapshot {
    /// The first extent in offset order that `isWanted`, among those up to which the partition's greatest timestamp is
    /// `runningMaximum` or more.
    borrowing func firstExtent(
        of partition: PartitionID, _ databases: Databases, runningMaximum: Int64, where isWanted: (TimedExtent) -> Bool
    ) throws(LMDBError) -> TimedExtent? {
        var cursor = try cursor(in: databases.times)
        var more = try cursor.seek(TimeKey(partition, runningMaximum: runningMaximum, baseOffset: 0))
        while more, let key = TimeKey(cursor.key), key.partition == partition {
            let extent = TimedExtent(baseOffset: key.baseOffset, time: cursor.extentTime)
            if isWanted(extent) { return extent }
            more = try cursor.move(.next)
        }
        return nil
    }

    /// The first extent of those with the greatest timestamp, among the ones that begin at `offset` or later.
    borrowing func latestExtent(of partition: PartitionID, _ databases: Databases, from offset: Int64) throws(LMDBError) -> TimedExtent? {
        guard let greatest = try greatestRunningMaximum(of: partition, databases) else { return nil }
        let found = try firstExtent(of: partition, databases, runningMaximum: greatest) { $0.own == greatest && $0.baseOffset >= offset }
        if let found { return found }
        // The extent that reached the maximum is deleted: what is left must be compared.
        var latest: TimedExtent?
        _ = try firstExtent(of: partition, databases, runningMaximum: .min) { extent in
            if extent.baseOffset >= offset, latest.map({ extent.own > $0.own }) ?? true { latest = extent }
            return false
        }
        return latest
    }

    private borrowing func greatestRunningMaximum(of partition: PartitionID, _ databases: Databases) throws(LMDBError) -> Int64? {
        var cursor = try cursor(in: databases.times)
        let end = TimeKey(partition, runningMaximum: .max, baseOffset: -1)
        let has = try cursor.seek(end) ? try cursor.move(.previous) : try cursor.move(.last)
        guard has, let key = TimeKey(cursor.key), key.partition == partition else { return nil }
        return key.runningMaximum
    }

    /// Bytes of the extents from the one that holds `offset` on that begin below `end`.
    borrowing func byteCountOfExtents(
        of partition: PartitionID, _ databases: Databases, from offset: Int64, below end: Int64
    ) throws(LMDBError) -> Int {
        var cursor = try cursor(in: databases.log)
        var more = try cursor.seek(partition, holding: offset)
        var byteCount = 0
        while more, let key = LogKey(cursor.key), key.partition == partition, key.baseOffset < end {
            byteCount += cursor.value.byteCount
            more = try cursor.move(.next)
        }
        return byteCount
    }

    /// Where the extents from `offset` on end that hold at most `byteCount` together; nil at the end of the partition.
    borrowing func endOfExtents(
        of partition: PartitionID, _ databases: Databases, from offset: Int64, holdingAtMost byteCount: Int
    ) throws(LMDBError) -> Int64? {
        var cursor = try cursor(in: databases.log)
        var more = try cursor.seek(partition, holding: offset)
        var held = 0
        var extent = offset
        while more, let key = LogKey(cursor.key), key.partition == partition {
            if key.part == 0 {
                // What was counted is all of the extents before this one.
                if held > byteCount { return extent }
                extent = key.baseOffset
            }
            held += cursor.value.byteCount
            more = try cursor.move(.next)
        }
        return held > byteCount ? extent : nil
    }
}

extension Cursor {
    /// The value of an entry of `times`; a damaged one counts as the latest time, so that nothing is let go of for it.
    var extentTime: ExtentTime {
        ExtentTime(stored: value.byteCount == 8 ? Int64(bigEndian: value.unsafeLoadUnaligned(as: Int64.self)) : .max)
    }
}
