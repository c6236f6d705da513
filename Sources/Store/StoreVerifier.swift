internal import KafkaProtocol
internal import LMDB

/// How far a verification has come.
public struct VerifyProgress: Sendable {
    public var checkedExtents: Int
    public var totalExtents: Int
    public var checkedBytes: Int
}

/// What a verification found.
public struct VerifyReport: Sendable {
    public var clusterID = ""
    public var topicCount = 0
    public var partitionCount = 0
    public var extentCount = 0
    public var batchCount = 0
    public var recordCount = 0
    public var byteCount = 0
    public var journalEntryCount = 0
    /// Groups that have records or offsets.
    public var groupCount = 0
    public var groupRecordCount = 0
    public var offsetCount = 0
    /// Of these, offsets of topics that are gone; a broker's sweep takes them away.
    public var passingOffsetCount = 0
    /// A sentence for each thing that is not as it should be; the first `problemsMax` of them.
    public var problems: [String] = []
    /// All problems, also those that no sentence was kept for.
    public var problemCount = 0

    public static let problemsMax = 1000
}

/// Checks a store, or a copy of one, against itself: every batch's CRC, the continuity of offsets, every index against the
/// log, every checksum. Reads one snapshot, and may do so beside a live broker, of another process: LMDB does not let one process
/// open an environment twice.
public struct StoreVerifier: ~Copyable {
    let snapshot: Snapshot
    let databases: Databases
    var report = VerifyReport()
    private let progress: (VerifyProgress) -> Void
    private var totalExtents = 0

    /// Throws where the directory cannot be opened or its state cannot be read at all; else says in the report what is wrong.
    public static func verify(
        directory: String, mapByteCount: Int = StoreOptions().mapByteCount, progress: @escaping (VerifyProgress) -> Void = { _ in }
    ) throws(StoreError) -> VerifyReport {
        let (environment, _) = try StoreOpening.openToRead(directory, mapByteCount: mapByteCount)
        var verifier = try StoreVerifier(environment, progress)
        try verifier.run()
        return verifier.report
    }

    private init(_ environment: Environment, _ progress: @escaping (VerifyProgress) -> Void) throws(StoreError) {
        let opened = try lmdb("opening the store") { () throws(LMDBError) in
            let first = try environment.snapshot()
            let databases = try Databases(existingIn: first)
            // The handles belong to the environment only once the transaction that opened them has been committed.
            try first.commit()
            return databases
        }
        let taken = try lmdb("opening the store") { () throws(LMDBError) in try environment.snapshot() }
        databases = opened
        snapshot = taken
        self.progress = progress
    }

    private mutating func run() throws(StoreError) {
        let image = try StoreImage(snapshot, databases)
        report.clusterID = image.identity.clusterID
        report.topicCount = image.topics.count
        report.journalEntryCount = image.journal.entries.count
        let log = databases.log
        totalExtents = try lmdb("measuring the log") { () throws(LMDBError) in try snapshot.statistics(of: log).entryCount }
        checkTopics(image)
        for (id, partition) in image.partitions.sorted(by: { $0.key < $1.key }) {
            report.partitionCount += 1
            try checkPartition(id, partition, name: Self.name(of: partition, in: image))
        }
        try checkOrphans(image)
        try checkGroups(image)
        try checkTransactions(image)
        progress(VerifyProgress(checkedExtents: report.extentCount, totalExtents: totalExtents, checkedBytes: report.byteCount))
    }

    mutating func problem(_ sentence: String) {
        report.problemCount += 1
        if report.problems.count < VerifyReport.problemsMax { report.problems.append(sentence) }
    }

    static func name(of partition: StoreImage.LoadedPartition, in image: StoreImage) -> String {
        "\(image.topics[partition.topicID]?.name ?? "a deleted topic")-\(partition.index)"
    }

    private mutating func checkTopics(_ image: StoreImage) {
        for (id, topic) in image.topics {
            for partition in topic.row.runs.flatMap(\.ids) {
                guard let found = image.partitions[partition] else {
                    problem("topic '\(topic.name)' names partition id \(partition.rawValue), which does not exist")
                    continue
                }
                if found.topicID != id {
                    problem("partition id \(partition.rawValue) of topic '\(topic.name)' says it belongs to \(found.topicID)")
                }
            }
        }
    }

    // MARK: - One partition

    private mutating func checkPartition(_ id: PartitionID, _ partition: StoreImage.LoadedPartition, name: String) throws(StoreError) {
        var walk = PartitionWalk(
            name: name, pieces: partition.pieces.filter { !$0.isDirect }, logStart: partition.state.logStartOffset,
            gapsEnd: partition.state.cleaning.gapsEnd)
        try walkExtents(of: id, &walk)
        while let piece = walk.nextPiece(before: .max) { try checkPiece(piece, &walk) }
        try checkTimes(of: id, partition, walk)
        for sentence in walk.problems { problem(sentence) }
        // Of a deleted topic the extents are on their way out, from the front.
        if partition.state.isDeleted { return }
        checkCleaning(partition, name: name)
        try checkAborted(of: id, partition, walk.transactions, name: name)
        // Where nothing is left above the log start, what is swept away after it may end anywhere below.
        let isEmpty = partition.state.logStartOffset == partition.state.nextOffset
        if let end = walk.end, isEmpty ? end > partition.state.nextOffset : end != partition.state.nextOffset {
            problem("\(name): the log ends at offset \(end), the partition says \(partition.state.nextOffset)")
        }
        let missing = walk.start.map { $0 > partition.state.logStartOffset && $0 > partition.state.cleaning.gapsEnd } ?? true
        if partition.state.logStartOffset < partition.state.nextOffset, missing {
            problem(
                "\(name): records from \(partition.state.logStartOffset) on are missing, the log begins at \(walk.start.map(String.init) ?? "no offset")"
            )
        }
        if walk.logByteCount != partition.state.logByteCount {
            problem("\(name): the extents hold \(walk.logByteCount) bytes, the partition says \(partition.state.logByteCount)")
        }
    }

    private mutating func walkExtents(of id: PartitionID, _ walk: inout PartitionWalk) throws(StoreError) {
        var next: LogKey? = LogKey(id, 0)
        while let key = next {
            var extent: [UInt8] = []
            var base: Int64?
            var parts: [UInt32] = []
            let log = databases.log
            next = try lmdb("reading the log") { () throws(LMDBError) in
                var cursor = try snapshot.cursor(in: log)
                var more = try cursor.seek(key)
                while more, let found = LogKey(cursor.key), found.partition == id {
                    if base == nil { base = found.baseOffset }
                    guard found.baseOffset == base else { return found }
                    parts.append(found.part)
                    cursor.value.withUnsafeBytes { extent.append(contentsOf: $0) }
                    more = try cursor.move(.next)
                }
                return nil
            }
            guard let base else { return }
            if parts != Array(0..<UInt32(parts.count)) {
                walk.problems.append("\(walk.name): the extent at offset \(base) has the parts \(parts)")
            }
            while let piece = walk.nextPiece(before: base) { try checkPiece(piece, &walk) }
            checkExtent(extent, base: base, &walk)
            if report.extentCount % 256 == 0 {
                progress(VerifyProgress(checkedExtents: report.extentCount, totalExtents: totalExtents, checkedBytes: report.byteCount))
            }
        }
    }

    private mutating func checkExtent(_ extent: [UInt8], base: Int64, _ walk: inout PartitionWalk) {
        report.extentCount += 1
        report.byteCount += extent.count
        walk.logByteCount += Int64(extent.count)
        var time = ExtentTime()
        extent.withUnsafeBytes { bytes in
            var at = 0
            while at < bytes.count {
                guard let header = walk.check(bytes, at: at, expectedBase: at == 0 ? base : nil) else { return }
                count(header)
                time.add(header.searchedTimestamp, keptBy: -1)
                at += header.byteCount
            }
        }
        walk.extents.append(TimedExtent(baseOffset: base, time: time))
    }

    private mutating func checkPiece(_ piece: Piece, _ walk: inout PartitionWalk) throws(StoreError) {
        let databases = databases
        let batch = try lmdb("reading the journal") { () throws(LMDBError) in
            guard let entry = try snapshot.journalEntry(piece.sequence, databases) else { return nil as [UInt8]? }
            return entry.withUnsafeBytes { bytes in
                let start = JournalEntryHead.payloadStart(bytes) + Int(piece.position)
                return Array(bytes[start..<(start + Int(piece.byteCount))])
            }
        }
        guard let batch else { return problem("\(walk.name): journal entry \(piece.sequence) with offset \(piece.baseOffset) is missing") }
        report.byteCount += batch.count
        batch.withUnsafeBytes { bytes in
            guard let header = walk.check(bytes, at: 0, expectedBase: piece.baseOffset) else { return }
            count(header)
            if header.byteCount != bytes.count || header.lastOffset != piece.lastOffset || header.searchedTimestamp != piece.maxTimestamp {
                problem(
                    "\(walk.name): the batch at offset \(piece.baseOffset) is not the one that journal entry \(piece.sequence) describes")
            }
        }
    }

    /// Only what is sealed is compacted.
    private mutating func checkCleaning(_ partition: StoreImage.LoadedPartition, name: String) {
        let sealedEnd = partition.pieces.first?.baseOffset ?? partition.state.nextOffset
        for (what, end) in [("compacted", partition.state.cleaning.cleanedEnd), ("with gaps", partition.state.cleaning.gapsEnd)]
        where end > max(sealedEnd, partition.state.logStartOffset) {
            problem("\(name): the partition is said to be \(what) up to offset \(end), and what is sealed ends at \(sealedEnd)")
        }
    }

    private mutating func count(_ header: RecordBatchHeader) {
        report.batchCount += 1
        report.recordCount += Int(header.recordCount)
    }

    /// `times` must name each extent once, in order, with its own maximum, under maxima that never fall.
    private mutating func checkTimes(of id: PartitionID, _ partition: StoreImage.LoadedPartition, _ walk: PartitionWalk) throws(StoreError) {
        let times = databases.times
        var found: [(key: TimeKey, own: Int64)] = []
        try lmdb("reading the time index") { () throws(LMDBError) in
            var cursor = try snapshot.cursor(in: times)
            var more = try cursor.seek(TimeKey(id, runningMaximum: .min, baseOffset: 0))
            while more, let key = TimeKey(cursor.key), key.partition == id {
                found.append((key, cursor.extentTime.own))
                more = try cursor.move(.next)
            }
        }
        guard found.map(\.key.baseOffset) == walk.extents.map(\.baseOffset) else {
            return problem(
                "\(walk.name): the time index names \(found.count) extents, not the \(walk.extents.count) of the log in their order")
        }
        // What is sealed next comes behind them in the index, whatever its own time.
        let sealedEnd = partition.pieces.first?.baseOffset ?? partition.state.nextOffset
        if let last = found.last(where: { $0.key.baseOffset < sealedEnd }), !partition.state.isDeleted,
            last.key.runningMaximum > partition.state.sealedMaxTimestamp
        {
            problem(
                "\(walk.name): the time index has come to \(last.key.runningMaximum), and the partition says \(partition.state.sealedMaxTimestamp)"
            )
        }
        for (time, extent) in zip(found, walk.extents) where time.own != extent.own || time.key.runningMaximum < extent.own {
            problem(
                "\(walk.name): the time index says \(time.own) for the extent at \(extent.baseOffset), whose greatest timestamp is \(extent.own)"
            )
        }
    }

    /// Extents and index entries of partitions that do not exist.
    private mutating func checkOrphans(_ image: StoreImage) throws(StoreError) {
        var orphans: [String] = []
        let databases = databases
        try lmdb("looking for orphans") { () throws(LMDBError) in
            var known: PartitionID?
            var cursor = try snapshot.cursor(in: databases.log)
            var more = try cursor.move(.first)
            while more {
                if let key = LogKey(cursor.key) {
                    if key.partition != known, image.partitions[key.partition] == nil {
                        orphans.append("the log has extents of partition id \(key.partition.rawValue), which does not exist")
                    }
                    known = key.partition
                } else {
                    orphans.append("a key of the log is \(cursor.key.byteCount) bytes long")
                }
                more = try cursor.move(.next)
            }
            known = nil
            cursor = try snapshot.cursor(in: databases.times)
            more = try cursor.move(.first)
            while more {
                if let key = TimeKey(cursor.key) {
                    if key.partition != known, image.partitions[key.partition] == nil {
                        orphans.append("the time index has entries of partition id \(key.partition.rawValue), which does not exist")
                    }
                    known = key.partition
                } else {
                    orphans.append("a key of the time index is \(cursor.key.byteCount) bytes long")
                }
                if cursor.value.byteCount != 8 { orphans.append("a value of the time index is \(cursor.value.byteCount) bytes long") }
                more = try cursor.move(.next)
            }
        }
        for sentence in orphans { problem(sentence) }
    }
}

/// What the walk over a partition has seen so far.
private struct PartitionWalk {
    let name: String
    private let pieces: [Piece]
    private var nextIndex = 0
    /// Offset of the first record seen, and the one after the last.
    private(set) var start: Int64?
    private(set) var end: Int64?
    var logByteCount: Int64 = 0
    var extents: [TimedExtent] = []
    var problems: [String] = []
    var transactions: TransactionWalk

    private let logStart: Int64
    /// Below it, compaction may have taken out records and batches.
    private let gapsEnd: Int64

    init(name: String, pieces: [Piece], logStart: Int64, gapsEnd: Int64) {
        self.name = name
        self.pieces = pieces
        self.logStart = logStart
        self.gapsEnd = gapsEnd
        transactions = TransactionWalk(logStart: logStart)
    }

    mutating func nextPiece(before offset: Int64) -> Piece? {
        guard nextIndex < pieces.count, pieces[nextIndex].baseOffset < offset else { return nil }
        defer { nextIndex += 1 }
        return pieces[nextIndex]
    }

    /// Checks the batch at `at`; nil where nothing behind it can be read.
    mutating func check(_ bytes: UnsafeRawBufferPointer, at: Int, expectedBase: Int64?) -> RecordBatchHeader? {
        guard let header = RecordBatchHeader(bytes, at: at) else {
            problems.append("\(name): what follows offset \(end.map(String.init) ?? "the beginning") is no record batch")
            return nil
        }
        let batch = UnsafeRawBufferPointer(rebasing: bytes[at..<(at + header.byteCount)])
        if RecordBatchHeader.checksum(ofBatch: batch) != header.crc {
            problems.append("\(name): the batch at offset \(header.baseOffset) fails its CRC")
        }
        if let expectedBase, header.baseOffset != expectedBase {
            problems.append("\(name): a batch filed under offset \(expectedBase) says \(header.baseOffset)")
        }
        // Below the log start offset, what was never sealed leaves a gap until the extents before it are swept away.
        if let end, header.baseOffset != end, header.baseOffset < end || header.baseOffset > max(logStart, gapsEnd) || end >= max(logStart, gapsEnd) {
            problems.append("\(name): after offset \(end - 1) comes \(header.baseOffset)")
        }
        if header.partitionLeaderEpoch != 0 {
            problems.append(
                "\(name): the batch at offset \(header.baseOffset) is of leader epoch \(header.partitionLeaderEpoch), which never was")
        }
        if header.nextOffset <= gapsEnd {
            checkRecords(batch, header)
        } else if header.recordCount < 1 || header.lastOffsetDelta != header.recordCount - 1 {
            problems.append(
                "\(name): the batch at offset \(header.baseOffset) says \(header.recordCount) records and a last delta of \(header.lastOffsetDelta)"
            )
        }
        if !transactions.add(header, batch) {
            problems.append("\(name): the control batch at offset \(header.baseOffset) marks the end of no transaction")
        }
        if start == nil { start = header.baseOffset }
        end = header.nextOffset
        return header
    }

    /// A batch that compaction may have written anew: its records have offsets of the batch, in order.
    private mutating func checkRecords(_ bytes: UnsafeRawBufferPointer, _ header: RecordBatchHeader) {
        guard header.recordCount >= 0, header.lastOffsetDelta >= 0, header.recordCount <= header.lastOffsetDelta + 1 else {
            return problems.append(
                "\(name): the batch at offset \(header.baseOffset) says \(header.recordCount) records and a last delta of \(header.lastOffsetDelta)")
        }
        // All of its records are there, as for batches that no pass has touched.
        if header.recordCount == header.lastOffsetDelta + 1 { return }
        do {
            let batch = try DecodedBatch(bytes.bytes, limit: CleaningLimits.decompressedByteCount)
            var reader = batch.reader
            var next = header.baseOffset
            while let record = try reader.next() {
                if record.offset < next || record.offset > header.lastOffset {
                    problems.append("\(name): in the batch at offset \(header.baseOffset) stands a record with offset \(record.offset)")
                }
                next = record.offset + 1
            }
        } catch {
            problems.append("\(name): the batch at offset \(header.baseOffset) cannot be read: \(error)")
        }
    }
}
