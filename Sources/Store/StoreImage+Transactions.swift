internal import KafkaProtocol
internal import LMDB

extension StoreImage {
    /// Nothing to read where the store is of a format before 3 and was never opened to write since.
    mutating func readTransactions(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        guard let transactions = databases.transactions else {
            if identity.storeFormat > 2 { throw StoreError.corrupt("the databases of transactions are missing") }
            return
        }
        for id in Array(partitions.keys) where partitions[id]?.state.openTransactions.count ?? 0 > 1 {
            partitions[id]?.state.openTransactions.sort { $0.firstOffset < $1.firstOffset }
        }
        try readStates(snapshot, transactions.states)
    }

    private mutating func readStates(_ snapshot: borrowing Snapshot, _ database: Database) throws {
        var cursor = try snapshot.cursor(in: database)
        var more = try cursor.move(.first)
        while more {
            if cursor.key.byteCount > 1, cursor.key.unsafeLoad(as: UInt8.self) == TransactionKey.kind {
                let id = cursor.key.extracting(1..<cursor.key.byteCount).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
                let row = try TransactionRow(cursor.value, "the row of transactional id '\(id)'")
                let stored = StoredTransaction(id)
                stored.set(row.value.state)
                stored.asOf = UInt64(bitPattern: row.asOf)
                transactions[id] = stored
            } else if let key = PendingOffsetRowKey(cursor.key) {
                let row = try PendingOffsetRow(cursor.value, "a pending offset of producer \(key.producerID) for group '\(key.key.groupID)'")
                pending(of: key.producerID).load(key.key, row.value.committed)
            } else {
                throw StoreError.corrupt("a key of the transactions, of \(cursor.key.byteCount) bytes, is not in its form")
            }
            more = try cursor.move(.next)
        }
    }

    /// Finds the partitions of which something was aborted, in one step each. After the replay: some stand in the journal only.
    mutating func readAborted(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        guard let database = databases.transactions?.aborted else { return }
        var cursor = try snapshot.cursor(in: database)
        var more = try cursor.move(.first)
        while more {
            guard let key = AbortedKey(cursor.key) else {
                throw StoreError.corrupt("a key of the aborted transactions is \(cursor.key.byteCount) bytes long")
            }
            partitions[key.partition]?.state.hasAborted = true
            guard key.partition.rawValue < .max else { return }
            more = try cursor.seek(AbortedKey(PartitionID(rawValue: key.partition.rawValue + 1), 0))
        }
    }

    private mutating func pending(of producerID: Int64) -> PendingOffsets {
        if let pending = pendingOffsets[producerID] { return pending }
        let pending = PendingOffsets(producerID: producerID)
        pendingOffsets[producerID] = pending
        return pending
    }

    // MARK: - The journal

    mutating func apply(_ changed: TransactionChanged, _ sequence: UInt64, _ touched: inout [StateKey]) {
        touched.append(.transaction(ExactString(changed.transactionalID)))
        let stored = transactions[changed.transactionalID] ?? StoredTransaction(changed.transactionalID)
        guard stored.asOf < sequence else { return }
        stored.set(changed.state?.state)
        stored.since = stored.since ?? sequence
        transactions[changed.transactionalID] = stored
    }

    mutating func apply(_ added: OffsetsPending, _ sequence: UInt64, _ touched: inout [StateKey]) {
        let pending = pending(of: added.producerID)
        for (key, offset) in zip(added.keys, added.offsets) {
            touched.append(.pendingOffset(producerID: added.producerID, key))
            pending.set(key, offset.value.committed, sequence: sequence)
        }
    }

    mutating func apply(_ ended: PendingOffsetsEnded, _ sequence: UInt64, _ touched: inout [StateKey]) {
        guard let pending = pendingOffsets[ended.producerID] else { return }
        touched += pending.rows(ofGroups: ended.groupIDs).map { .pendingOffset(producerID: ended.producerID, $0) }
        for groupID in ended.groupIDs { _ = pending.drop(groupID: groupID, sequence: sequence) }
        if pending.isGone { pendingOffsets[ended.producerID] = nil }
    }
}
