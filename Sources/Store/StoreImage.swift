internal import DequeModule
internal import KafkaProtocol
internal import LMDB

/// The state of a store as its databases and its journal tell it: read at the start, and again after a commit that
/// failed for want of room.
///
/// Rows say as of which journal sequence they stand; the journal's operations after that are applied on top. Only heads
/// of entries are read, never batches, so the work is bounded by the journal's limits and not by the data.
struct StoreImage {
    struct LoadedTopic {
        var name: String
        var row: TopicRow
    }

    struct LoadedPartition {
        var topicID: Uuid
        var index: Int32
        var state = PartitionState()
        var pieces: Deque<Piece> = []
        /// Of the row.
        var sealedEnd: Int64 = 0
    }

    private(set) var identity = IdentityRow()
    private(set) var topics: [Uuid: LoadedTopic] = [:]
    var partitions: [PartitionID: LoadedPartition] = [:]
    private(set) var counters = CountersRow()
    private(set) var brokerConfigs = BrokerConfigsRow()
    private(set) var journal = JournalIndex()
    /// With what readers are to see of them, and what is not in their rows.
    var groups: [ExactString: StoredGroup] = [:]
    var groupReplay = GroupReplay()
    var transactions: [ExactString: StoredTransaction] = [:]
    var pendingOffsets: [Int64: PendingOffsets] = [:]
    private(set) var deletedTopics: [Uuid: DeletedTopic] = [:]
    /// The last shutdown sealed everything.
    private(set) var wasShutDownCleanly = false
    private var partitionsByTopic: [Uuid: [PartitionID]] = [:]

    init(_ snapshot: borrowing Snapshot, _ databases: Databases) throws(StoreError) {
        do {
            try readMeta(snapshot, databases)
            try readTopics(snapshot, databases)
            try readPartitions(snapshot, databases)
            try readProducers(snapshot, databases)
            try readGroups(snapshot, databases)
            try readTransactions(snapshot, databases)
            try replay(snapshot, databases)
            try settleGroups(snapshot, databases)
            try readAborted(snapshot, databases)
        } catch let error as LMDBError {
            throw StoreError(error, "reading the store")
        } catch let error as StoreError {
            throw error
        } catch {
            throw .system("\(error)")
        }
        for id in partitions.keys { partitions[id]?.dropDeletedPieces() }
    }

    // MARK: - Rows

    private mutating func readMeta(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        guard let identity = try snapshot.value("identity", in: databases.meta) else {
            throw StoreError.cannotOpen("the file is an LMDB environment but not a store of lmbroker (no identity in its meta database)")
        }
        self.identity = try IdentityRow(identity, "the store's identity")
        if let row = try snapshot.value("counters", in: databases.meta) { counters = try CountersRow(row, "the counters") }
        if let row = try snapshot.value("configs", in: databases.meta) { brokerConfigs = try BrokerConfigsRow(row, "the broker's configs") }
        if let row = try snapshot.value("shutdown", in: databases.meta) {
            journal.start(at: UInt64(try ShutdownRow(row, "the shutdown mark").sequence) + 1)
            wasShutDownCleanly = true
        }
    }

    private mutating func readTopics(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        var cursor = try snapshot.cursor(in: databases.topics)
        var more = try cursor.move(.first)
        while more {
            let name = cursor.key.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            let row = try TopicRow(cursor.value, "the row of topic '\(name)'")
            topics[row.id] = LoadedTopic(name: name, row: row)
            more = try cursor.move(.next)
        }
    }

    private mutating func readPartitions(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        var cursor = try snapshot.cursor(in: databases.partitions)
        var more = try cursor.move(.first)
        while more {
            guard cursor.key.byteCount == 4 else {
                throw StoreError.corrupt("a key of the partitions is \(cursor.key.byteCount) bytes long")
            }
            let id = PartitionID(rawValue: UInt32(bigEndian: cursor.key.unsafeLoadUnaligned(as: UInt32.self)))
            add(id, LoadedPartition(try PartitionRow(cursor.value, "the row of partition \(id.rawValue)")))
            more = try cursor.move(.next)
        }
    }

    private mutating func readProducers(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        var cursor = try snapshot.cursor(in: databases.producers)
        var more = try cursor.move(.first)
        while more {
            guard let key = ProducerKey(cursor.key) else {
                throw StoreError.corrupt("a key of the producers is \(cursor.key.byteCount) bytes long")
            }
            let row = try ProducerRow(cursor.value, "the row of producer \(key.producerID) in partition \(key.partition.rawValue)")
            partitions[key.partition]?.state.producers[key.producerID] = ProducerState(
                epoch: row.epoch, lastAppendTimeMs: row.lastAppendTimeMs, batches: row.batches, transactionStart: row.transactionStart,
                coordinatorEpoch: row.coordinatorEpoch)
            if row.transactionStart >= 0 {
                partitions[key.partition]?.state.openTransactions.append(
                    OpenTransaction(producerID: key.producerID, firstOffset: row.transactionStart))
            }
            more = try cursor.move(.next)
        }
    }

    private mutating func add(_ id: PartitionID, _ partition: LoadedPartition) {
        partitions[id] = partition
        partitionsByTopic[partition.topicID, default: []].append(id)
    }

    // MARK: - The journal

    private mutating func replay(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        var isComplete = try replay(snapshot, databases.journal, inTail: false) ?? true
        if let tail = databases.tail {
            isComplete = try replay(snapshot, tail, inTail: true) ?? isComplete
        } else if identity.storeFormat > 4 {
            throw StoreError.corrupt("the database of the journal's newest entries is missing")
        }
        guard isComplete else { throw StoreError.corrupt("the journal ends within a commit") }
    }

    /// Applies the entries of a database; returns whether the last one is the last of its commit, nil where there is none.
    private mutating func replay(_ snapshot: borrowing Snapshot, _ database: Database, inTail: Bool) throws -> Bool? {
        var cursor = try snapshot.cursor(in: database)
        var more = try cursor.move(.first)
        var isComplete: Bool?
        while more {
            guard cursor.key.byteCount == 8 else { throw StoreError.corrupt("a key of the journal is \(cursor.key.byteCount) bytes long") }
            let sequence = cursor.key.unsafeLoadUnaligned(as: UInt64.self)
            if journal.entries.isEmpty {
                // A journal that begins behind the mark is one that went on after it.
                if sequence != journal.nextSequence { journal.start(at: sequence) }
                wasShutDownCleanly = false
            } else if sequence != journal.nextSequence {
                throw StoreError.corrupt("journal entry \(journal.nextSequence) is missing, \(sequence) follows")
            }
            isComplete = try cursor.value.withUnsafeBytes { try apply($0, sequence, inTail: inTail) }
            more = try cursor.move(.next)
        }
        return isComplete
    }

    /// Applies one entry; returns whether it is the last of its commit.
    private mutating func apply(_ entry: UnsafeRawBufferPointer, _ sequence: UInt64, inTail: Bool) throws(StoreError) -> Bool {
        let head = try JournalEntryHead(entry, sequence: sequence)
        var touched: [StateKey] = []
        try head.forEachOperation(in: entry, sequence: sequence) { operation throws(StoreError) in
            apply(operation, sequence, at: head.timeMs, &touched)
        }
        journal.append(
            JournalIndex.Entry(sequence: sequence, byteCount: entry.count, operationCount: head.operationCount, touched: touched),
            inTail: inTail)
        return head.isLastOfCommit
    }

    private mutating func apply(_ operation: Operation, _ sequence: UInt64, at timeMs: Int64, _ touched: inout [StateKey]) {
        switch operation {
        case .appended(let batch):
            touched.append(.partition(batch.partition))
            partitions[batch.partition]?.apply(batch, sequence, at: timeMs)
        case .topicCreated(let created):
            touched += [.topic(created.id), .counters] + created.partitions.keys
            apply(created, sequence)
        case .topicDeleted(let deleted):
            touched.append(.topic(deleted.id))
            for id in partitionsByTopic[deleted.id] ?? [] {
                touched.append(.partition(id))
                partitions[id]?.state.isDeleted = true
            }
            if let topic = topics.removeValue(forKey: deleted.id) {
                deletedTopics[deleted.id] = DeletedTopic(name: topic.name, sequence: sequence)
            }
        case .partitionsCreated(let created):
            touched += [.topic(created.topicID), .counters] + created.partitions.keys
            apply(created, sequence)
        case .topicConfigured(let configured):
            touched.append(.topic(configured.topicID))
            guard let topic = topics[configured.topicID], topic.row.asOf < Int64(sequence) else { return }
            topics[configured.topicID]?.row.configs = configured.configs
        case .brokerConfigured(let configured):
            touched.append(.brokerConfigs)
            if brokerConfigs.asOf < Int64(sequence) { brokerConfigs.configs = configured.configs }
        case .logStartMoved(let moved):
            let id = PartitionID(rawValue: UInt32(bitPattern: moved.partition))
            touched.append(.partition(id))
            guard let partition = partitions[id], partition.state.asOf < sequence else { return }
            partitions[id]?.state.logStartOffset = moved.offset
            partitions[id]?.state.isRowBehindLogStart = true
        case .producerIDAllocated(let allocated):
            touched.append(.counters)
            if counters.asOf < Int64(sequence) { counters.nextProducerID = allocated.producerID + 1 }
        case .groupChanged(let changed): apply(changed, sequence, &touched)
        case .transactionChanged(let changed): apply(changed, sequence, &touched)
        case .offsetsPending(let pending): apply(pending, sequence, &touched)
        case .pendingOffsetsEnded(let ended): apply(ended, sequence, &touched)
        }
    }

    private mutating func apply(_ created: TopicCreated, _ sequence: UInt64) {
        raisePartitionCounter(created.partitions, sequence)
        // The row of an older topic of that name may still stand; its deletion came before, in the journal.
        if topics[created.id] == nil {
            var row = TopicRow()
            row.id = created.id
            row.runs = [created.partitions]
            row.configs = created.configs
            topics[created.id] = LoadedTopic(name: created.name, row: row)
        }
        addMissing(created.partitions, of: created.id, from: 0)
    }

    private mutating func apply(_ created: PartitionsCreated, _ sequence: UInt64) {
        raisePartitionCounter(created.partitions, sequence)
        guard let topic = topics[created.topicID] else {
            // Its deletion follows, and its row is gone already. The partitions may have extents, which are to go as well.
            return addMissing(created.partitions, of: created.topicID, from: 0)
        }
        let isNew = !topic.row.runs.contains(created.partitions)
        let before = topic.row.runs.prefix { $0 != created.partitions }.reduce(0) { $0 + $1.count }
        if isNew { topics[created.topicID]?.row.runs.append(created.partitions) }
        addMissing(created.partitions, of: created.topicID, from: before)
    }

    private mutating func addMissing(_ run: PartitionRun, of topicID: Uuid, from index: Int32) {
        for (position, id) in run.ids.enumerated() where partitions[id] == nil {
            add(id, LoadedPartition(topicID: topicID, index: index + Int32(position)))
        }
    }

    private mutating func raisePartitionCounter(_ run: PartitionRun, _ sequence: UInt64) {
        if counters.asOf < Int64(sequence) { counters.nextPartitionID = max(counters.nextPartitionID, run.first + run.count) }
    }
}

extension StoreImage.LoadedPartition {
    init(_ row: PartitionRow) {
        topicID = row.topicID
        index = row.index
        sealedEnd = row.sealedEnd
        state.logStartOffset = row.logStartOffset
        state.nextOffset = row.nextOffset
        state.logByteCount = row.logByteCount
        state.maxTimestamp = row.maxTimestamp
        state.sealedMaxTimestamp = row.sealedMaxTimestamp
        state.isDeleted = row.deleted
        state.asOf = UInt64(row.asOf)
        state.cleaning = row.cleaning
    }

    mutating func apply(_ batch: AppendedBatch, _ sequence: UInt64, at timeMs: Int64) {
        if sequence > state.asOf {
            state.remember(batch, at: timeMs)
            if batch.isDirect { state.logByteCount += Int64(batch.batchByteCount) }
        }
        guard batch.baseOffset >= sealedEnd else { return }
        if batch.isDirect, pieces.isEmpty {
            state.sealedMaxTimestamp = max(state.sealedMaxTimestamp, batch.maxTimestamp)
            return
        }
        if !batch.isDirect { state.unsealedByteCount += Int(batch.batchByteCount) }
        pieces.append(Piece(batch, in: sequence, at: timeMs))
    }

    /// What is below the log start offset, or of a deleted topic, need not be sealed.
    mutating func dropDeletedPieces() {
        if state.isDeleted { state.logStartOffset = state.nextOffset }
        while let first = pieces.first, first.isDirect || first.lastOffset < state.logStartOffset {
            state.passed(first)
            pieces.removeFirst()
        }
    }

    var tail: PartitionTail {
        PartitionTail(
            logStartOffset: state.logStartOffset, highWatermark: state.nextOffset, lastStableOffset: state.lastStableOffset,
            hasAborted: state.hasAborted, logByteCount: state.logByteCount, pieces: pieces, isDeleted: state.isDeleted)
    }
}
