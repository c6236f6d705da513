internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Transactions: which batches they take, their steps, and their ends. One commit holds all of a step.
extension StoreWriter {
    // MARK: - The gate

    /// Judges a batch of an idempotent or transactional producer, by the partition and by the state of its transaction.
    func judge(_ append: Append) -> ProducerState.Verdict {
        let header = append.header
        let known = append.partition.state.producers[header.producerID]
        let transaction = transactionsByProducer.isEmpty ? nil : transactionsByProducer[header.producerID]
        if let refusal = refusal(of: header.producerID, header.producerEpoch, transaction, isTransactional: header.isTransactional) {
            return refusal
        }
        guard !header.isTransactional || header.producerID >= 0 && header.baseSequence >= 0 else {
            return .refuse(.invalidRecord, "a transactional batch bears a sequence")
        }
        let verdict = ProducerState.judge(header, knowing: known)
        let isTakenIn = header.isTransactional && transaction?.takes(append.partition.id) == true
        if case .duplicate(let written) = verdict {
            // What is there already is acknowledged again, also when its transaction has ended meanwhile. But in a transaction that has
            // begun since, the same numbers are other records: librdkafka uses those of a batch that it gave up in an abort again, unless
            // it had the answer. Acknowledged, they would be lost.
            guard isTakenIn, let start = known?.transactionStart, start < 0 || written.baseOffset < start else { return verdict }
            return .refuse(
                .outOfOrderSequenceNumber,
                "producer \(header.producerID) wrote sequence \(header.baseSequence) in a transaction that has ended, at offset \(written.baseOffset)")
        }
        if header.isTransactional {
            guard isTakenIn else {
                return .refuse(.invalidTxnState, "producer \(header.producerID) has no open transaction with this partition in it")
            }
        } else if known?.transactionStart ?? -1 >= 0 {
            return .refuse(.invalidTxnState, "producer \(header.producerID) has a transaction open here, which the batch is not of")
        }
        return verdict
    }

    /// Of a producer id that belongs to a transactional id, only the current epoch may write, within transactions and outside.
    private func refusal(
        of producerID: Int64, _ epoch: Int16, _ transaction: StoredTransaction?, isTransactional: Bool
    ) -> ProducerState.Verdict? {
        guard let current = transaction?.state?.producerEpoch else {
            return isTransactional ? .refuse(.invalidProducerIDMapping, "producer \(producerID) belongs to no transactional id") : nil
        }
        if epoch == current { return nil }
        return .refuse(.invalidProducerEpoch, "producer \(producerID) is at epoch \(current), not \(epoch)")
    }

    /// Why offsets cannot be added to a transaction; nil where they can.
    func refusal(of pending: PendingOffsetChange, groupID: String) -> StoreError? {
        let transaction = transactionsByProducer[pending.producerID]
        if case .refuse(let code, let sentence) = refusal(of: pending.producerID, pending.producerEpoch, transaction, isTransactional: true) {
            return .refused(code, sentence)
        }
        guard transaction?.takes(groupID: groupID) == true else {
            return .refused(.invalidTxnState, "producer \(pending.producerID) has no open transaction with group '\(groupID)' in it")
        }
        return nil
    }

    // MARK: - Steps

    /// Journals the steps of one submission, all of them or none; returns why none.
    func change(_ changes: [TransactionChange], _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> StoreError? {
        if case .stopped(let reason) = state { return .stopped(reason) }
        for change in changes {
            if let refusal = change.refusal ?? refusal(ofUnknown: change) ?? refusalForWantOfRoom(of: change) { return refusal }
        }
        for change in changes where change.applies?(transactions[change.transactionalID]?.state) ?? true {
            if let end = change.end { try self.end(end, &draft, &transaction) }
            if !change.transactionalID.isEmpty { try set(change.transactionalID, change.state, &draft, &transaction) }
        }
        return nil
    }

    /// A marker of no transactional id that is known here must not be older than what its partition has seen.
    private func refusal(ofUnknown change: TransactionChange) -> StoreError? {
        guard change.transactionalID.isEmpty, let end = change.end else { return nil }
        for id in end.partitions {
            guard let producer = catalog.partitions[id]?.state.producers[end.producerID] else { continue }
            guard end.producerEpoch >= producer.epoch else {
                return .refused(
                    .invalidProducerEpoch, "producer \(end.producerID) is at epoch \(producer.epoch), the marker is of epoch \(end.producerEpoch)")
            }
            guard end.coordinatorEpoch >= producer.coordinatorEpoch else {
                return .refused(
                    .transactionCoordinatorFenced,
                    "a coordinator of epoch \(producer.coordinatorEpoch) has written a marker, this one is of epoch \(end.coordinatorEpoch)")
            }
        }
        return nil
    }

    /// An end is taken however little room is left, and so is what lets go of an id. But markers that belong to no transaction known
    /// here come from whoever likes to send some, as records do.
    private func refusalForWantOfRoom(of change: TransactionChange) -> StoreError? {
        if change.transactionalID.isEmpty { return admit(byteCount: change.byteCount) }
        guard let next = change.state, change.end == nil else { return nil }
        let isOpen = transactions[change.transactionalID]?.state?.isOpen == true
        return isOpen && !next.isOpen ? nil : admit(byteCount: change.byteCount, for: .state)
    }

    private func set(
        _ id: String, _ state: TransactionState?, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        let before = transactions[id]?.state
        guard before != nil || state != nil else { return }
        if let before, before.producerID != state?.producerID {
            // Nobody can end any more what the old producer has left pending.
            try endPendingOffsets(of: before.producerID, nil, isCommit: false, &draft, &transaction)
            transactionsByProducer[before.producerID] = nil
        }
        let stored = transactions[id] ?? StoredTransaction(id)
        stored.set(state)
        transactions[id] = stored
        if let state { transactionsByProducer[state.producerID] = stored }
        var fields = TransactionChanged()
        fields.transactionalID = id
        fields.state = state.map { TransactionFields($0) }
        try record(EncodedOperation(.transactionChanged, fields, touching: [.transaction(ExactString(id))]), &draft, &transaction)
        stored.since = stored.since ?? draft.sequence
        draft.touchedTransactions.insert(id)
    }

    // MARK: - Ends

    private func end(_ end: TransactionEnd, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        let marker = ControlRecord(outcome: end.isCommit ? .commit : .abort, coordinatorEpoch: end.coordinatorEpoch)
        let batch = RecordBatchBuilder.controlBatch(
            marker, producerID: end.producerID, producerEpoch: end.producerEpoch, timestamp: draft.timeMs)
        guard let header = batch.withUnsafeBytes({ RecordBatchHeader($0) }) else { preconditionFailure("a control batch has no header") }
        let frame = Frame(batch)
        let slice = FrameSlice(offset: 0, length: batch.count)
        for id in end.partitions {
            guard let partition = catalog.partitions[id], !partition.state.isDeleted else { continue }
            try mark(Append(partition: partition, frame: frame, slice: slice, header: header, marker: marker), &draft, &transaction)
        }
        if !end.groupIDs.isEmpty {
            try endPendingOffsets(of: end.producerID, end.groupIDs, isCommit: end.isCommit, &draft, &transaction)
        }
    }

    /// Writes a marker. If it aborts something, readers are to know what: the index has it from this commit on.
    private func mark(_ marker: Append, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        let partition = marker.partition
        let firstOffset = partition.state.producers[marker.header.producerID]?.transactionStart ?? -1
        let offset = try place(marker, &draft, &transaction)
        guard firstOffset >= 0, marker.marker?.outcome == .abort else { return }
        var row = AbortedRow()
        row.producerID = marker.header.producerID
        row.firstOffset = firstOffset
        row.lastStableOffset = partition.state.lastStableOffset
        try transaction.put(AbortedKey(partition.id, offset), row.encoded(), in: transactionDatabases.aborted)
        partition.state.hasAborted = true
    }

    // MARK: - Settling

    /// Brings the row of a transactional id to where the journal up to `sequence` is not needed for it. Returns the bytes moved.
    func settleTransaction(
        _ id: String, through sequence: UInt64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Int {
        guard let stored = transactions[id], let since = stored.since, since <= sequence else { return 0 }
        stored.since = nil
        draft.isDirty = true
        guard let state = stored.state else {
            transactions[id] = nil
            try transaction.delete(TransactionKey(id), in: transactionDatabases.states)
            return 32
        }
        var row = TransactionRow()
        row.value = TransactionFields(state)
        row.asOf = Int64(draft.lastSequence)
        let bytes = row.encoded()
        try transaction.put(TransactionKey(id), bytes, in: transactionDatabases.states)
        return bytes.count
    }

    /// Deletes entries of the index of what was aborted whose markers are below `offset`. False when there are more than `left` allows.
    func deleteAborted(
        of partition: Partition, below offset: Int64, _ left: inout Int, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Bool {
        guard partition.state.hasAborted else { return true }
        var cursor = try transaction.cursor(in: transactionDatabases.aborted)
        let first = AbortedKey(partition.id, 0)
        var more = try cursor.seek(first)
        while more, let key = AbortedKey(cursor.key), key.partition == partition.id, key.lastOffset < offset {
            guard left > 0 else { return false }
            try cursor.delete()
            draft.isDirty = true
            left -= 1
            more = try cursor.seek(first)
        }
        if more, let key = AbortedKey(cursor.key), key.partition == partition.id { return true }
        partition.state.hasAborted = false
        touch(partition, &draft)
        return true
    }

    // MARK: - Publishing and loading

    /// The commit is on disk: shows readers what it did to the transactions.
    func publishTransactions(_ draft: CommitDraft) {
        if !draft.touchedTransactions.isEmpty {
            shared.transactions.withLock { published in
                for id in draft.touchedTransactions { published[id] = transactions[id]?.state }
            }
        }
        if !draft.pendingChanges.isEmpty {
            shared.pendingOffsets.withLock { published in
                for (key, change) in draft.pendingChanges where change != 0 {
                    let count = published[key.group]?[key.offset] ?? 0
                    published[key.group, default: [:]][key.offset] = count + change > 0 ? count + change : nil
                    if published[key.group]?.isEmpty == true { published[key.group] = nil }
                }
            }
        }
    }

    /// Takes over the transactions of the image.
    func takeTransactions(_ image: StoreImage) {
        transactions = image.transactions
        pendingOffsets = image.pendingOffsets
        transactionsByProducer = [:]
        for stored in transactions.values {
            if let state = stored.state { transactionsByProducer[state.producerID] = stored }
        }
        shared.transactions.withLock { $0 = transactions.compactMapValues { $0.state } }
        var counts: [ExactString: [PackedOffsetKey: Int]] = [:]
        for pending in pendingOffsets.values {
            for key in pending.offsets.keys { counts[key.group, default: [:]][key.offset, default: 0] += 1 }
        }
        shared.pendingOffsets.withLock { $0 = counts }
    }
}
