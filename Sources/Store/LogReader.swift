internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Takes the record batches that a read finds in the map.
public protocol RecordSink {
    /// The bytes stay in their place until the snapshot ends: copied now, or looked at until then.
    mutating func append(_ bytes: UnsafeRawBufferPointer)
    /// The reader is about to take a newer snapshot.
    mutating func snapshotEnds()
}

/// Reads partitions in one snapshot. Lent by `Store.withReader` or with a `ReaderLoan`; used by one thread at a time.
public final class LogReader {
    // A class so that the pool can hold it: a snapshot is not copyable.
    var snapshot: Snapshot
    let databases: Databases

    init(_ environment: Environment, _ databases: Databases) throws(LMDBError) {
        snapshot = try environment.snapshot()
        self.databases = databases
    }

    /// Hands whole batches to `sink`, from the one that holds `offset` on, and returns their bytes.
    ///
    /// Stops before `limit` (the high watermark or the last stable offset) and before `maxBytes` would be exceeded; with
    /// `firstBatchWhole` the first batch comes whatever its size (KIP-74).
    public func read(
        _ partition: Partition, from offset: Int64, limit: Int64, maxBytes: Int, firstBatchWhole: Bool, into sink: inout some RecordSink
    ) throws(StoreError) -> Int {
        try run(partition, from: offset, limit: limit, maxBytes: maxBytes, firstBatchWhole: firstBatchWhole, into: &sink).byteCount
    }

    /// Has the kernel fetch what the next read will want, where one from `offset` on has taken `byteCount` bytes: as much
    /// again, and the extent behind it, which that read looks into to see that it does not fit.
    public func readAhead(_ partition: Partition, from offset: Int64, past byteCount: Int) throws(StoreError) {
        try lmdb("reading ahead") { () throws(LMDBError) in
            try snapshot.readAhead(of: partition.id, from: offset, past: byteCount, byteCount: byteCount + 1, databases)
        }
    }

    func run(
        _ partition: Partition, from offset: Int64, limit: Int64, maxBytes: Int, firstBatchWhole: Bool, isOfOneSnapshot: Bool = false,
        into sink: inout some RecordSink
    ) throws(StoreError) -> ReadRun {
        var run = ReadRun(offset: offset, limit: limit, bytesLeft: maxBytes, takesFirstWhole: firstBatchWhole)
        run.isOfOneSnapshot = isOfOneSnapshot
        var renewals = 0
        while true {
            let place = try locate(partition, &run)
            let before = run.byteCount
            switch place {
            case .nothing: return run
            case .sealed(let end):
                try lmdb("reading the log") { () throws(LMDBError) in
                    try snapshot.takeExtents(of: partition.id, below: end, databases, &run, &sink)
                }
            case .tail(let pieces):
                try lmdb("reading the journal") { () throws(LMDBError) in
                    try snapshot.takePieces(pieces, of: partition.id, databases, &run, &sink)
                    guard run.byteCount == before, !run.isFinished else { return }
                    // Sealed by a commit that readers are about to be told of.
                    try snapshot.takeExtents(of: partition.id, below: .max, databases, &run, &sink)
                }
            }
            if run.isFinished { return run }
            if run.byteCount > before {
                renewals = 0
                continue
            }
            // What the tail names is newer than the snapshot, or was sealed and trimmed since: look again in a new one. A
            // commit may come between the two once more, but not for ever.
            guard renewals < Self.renewalsMax, !run.isOfOneSnapshot || run.byteCount == 0 else { return run }
            sink.snapshotEnds()
            try renew()
            renewals += 1
        }
    }

    func renew() throws(StoreError) {
        snapshot.park()
        try lmdb("renewing a snapshot") { () throws(LMDBError) in try snapshot.renew() }
    }

    private static let renewalsMax = 4

    enum Place {
        case nothing
        /// In the keyspace, up to an offset.
        case sealed(Int64)
        case tail([Piece])
    }

    private func locate(_ partition: Partition, _ run: inout ReadRun) throws(StoreError) -> Place {
        let offset = run.offset
        let bytesLeft = run.bytesLeft
        let limit = run.limit
        let place: Place? = partition.tail.withLock { tail in
            guard !tail.isDeleted, offset >= tail.logStartOffset, offset <= tail.highWatermark else { return nil }
            guard offset < min(tail.highWatermark, limit) else { return .nothing }
            guard offset >= tail.sealedEnd else { return .sealed(tail.sealedEnd) }
            var pieces: [Piece] = []
            var byteCount = 0
            for index in tail.pieceIndex(holding: offset)..<tail.pieces.count {
                pieces.append(tail.pieces[index])
                byteCount += Int(tail.pieces[index].byteCount)
                if byteCount >= bytesLeft { break }
            }
            return .tail(pieces)
        }
        guard let place else {
            // Retention overtook a read that had begun: what was taken is still right.
            if run.byteCount > 0 { return .nothing }
            throw .offsetOutOfRange
        }
        return place
    }
}

/// How far one read has come.
struct ReadRun {
    var offset: Int64
    let limit: Int64
    var bytesLeft: Int
    /// The next batch comes whatever its size.
    var takesFirstWhole: Bool
    /// Of what was taken.
    private(set) var byteCount = 0
    private(set) var isFinished = false
    /// Up to here compaction may have left gaps, in the snapshot that is read; −1: not looked up.
    var gapsEnd: Int64 = -1
    /// The batches taken and the index of what was aborted must be of one snapshot: once there are some, none is renewed.
    var isOfOneSnapshot = false

    init(offset: Int64, limit: Int64, bytesLeft: Int, takesFirstWhole: Bool) {
        self.offset = offset
        self.limit = limit
        self.bytesLeft = bytesLeft
        self.takesFirstWhole = takesFirstWhole
    }

    /// Whether a batch is wanted; if not, the read is at its end.
    mutating func takes(byteCount: Int, baseOffset: Int64) -> Bool {
        guard baseOffset < limit, byteCount <= bytesLeft || takesFirstWhole else {
            isFinished = true
            return false
        }
        return true
    }

    mutating func took(byteCount: Int, nextOffset: Int64) {
        self.byteCount += byteCount
        bytesLeft = max(bytesLeft - byteCount, 0)
        offset = nextOffset
        takesFirstWhole = false
        if offset >= limit { isFinished = true }
    }

    /// Whether the offset is missing, and `baseOffset` is the next one there is.
    func passesGap(to baseOffset: Int64) -> Bool { baseOffset <= gapsEnd }

    /// How far an extent could be taken. What comes behind a gap may be taken if compaction left it.
    enum Taken { case all, upToGap, upToDamage }

    /// Takes what is wanted of an extent's batches, in one piece.
    mutating func take(from extent: UnsafeRawBufferPointer, _ sink: inout some RecordSink) -> Taken {
        var at = 0
        var start: Int?
        var taken = Taken.all
        while at < extent.count, !isFinished {
            guard let header = RecordBatchHeader(extent, at: at) else {
                taken = .upToDamage
                break
            }
            if header.lastOffset >= offset {
                guard header.baseOffset <= offset || passesGap(to: header.baseOffset) else {
                    taken = .upToGap
                    break
                }
                guard takes(byteCount: header.byteCount, baseOffset: header.baseOffset) else { break }
                if start == nil { start = at }
                took(byteCount: header.byteCount, nextOffset: header.nextOffset)
            }
            at += header.byteCount
        }
        if let start { sink.append(UnsafeRawBufferPointer(rebasing: extent[start..<at])) }
        return taken
    }

    /// What comes next cannot be read: what was taken before it is delivered, and the next read, from there, says so.
    mutating func meetsDamage() throws(LMDBError) {
        guard byteCount > 0 else { throw .corrupted }
        isFinished = true
    }
}
