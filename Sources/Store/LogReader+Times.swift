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
    /// The first record, in offset order, whose timestamp is `timestamp` or later. Nil where there is none.
    public func offset(in partition: Partition, atOrAfter timestamp: Int64) throws(StoreError) -> TimestampedOffset? {
        try renew()
        let tail = partition.tail.withLock { tail in tail.pieces.first { $0.maxTimestamp >= timestamp }?.baseOffset }
        let sealed = try lmdb("looking up a time") { () throws(LMDBError) in
            try snapshot.firstExtent(of: partition.id, databases, runningMaximum: timestamp) { $0.own >= timestamp }
        }
        guard let start = [tail, sealed?.baseOffset].compactMap({ $0 }).min() else { return nil }
        return try firstRecord(in: partition, from: start) { $0 >= timestamp }
    }

    /// The first record of the greatest timestamp in the partition (KIP-734). Nil where there is no record.
    public func maxTimestamp(in partition: Partition) throws(StoreError) -> TimestampedOffset? {
        try renew()
        let tail = partition.tail.withLock { tail in
            tail.pieces.reduce(nil as (own: Int64, baseOffset: Int64)?) { best, piece in
                (best?.own ?? -1) >= piece.maxTimestamp ? best : (piece.maxTimestamp, piece.baseOffset)
            }
        }
        let sealed = try lmdb("looking up the greatest time") { () throws(LMDBError) in try snapshot.latestExtent(of: partition.id, databases) }
        let places = [sealed.map { ($0.own, $0.baseOffset) }, tail.map { ($0.own, $0.baseOffset) }].compactMap { $0 }
        guard let greatest = places.map(\.0).max() else { return nil }
        guard let start = places.filter({ $0.0 == greatest }).map(\.1).min() else { return nil }
        return try firstRecord(in: partition, from: start) { $0 >= greatest }
    }

    /// Retention by time: the end of the partition's leading extents and batches whose records are all older than `timestamp`.
    public func expiredEnd(of partition: Partition, before timestamp: Int64) throws(StoreError) -> Int64 {
        try renew()
        let tail = partition.tail.withLock { tail in
            (sealedEnd: tail.sealedEnd, kept: tail.pieces.first { $0.maxTimestamp >= timestamp }?.baseOffset ?? tail.highWatermark)
        }
        let kept = try lmdb("looking for expired extents") { () throws(LMDBError) in
            try snapshot.firstExtent(of: partition.id, databases, runningMaximum: .min) { $0.own >= timestamp }
        }
        guard let kept, kept.baseOffset < tail.sealedEnd else { return tail.kept }
        return max(kept.baseOffset, partition.logStartOffset)
    }

    /// Retention by size: the end of the leading extents without which the partition still holds at least `bytes`.
    public func oversizeEnd(of partition: Partition, keeping bytes: Int) throws(StoreError) -> Int64 {
        try renew()
        let excess = partition.byteCount - bytes
        let (start, sealedEnd) = partition.tail.withLock { ($0.logStartOffset, $0.sealedEnd) }
        guard excess > 0 else { return start }
        let end = try lmdb("measuring extents") { () throws(LMDBError) in
            try snapshot.endOfExtents(of: partition.id, databases, from: start, holdingAtMost: excess)
        }
        return max(start, min(end ?? sealedEnd, sealedEnd))
    }

    /// Walks batches from `offset` on, looking inside those that may hold a record whose timestamp is `wanted`.
    private func firstRecord(
        in partition: Partition, from offset: Int64, where wanted: (Int64) -> Bool
    ) throws(StoreError) -> TimestampedOffset? {
        let limit = partition.highWatermark
        let logStart = partition.logStartOffset
        var offset = max(offset, logStart)
        while offset < limit {
            var batches = ArraySink()
            _ = try read(partition, from: offset, limit: limit, maxBytes: extentByteCountMax, firstBatchWhole: true, into: &batches)
            var at = 0
            while let header = batches.bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) {
                if wanted(header.maxTimestamp), !header.isControl,
                    let found = try batches.firstRecord(of: header, at: at, from: logStart, where: wanted)
                {
                    return TimestampedOffset(timestamp: found.timestamp, offset: found.offset, leaderEpoch: header.partitionLeaderEpoch)
                }
                at += header.byteCount
                offset = header.nextOffset
            }
            if at == 0 { return nil }
        }
        return nil
    }
}

/// Batches copied out, to be looked into.
private struct ArraySink: RecordSink {
    /// What the records of one batch may come to when they are decompressed.
    private static let decompressedByteCountMax = 1 << 28

    private(set) var bytes: [UInt8] = []

    mutating func append(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }

    func firstRecord(
        of header: RecordBatchHeader, at: Int, from logStart: Int64, where wanted: (Int64) -> Bool
    ) throws(StoreError) -> (timestamp: Int64, offset: Int64)? {
        if header.timestampType == .logAppendTime { return (header.maxTimestamp, max(header.baseOffset, logStart)) }
        do {
            let records = Array(bytes[(at + RecordBatchHeader.headerByteCount)..<(at + header.byteCount)])
            guard let codec = header.codec else { throw StoreError.corrupt("a batch names an unknown codec") }
            let plain = codec == .none ? records : try records.withUnsafeBytes { try codec.decompress($0, limit: Self.decompressedByteCountMax) }
            var reader = RecordReader(plain.span.bytes, of: header)
            while let record = try reader.next() {
                if record.offset >= logStart, wanted(record.timestamp) { return (record.timestamp, record.offset) }
            }
            return nil
        } catch {
            throw .corrupt("the batch at offset \(header.baseOffset) cannot be read: \(error)")
        }
    }
}

/// An extent as `times` knows it.
struct TimedExtent {
    var baseOffset: Int64
    /// Greatest timestamp in the extent.
    var own: Int64
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
            let extent = TimedExtent(baseOffset: key.baseOffset, own: cursor.ownMaximum)
            if isWanted(extent) { return extent }
            more = try cursor.move(.next)
        }
        return nil
    }

    /// The first extent of those with the greatest timestamp.
    borrowing func latestExtent(of partition: PartitionID, _ databases: Databases) throws(LMDBError) -> TimedExtent? {
        guard let greatest = try greatestRunningMaximum(of: partition, databases) else { return nil }
        if let extent = try firstExtent(of: partition, databases, runningMaximum: greatest, where: { $0.own == greatest }) { return extent }
        // The extent that reached the maximum is deleted: what is left must be compared.
        var latest: TimedExtent?
        _ = try firstExtent(of: partition, databases, runningMaximum: .min) { extent in
            if latest.map({ extent.own > $0.own }) ?? true { latest = extent }
            return false
        }
        return latest
    }

    private borrowing func greatestRunningMaximum(of partition: PartitionID, _ databases: Databases) throws(LMDBError) -> Int64? {
        var cursor = try cursor(in: databases.times)
        let next = TimeKey(PartitionID(rawValue: partition.rawValue + 1), runningMaximum: .min, baseOffset: 0)
        let has = try cursor.seek(next) ? try cursor.move(.previous) : try cursor.move(.last)
        guard has, let key = TimeKey(cursor.key), key.partition == partition else { return nil }
        return key.runningMaximum
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
    fileprivate var ownMaximum: Int64 { Int64(bigEndian: value.unsafeLoadUnaligned(as: Int64.self)) }
}
