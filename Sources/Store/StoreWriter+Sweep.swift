internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// What one commit may spend on sweeping.
struct SweepBudget {
    private var byteCount: Int
    private var rowCount: Int

    init(byteCount: Int, rowCount: Int) {
        self.byteCount = byteCount
        self.rowCount = rowCount
    }

    var isSpent: Bool { byteCount <= 0 || rowCount <= 0 }

    /// Of a row or an extent that was written; 0: it was in order already.
    mutating func take(_ bytes: Int) {
        byteCount -= bytes
        if bytes > 0 { rowCount -= 1 }
    }
}

/// Bounded background work, done in the same transactions as everything else: batches are sealed out of the journal into
/// extents of their partition, the journal is trimmed, and what is below a log start offset is deleted.
extension StoreWriter {
    /// Something a commit without submissions could do. Sealing alone is none of it: it can wait for the next writes.
    var hasSweepsWaiting: Bool {
        if case .stopped = state { return false }
        return !deletions.isEmpty || !offsetSweep.isIdle || journal.byteCount > journalBytesMax && journal.entries.count > 1
    }

    func sweep(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        // Twice of what came in: the sweep catches up however long the writes go on, and never costs more than they do.
        var budget = SweepBudget(byteCount: max(2 * draft.journaledByteCount, 1 << 20), rowCount: max(2 * draft.changeCount, 2_048))
        try sealAsked(&draft, &transaction)
        try sealFullExtents(&budget, &draft, &transaction)
        try replaceExtents(&draft, &transaction)
        if journal.byteCount > journalBytesMax / 2 || journal.changeCount > options.journalOperationsMax / 2 {
            try trim(entries: max(2 * draft.entryCount, 16), &budget, keepingLast: true, &draft, &transaction)
        }
        try deleteExtents(&draft, &transaction)
        try sweepOffsets(&draft, &transaction)
    }

    // MARK: - Sealing

    /// Extents that one commit seals for one who asks.
    private static let sealsPerRequest = 4

    /// Seals batches of partitions that would otherwise wait in the journal until it is trimmed.
    private func sealAsked(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        for partition in draft.asksForSealing where !partition.state.isDeleted {
            var count = 0
            while count < Self.sealsPerRequest, try sealExtent(of: partition, &draft, &transaction) > 0 { count += 1 }
            if count > 0 { try writeRow(of: partition, &draft, &transaction) }
        }
    }

    private func sealFullExtents(_ budget: inout SweepBudget, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        while !budget.isSpent, let partition = sealQueue.popFirst() {
            partition.state.isQueuedForSealing = false
            guard !partition.state.isDeleted, partition.state.unsealedByteCount >= extentByteCountMax - directByteCountMin else { continue }
            let moved = try sealExtent(of: partition, &draft, &transaction)
            budget.take(moved)
            if moved > 0 {
                try writeRow(of: partition, &draft, &transaction)
                if partition.state.unsealedByteCount >= extentByteCountMax - directByteCountMin {
                    partition.state.isQueuedForSealing = true
                    sealQueue.append(partition)
                }
            } else {
                // Its bytes belong to the commit being made; the next one will find them.
                partition.state.isQueuedForSealing = true
                sealQueue.append(partition)
                return
            }
        }
    }

    /// Moves the partition's oldest unsealed batches, as many as one extent holds, out of the journal. Returns their bytes.
    func sealExtent(of partition: Partition, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> Int {
        let (pieces, skipped) = nextRun(of: partition, byteCountMax: draft.valueByteCountMax)
        // Extents that stood above unsealed batches are now in line.
        partition.state.sealedPieceCount += skipped.count
        for piece in skipped { partition.state.passed(piece) }
        if !skipped.isEmpty { touch(partition, &draft) }
        guard let first = pieces.first else { return 0 }
        touch(partition, &draft)
        var length = 0
        for piece in pieces {
            guard let entry = try transaction.journalEntry(piece.sequence, databases) else {
                preconditionFailure(
                    "journal entry \(piece.sequence) was trimmed while partition \(partition.id.rawValue) had batches in it")
            }
            entry.withUnsafeBytes { bytes in
                let start = JournalEntryHead.payloadStart(bytes) + Int(piece.position)
                UnsafeMutableRawBufferPointer(rebasing: extentBuffer[length...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(piece.byteCount))]))
            }
            length += Int(piece.byteCount)
        }
        let filled = UnsafeRawBufferPointer(rebasing: extentBuffer[..<length])
        try putValue(LogKey(partition.id, first.baseOffset), byteCount: length, in: databases.log, &transaction) {
            $0.copyMemory(from: filled)
        }
        var time = ExtentTime()
        for piece in pieces { time.add(piece.maxTimestamp, keptBy: piece.keptTimestamp) }
        partition.state.sealedMaxTimestamp = max(partition.state.sealedMaxTimestamp, time.own)
        try putTime(partition, baseOffset: first.baseOffset, runningMaximum: partition.state.sealedMaxTimestamp, time, &transaction)
        partition.state.sealedPieceCount += pieces.count
        partition.state.unsealedByteCount -= length
        partition.state.logByteCount += Int64(length)
        draft.sealedByteCount += length
        draft.logValueCount += 1
        draft.isDirty = true
        return length
    }

    /// The batches that the next extent takes, and what stands before them and needs no sealing: extents that are in line
    /// already, and batches below the log start offset.
    private func nextRun(of partition: Partition, byteCountMax: Int) -> (pieces: [Piece], skipped: [Piece]) {
        partition.tail.withLock { tail in
            var skipped: [Piece] = []
            var run: [Piece] = []
            var length = 0
            for piece in tail.pieces.dropFirst(partition.state.sealedPieceCount) {
                if run.isEmpty, piece.isDirect || piece.lastOffset < partition.state.logStartOffset {
                    skipped.append(piece)
                    continue
                }
                if piece.isDirect { break }
                guard run.isEmpty || length + Int(piece.byteCount) <= byteCountMax else { break }
                run.append(piece)
                length += Int(piece.byteCount)
            }
            return (run, skipped)
        }
    }

    // MARK: - Trimming the journal

    /// Removes up to `entries` of the oldest entries, after settling what they changed; stops when the budget is spent.
    func trim(
        entries count: Int, _ budget: inout SweepBudget, keepingLast: Bool, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        for _ in 0..<count {
            guard let entry = journal.entries.first, !keepingLast || journal.entries.count > draft.entryCount + 1 else { return }
            while journal.frontSettled < entry.touched.count {
                if budget.isSpent { return }
                budget.take(try settle(entry.touched[journal.frontSettled], through: entry.sequence, &draft, &transaction))
                journal.frontSettled += 1
            }
            let wasThere = try transaction.delete(entry.sequence, in: journal.isFirstInTail ? tailDatabase : databases.journal)
            precondition(wasThere, "journal entry \(entry.sequence) is missing")
            draft.isDirty = true
            journal.removeFirst()
            if keepingLast, journal.byteCount <= journalBytesMax / 2, journal.changeCount <= options.journalOperationsMax / 2 { return }
        }
    }

    /// Brings the databases to where the journal up to `sequence` is not needed for `key`. Returns the bytes moved.
    private func settle(
        _ key: StateKey, through sequence: UInt64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Int {
        switch key {
        case .partition(let id):
            guard let partition = catalog.partitions[id] else { return 0 }
            var moved = 0
            if !partition.state.isDeleted {
                while let first = firstUnsealed(partition).piece, first.sequence <= sequence {
                    let length = try sealExtent(of: partition, &draft, &transaction)
                    precondition(length > 0, "a batch of journal entry \(first.sequence) could not be sealed")
                    moved += length
                }
            }
            if moved > 0 || partition.state.asOf < sequence || partition.state.isRowBehindLogStart {
                try writeRow(of: partition, &draft, &transaction)
                moved += 512
            }
            return moved
        case .topic(let id):
            try writeTopic(id, &draft, &transaction)
            if let deleted = deletedTopics[id], deleted.sequence <= sequence { deletedTopics[id] = nil }
            return 512
        case .counters:
            draft.isDirty = true
            counters.asOf = Int64(draft.lastSequence)
            try transaction.put("counters", counters.encoded(), in: databases.meta)
            return 128
        case .brokerConfigs:
            draft.isDirty = true
            var row = BrokerConfigsRow()
            row.configs = brokerConfigs.entries
            row.asOf = Int64(draft.lastSequence)
            try transaction.put("configs", row.encoded(), in: databases.meta)
            return 128
        case .groupRecord(let group, let key): return try settle(key, of: group, through: sequence, &draft, &transaction)
        case .offset(let group, let key): return try settle(key, of: group, through: sequence, &draft, &transaction)
        case .transaction(let id): return try settleTransaction(id.text, through: sequence, &draft, &transaction)
        case .pendingOffset(let producerID, let key): return try settle(key, of: producerID, through: sequence, &draft, &transaction)
        }
    }

    /// The first batch that stands in the journal, published or of this commit, and the greatest timestamp of what comes
    /// before it and is not accounted as sealed yet.
    func firstUnsealed(_ partition: Partition) -> (piece: Piece?, maxTimestamp: Int64) {
        var maxTimestamp: Int64 = -1
        func isFirst(_ piece: Piece) -> Bool {
            if !piece.isDirect, piece.lastOffset >= partition.state.logStartOffset { return true }
            maxTimestamp = max(maxTimestamp, piece.maxTimestamp)
            return false
        }
        let published = partition.tail.withLock { tail in
            tail.pieces.dropFirst(partition.state.sealedPieceCount).first(where: isFirst)
        }
        return (published ?? partition.state.added.first(where: isFirst), maxTimestamp)
    }

    // MARK: - Rows

    /// Writes the partition's row, and those of its producers that are behind, as of the last entry of this commit.
    func writeRow(of partition: Partition, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        forgetExpiredProducers(of: partition, now: draft.timeMs)
        var row = PartitionRow()
        row.topicID = partition.topicID
        row.index = partition.index
        row.logStartOffset = partition.state.logStartOffset
        row.nextOffset = partition.state.nextOffset
        let unsealed = firstUnsealed(partition)
        row.sealedEnd = unsealed.piece?.baseOffset ?? partition.state.nextOffset
        row.logByteCount = partition.state.logByteCount
        row.maxTimestamp = partition.state.maxTimestamp
        row.sealedMaxTimestamp = max(partition.state.sealedMaxTimestamp, unsealed.maxTimestamp)
        row.deleted = partition.state.isDeleted
        row.asOf = Int64(draft.lastSequence)
        row.cleaning = partition.state.cleaning
        try transaction.put(PartitionKey(partition: partition.id), row.encoded(), in: databases.partitions)
        for id in partition.state.staleProducers {
            let key = ProducerKey(partition.id, id)
            if let producer = partition.state.producers[id], !partition.state.isDeleted {
                var row = ProducerRow()
                row.epoch = producer.epoch
                row.lastAppendTimeMs = producer.lastAppendTimeMs
                row.batches = producer.batches
                row.transactionStart = producer.transactionStart
                row.coordinatorEpoch = producer.coordinatorEpoch
                try transaction.put(key, row.encoded(), in: databases.producers)
            } else {
                try transaction.delete(key, in: databases.producers)
            }
        }
        partition.state.staleProducers.removeAll(keepingCapacity: partition.state.staleProducers.count <= 1_024)
        partition.state.asOf = draft.lastSequence
        partition.state.isRowBehindLogStart = false
        draft.isDirty = true
    }

    private func writeTopic(_ id: Uuid, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        draft.isDirty = true
        guard let topic = catalog.byID[id] ?? deletedTopics[id].flatMap({ catalog.byName[$0.name] }) else {
            // A topic that is nowhere was deleted, and its row with it, when an earlier entry was trimmed.
            if let deleted = deletedTopics[id] { try transaction.delete(deleted.name, in: databases.topics) }
            return
        }
        var row = TopicRow()
        row.id = topic.id
        row.runs = topic.runs
        row.configs = topic.configs.entries
        row.asOf = Int64(draft.lastSequence)
        try transaction.put(topic.name, row.encoded(), in: databases.topics)
    }
}
