internal import KafkaProtocol
internal import LMDB

/// Handing batches of the map to whoever reads.
extension Snapshot {
    /// Takes unsealed batches, until one is not wanted, or not in this snapshot.
    borrowing func takePieces(
        _ pieces: [Piece], of partition: PartitionID, _ databases: Databases, _ run: inout ReadRun, _ sink: inout some RecordSink
    ) throws(LMDBError) {
        for piece in pieces {
            guard run.takes(byteCount: Int(piece.byteCount), baseOffset: piece.baseOffset) else { return }
            let isHere: Bool
            do {
                isHere =
                    piece.isDirect
                    ? try takeParts(of: partition, at: piece.baseOffset, byteCount: Int(piece.byteCount), databases, &sink)
                    : try takeEntry(piece, databases, &sink)
            } catch { return try run.meetsDamage() }
            guard isHere else { return }
            run.took(byteCount: Int(piece.byteCount), nextOffset: piece.lastOffset + 1)
        }
    }

    /// Takes a batch out of a journal entry. False where the entry is not in the snapshot: trimmed, or too new.
    private borrowing func takeEntry(_ piece: Piece, _ databases: Databases, _ sink: inout some RecordSink) throws(LMDBError) -> Bool {
        guard let entry = try journalEntry(piece.sequence, databases) else { return false }
        entry.withUnsafeBytes { bytes in
            let start = JournalEntryHead.payloadStart(bytes) + Int(piece.position)
            sink.append(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(piece.byteCount))]))
        }
        return true
    }

    /// Takes a batch that is an extent of its own, in however many parts. False where it is not in the snapshot.
    private borrowing func takeParts(
        of partition: PartitionID, at baseOffset: Int64, byteCount: Int, _ databases: Databases, _ sink: inout some RecordSink
    ) throws(LMDBError) -> Bool {
        let count = try partCount(of: partition, at: baseOffset, byteCount: byteCount, databases)
        for part in 0..<count {
            if let bytes = try value(LogKey(partition, baseOffset, part: part), in: databases.log) {
                bytes.withUnsafeBytes { sink.append($0) }
            }
        }
        return count > 0
    }

    /// The parts that make up a batch of `byteCount` bytes; 0 where there is none in this snapshot. Looked at before anything is
    /// taken: a length that lies must not draw in what belongs to others.
    private borrowing func partCount(
        of partition: PartitionID, at baseOffset: Int64, byteCount: Int, _ databases: Databases
    ) throws(LMDBError) -> UInt32 {
        var measured = 0
        var part: UInt32 = 0
        while measured < byteCount {
            guard let bytes = try value(LogKey(partition, baseOffset, part: part), in: databases.log) else { break }
            measured += bytes.byteCount
            part += 1
        }
        guard part == 0 || measured == byteCount else { throw .corrupted }
        return part
    }

    /// Takes batches of the keyspace, extent by extent, up to the one that begins at or after `end`, or to where the next
    /// offset is not in this snapshot: an extent behind it, taken straight from a producer, may be there already. Offsets that compaction
    /// has taken out are passed over.
    borrowing func takeExtents(
        of partition: PartitionID, below end: Int64, _ databases: Databases, _ run: inout ReadRun, _ sink: inout some RecordSink
    ) throws(LMDBError) {
        var cursor = try cursor(in: databases.log)
        try cursor.readAhead(partition, from: run.offset, byteCount: run.bytesLeft)
        run.gapsEnd = -1
        var more = try cursor.seek(partition, holding: run.offset)
        while more, !run.isFinished, let key = LogKey(cursor.key), key.partition == partition, key.baseOffset < end {
            if key.part == 0, let large = cursor.headOfLargeBatch {
                if large.lastOffset >= run.offset {
                    if key.baseOffset > run.offset {
                        try lookForGaps(of: partition, databases, &run)
                        guard run.passesGap(to: key.baseOffset) else { return }
                    }
                    guard run.takes(byteCount: large.byteCount, baseOffset: key.baseOffset) else { return }
                    do {
                        _ = try takeParts(of: partition, at: key.baseOffset, byteCount: large.byteCount, databases, &sink)
                    } catch { return try run.meetsDamage() }
                    run.took(byteCount: large.byteCount, nextOffset: large.nextOffset)
                }
            } else if key.part == 0 {
                switch cursor.takeBatches(&run, &sink) {
                case .all: break
                case .upToGap:
                    guard run.gapsEnd < 0 else { return }
                    try lookForGaps(of: partition, databases, &run)
                    // Once more: what was taken is passed over.
                    continue
                case .upToDamage: return try run.meetsDamage()
                }
            }
            if !run.isFinished { more = try cursor.move(.next) }
        }
    }

    borrowing func readAhead(of partition: PartitionID, from offset: Int64, past passed: Int, byteCount: Int, _ databases: Databases) throws(LMDBError) {
        var cursor = try cursor(in: databases.log)
        try cursor.readAhead(partition, from: offset, past: passed, byteCount: byteCount)
    }

    /// Finds out how far compaction has been here. Where the log start has passed the offset, and readers are about to be told, what comes
    /// behind is not what follows it.
    private borrowing func lookForGaps(of partition: PartitionID, _ databases: Databases, _ run: inout ReadRun) throws(LMDBError) {
        guard run.gapsEnd < 0 else { return }
        let row = try row(of: partition, databases)
        run.gapsEnd = (row?.logStartOffset ?? 0) <= run.offset ? row?.cleaning.gapsEnd ?? 0 : 0
    }
}

extension Cursor {
    /// Moves to the extent that holds `offset`, or else to the first one of the partition after it.
    @_lifetime(self: copy self)
    mutating func seek(_ partition: PartitionID, holding offset: Int64) throws(LMDBError) -> Bool {
        let found = try seek(LogKey(partition, offset))
        if found, LogKey(key) == LogKey(partition, offset) { return true }
        // The extent before it holds the offset, unless the partition begins behind it.
        var has = found ? try move(.previous) : try move(.last)
        while has, let before = LogKey(key), before.partition == partition {
            if before.part == 0 { return true }
            has = try move(.previous)
        }
        return try seek(LogKey(partition, offset))
    }

    /// Has the kernel fetch what a read from `offset` on will take, behind its first `passed` bytes: a page fault would fetch a few pages at
    /// a time, and wait for each.
    @_lifetime(self: copy self)
    mutating func readAhead(_ partition: PartitionID, from offset: Int64, past passed: Int = 0, byteCount: Int) throws(LMDBError) {
        var left = min(byteCount, 16 << 20)
        var passed = passed
        var more = try seek(partition, holding: offset)
        while more, left > 0, let key = LogKey(key), key.partition == partition {
            if passed > 0 {
                passed -= value.byteCount
            } else {
                willNeedValue()
                left -= value.byteCount
            }
            more = try move(.next)
        }
    }

    /// The header of a batch that goes on beyond this value, in parts; nil where the value holds whole batches.
    var headOfLargeBatch: RecordBatchHeader? {
        guard let header = RecordBatchHeader(headOf: value), header.byteCount > value.byteCount else { return nil }
        return header
    }

    func takeBatches(_ run: inout ReadRun, _ sink: inout some RecordSink) -> ReadRun.Taken {
        value.withUnsafeBytes { run.take(from: $0, &sink) }
    }
}
