internal import KafkaProtocol
internal import LMDB

/// The transactions that a walk over a partition's batches meets.
struct TransactionWalk {
    struct Abort {
        var producerID: Int64
        /// Of the transaction's first batch that was met; nil where none was.
        var firstOffset: Int64?
        /// After the marker, by what was met.
        var lastStableOffset: Int64
    }

    private let logStart: Int64
    /// By producer id, the first offset.
    private(set) var open: [Int64: Int64] = [:]
    /// By the offset of the marker.
    private(set) var aborts: [Int64: Abort] = [:]

    init(logStart: Int64) { self.logStart = logStart }

    /// Takes in the next batch; false where it is a marker that cannot be read.
    mutating func add(_ header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer) -> Bool {
        // What is below the log start may be gone in part: a marker without its batches, or batches without their marker.
        guard header.isTransactional || header.isControl, header.lastOffset >= logStart else { return true }
        guard header.isControl else {
            if open[header.producerID] == nil { open[header.producerID] = header.baseOffset }
            return true
        }
        guard let marker = Self.marker(header, batch) else { return false }
        let firstOffset = open.removeValue(forKey: header.producerID)
        if marker.outcome == .abort {
            aborts[header.baseOffset] = Abort(
                producerID: header.producerID, firstOffset: firstOffset, lastStableOffset: open.values.min() ?? header.nextOffset)
        }
        return true
    }

    private static func marker(_ header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer) -> ControlRecord? {
        let bytes = Array(batch.dropFirst(RecordBatchHeader.headerByteCount))
        var reader = RecordReader(bytes.span.bytes, of: header)
        guard let record = try? reader.next() else { return nil }
        return reader.control(record)
    }
}

/// The index of what was aborted, and open transactions, against the log.
extension StoreVerifier {
    mutating func checkAborted(
        of id: PartitionID, _ partition: StoreImage.LoadedPartition, _ walk: TransactionWalk, name: String
    ) throws(StoreError) {
        let logStart = partition.state.logStartOffset
        let gapsEnd = partition.state.cleaning.gapsEnd
        var named: Set<Int64> = []
        for (last, row) in try abortedRows(of: id, name: name) {
            named.insert(last)
            // A sweep has still to come for it.
            if last < logStart { continue }
            guard let abort = walk.aborts[last], abort.producerID == row.producerID else {
                problem("\(name): the index has an aborted transaction of producer \(row.producerID) end at offset \(last), the log has none")
                continue
            }
            // Compaction takes out the batches of what was aborted, and then the word of it.
            let reachesBack = row.firstOffset < max(logStart, gapsEnd) && row.firstOffset < abort.firstOffset ?? last
            if row.firstOffset != abort.firstOffset, !reachesBack {
                problem("\(name): the index has the transaction that was aborted at offset \(last) begin at \(row.firstOffset), the log has not")
            }
            if max(logStart, gapsEnd) == 0 ? row.lastStableOffset != abort.lastStableOffset : row.lastStableOffset > last + 1 {
                problem("\(name): the index says \(row.lastStableOffset) was stable when a transaction was aborted at offset \(last)")
            }
        }
        for (last, abort) in walk.aborts.sorted(by: { $0.key < $1.key }) where abort.firstOffset != nil && last >= logStart && !named.contains(last) {
            problem("\(name): the index lacks the transaction of producer \(abort.producerID) that was aborted at offset \(last)")
        }
        checkOpen(partition, walk, name: name)
    }

    private mutating func checkOpen(_ partition: StoreImage.LoadedPartition, _ walk: TransactionWalk, name: String) {
        let logStart = partition.state.logStartOffset
        let open = Dictionary(partition.state.openTransactions.map { ($0.producerID, $0.firstOffset) }, uniquingKeysWith: min)
        for (producerID, first) in open.sorted(by: { $0.key < $1.key }) where first >= logStart && walk.open[producerID] != first {
            problem("\(name): producer \(producerID) is said to have a transaction open since offset \(first), the log has not")
        }
        for (producerID, first) in walk.open.sorted(by: { $0.key < $1.key }) where open[producerID] != first && open[producerID] ?? .max >= logStart {
            problem("\(name): the transaction of producer \(producerID) that is open since offset \(first) is not known as open")
        }
    }

    private mutating func abortedRows(of id: PartitionID, name: String) throws(StoreError) -> [(last: Int64, row: AbortedRow)] {
        guard let database = databases.transactions?.aborted else { return [] }
        var rows: [(Int64, AbortedRow)] = []
        var damages: [String] = []
        try lmdb("reading the aborted transactions") { () throws(LMDBError) in
            var cursor = try snapshot.cursor(in: database)
            var more = try cursor.seek(AbortedKey(id, 0))
            while more, let key = AbortedKey(cursor.key), key.partition == id {
                do throws(StoreError) {
                    rows.append((key.lastOffset, try AbortedRow(cursor.value, "\(name): the aborted transaction that ended at \(key.lastOffset)")))
                } catch {
                    damages.append(error.description)
                }
                more = try cursor.move(.next)
            }
        }
        for damage in damages { problem(damage) }
        return rows
    }

    /// What belongs to no partition or to no transactional id.
    mutating func checkTransactions(_ image: StoreImage) throws(StoreError) {
        guard let database = databases.transactions?.aborted else { return }
        var orphans: [String] = []
        try lmdb("looking for orphans") { () throws(LMDBError) in
            var known: PartitionID?
            var cursor = try snapshot.cursor(in: database)
            var more = try cursor.move(.first)
            while more {
                if let key = AbortedKey(cursor.key) {
                    if key.partition != known, image.partitions[key.partition] == nil {
                        orphans.append("transactions were aborted in partition id \(key.partition.rawValue), which does not exist")
                    }
                    known = key.partition
                } else {
                    orphans.append("a key of the aborted transactions is \(cursor.key.byteCount) bytes long")
                }
                more = try cursor.move(.next)
            }
        }
        for sentence in orphans { problem(sentence) }
        checkOwners(image)
    }

    /// Whatever is open or pending, someone must be there to end it.
    private mutating func checkOwners(_ image: StoreImage) {
        var owners: [Int64: StoredTransaction] = [:]
        for stored in image.transactions.values {
            guard let producerID = stored.state?.producerID else { continue }
            if let other = owners.updateValue(stored, forKey: producerID) {
                problem("the transactional ids '\(min(other.id, stored.id))' and '\(max(other.id, stored.id))' have the same producer id, \(producerID)")
            }
        }
        for (id, partition) in image.partitions.sorted(by: { $0.key < $1.key }) where !partition.state.isDeleted {
            for open in partition.state.openTransactions where owners[open.producerID]?.state?.partitions.contains(id) != true {
                let name = Self.name(of: partition, in: image)
                problem("\(name): the transaction of producer \(open.producerID) that is open since offset \(open.firstOffset) is nobody's to end")
            }
        }
        for (producerID, pending) in image.pendingOffsets.sorted(by: { $0.key < $1.key }) {
            let known = Set(exact: owners[producerID]?.state?.groupIDs ?? [])
            for group in pending.groups.sorted() where !known.contains(group) {
                problem("offsets of group '\(group)' that producer \(producerID) has pending are nobody's to commit")
            }
        }
    }
}
