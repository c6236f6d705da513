internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// A transaction that was aborted, as a reader of committed records needs to know it: from this offset on, up to the next abort marker
/// of the producer, it passes over what that has written.
public struct AbortedTransaction: Sendable, Equatable {
    public var producerID: Int64
    /// Of its first batch in the partition.
    public var firstOffset: Int64

    public init(producerID: Int64, firstOffset: Int64) {
        self.producerID = producerID
        self.firstOffset = firstOffset
    }
}

extension LogReader {
    /// The same as `read` for a reader of committed records, with the aborted transactions that reach into what is copied. `limit`: the
    /// last stable offset, as it was seen before the reader was lent.
    ///
    /// The index is looked into in the snapshot that is read: compaction takes an entry away with the last batch of its transaction, and
    /// the marker later. Else an entry leaves it only when readers have been told that the log begins behind it, so where one is
    /// missing already, the read that follows finds its offset out of range.
    public func readCommitted(
        _ partition: Partition, from offset: Int64, limit: Int64, maxBytes: Int, firstBatchWhole: Bool, into sink: inout some RecordSink
    ) throws(StoreError) -> (byteCount: Int, aborted: [AbortedTransaction]) {
        let looked = snapshot.transactionID
        var aborted = try abortedTransactions(in: partition, from: offset, below: limit)
        let run = try run(
            partition, from: offset, limit: limit, maxBytes: maxBytes, firstBatchWhole: firstBatchWhole, isOfOneSnapshot: true, into: &sink)
        guard run.byteCount > 0 else { return (0, []) }
        // Renewed before anything was copied.
        if snapshot.transactionID != looked { aborted = try abortedTransactions(in: partition, from: offset, below: limit) }
        return (run.byteCount, aborted.filter { $0.firstOffset < run.offset })
    }

    /// Those that ended at or after `offset` and began below `end`, in the order they ended.
    func abortedTransactions(in partition: Partition, from offset: Int64, below end: Int64) throws(StoreError) -> [AbortedTransaction] {
        guard let database = databases.transactions?.aborted, partition.tail.withLock({ $0.hasAborted }) else { return [] }
        return try lmdb("looking for aborted transactions") { () throws(LMDBError) in
            try snapshot.abortedTransactions(in: partition.id, database, from: offset, below: end)
        }
    }
}

extension Snapshot {
    borrowing func abortedTransactions(
        in partition: PartitionID, _ database: Database, from offset: Int64, below end: Int64
    ) throws(LMDBError) -> [AbortedTransaction] {
        var found: [AbortedTransaction] = []
        var cursor = try cursor(in: database)
        var more = try cursor.seek(AbortedKey(partition, offset))
        while more, let key = AbortedKey(cursor.key), key.partition == partition {
            guard let row = try? AbortedRow(cursor.value, "") else { throw .corrupted }
            if row.firstOffset < end { found.append(AbortedTransaction(producerID: row.producerID, firstOffset: row.firstOffset)) }
            if row.lastStableOffset >= end { break }
            more = try cursor.move(.next)
        }
        return found
    }
}
