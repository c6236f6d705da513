internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Everything the committer knows and does. Only who holds it calls it: the committer's thread, or one that commits in its place.
///
/// A commit decides each submission in memory, writes the decisions as journal entries (large batches straight into
/// their keyspaces), lets the sweeps do a bounded piece of work, commits, and only then publishes what readers see.
/// If the commit fails, nothing was published; the memory is loaded again from what is on disk.
final class StoreWriter {
    let environment: Environment
    let databases: Databases
    let tailDatabase: Database
    let groupDatabases: GroupDatabases
    let transactionDatabases: TransactionDatabases
    let options: StoreOptions
    let shared: SharedState
    /// The topics as of the last decision; `shared.catalog` follows when it is on disk.
    var catalog = Catalog()
    var journal = JournalIndex()
    var counters = CountersRow()
    var brokerConfigs: [String: String] = [:]
    var topicDefaults: TopicSettings
    /// Topics whose deletion still stands in the journal.
    var deletedTopics: [Uuid: DeletedTopic] = [:]
    /// How many offsets are committed for each topic, published ones.
    var offsetCounts: [Uuid: Int] = [:]
    /// Offsets of topics that are gone.
    var offsetSweep = OffsetSweep()
    /// By transactional id, as of the last decision.
    var transactions: [ExactString: StoredTransaction] = [:]
    /// The same by the producer ids they have now.
    var transactionsByProducer: [Int64: StoredTransaction] = [:]
    /// What open transactions will commit for groups, by producer id.
    var pendingOffsets: [Int64: PendingOffsets] = [:]
    var producers = RememberedProducers()
    /// Partitions with at least an extent's worth of bytes in the journal.
    var sealQueue: Deque<Partition> = []
    /// Partitions with extents below their log start offset.
    var deletions: Deque<Partition> = []
    var deletionPace = DeletionPace()
    var budget: DiskBudget
    var sizing: ExtentSizing
    var freeListUpkeep = FreeListUpkeep()
    private var readerWatch: ReaderWatch
    var state = StoreState.serving
    /// How long the last commit took in all.
    private var lastCommitNs = UInt64.max
    /// Where an extent is put together from batches of the journal.
    let extentBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: extentByteCountMax, alignment: 16)

    init(environment: Environment, databases: Databases, options: StoreOptions, shared: SharedState) {
        self.environment = environment
        self.databases = databases
        guard let tail = databases.tail, let groups = databases.groups, let transactions = databases.transactions else {
            preconditionFailure("a store that is opened to write has all of its databases")
        }
        tailDatabase = tail
        groupDatabases = groups
        transactionDatabases = transactions
        self.options = options
        self.shared = shared
        topicDefaults = options.topicDefaults
        let (ageNsMax, isNever) = UInt64(options.readerWarningMs).multipliedReportingOverflow(by: 1_000_000)
        readerWatch = ReaderWatch(ageNsMax: isNever ? .max : ageNsMax)
        budget = DiskBudget(
            directory: environment.path, maxBytes: options.maxBytes, mapByteCount: options.mapByteCount,
            fileByteCount: environment.information().fileByteCount)
        sizing = ExtentSizing(pages: options.valuePages, nowNs: monotonicNs())
        shared.valueByteCountMax.store(sizing.byteCountMax, ordering: .relaxed)
    }

    deinit { extentBuffer.deallocate() }

    /// The journal is trimmed from half of this on.
    var journalBytesMax: Int { min(options.journalBytesMax, max(budget.limit / 8, 2 << 20)) }

    // MARK: - A commit

    /// Decides and writes `group`, and returns the partitions that readers see differently now.
    /// Throws only when nothing of it happened; the caller then calls `fail(_:)`.
    func commit(_ group: [Submission]) throws(LMDBError) -> [PartitionID] {
        let begunNs = monotonicNs()
        var draft = CommitDraft(timeMs: wallClockMs(), sequence: journal.nextSequence, valueByteCountMax: sizing.byteCountMax)
        var transaction = try environment.begin()
        budget.beginCommit()
        for submission in group { try decide(submission, &draft, &transaction) }
        try finishEntry(isLast: true, &draft, &transaction)
        try sweep(&draft, &transaction)
        // Refusals, duplicates and questions leave nothing to write: the transaction is dropped.
        guard draft.isDirty else { return publish(draft) }
        let started = monotonicNs()
        try transaction.commit()
        let nowNs = monotonicNs()
        lastCommitNs = nowNs - begunNs
        if draft.logValueCount == 0 {
            deletionPace.committed(inNs: lastCommitNs, askedCount: draft.prefetchedValueCount, deletedCount: draft.deletedExtentCount)
        }
        shared.counters.committed(draft, waitedNs: nowNs - started)
        freeListUpkeep.wrote(draft.directByteCount + draft.sealedByteCount + draft.journaledByteCount)
        if !mustJoinFreePages { sizing.committed(nowNs: nowNs) }
        shared.valueByteCountMax.store(sizing.byteCountMax, ordering: .relaxed)
        return publish(draft)
    }

    /// The last commit was quick, and nothing waits for its turn that is more than the next one does anyway.
    var expectsShortCommit: Bool {
        guard case .serving = state else { return false }
        return lastCommitNs < options.shortCommitNs && !hasSweepsWaiting && !mustJoinFreePages
    }

    /// A commit of nothing but sweeping, while nobody waits. Nil when there was nothing to do.
    func sweepIdly() throws(LMDBError) -> [PartitionID]? {
        guard hasSweepsWaiting else { return nil }
        return try commit([])
    }

    /// What is done now and then when nothing else is.
    func keepHouse() {
        let cleared = (try? environment.clearStaleReaders()) ?? 0
        if cleared > 0 {
            options.onEvent(StoreEvent(severity: .info, message: "cleared \(cleared) reader slots that dead processes had left behind"))
        }
        let nowNs = monotonicNs()
        if let event = readerWatch.look(environment, nowNs: nowNs) { options.onEvent(event) }
        shared.counters.oldestReader(ageNs: readerWatch.ageNs(nowNs))
        // Room may have come without anyone asking for it.
        if case .full = state {
            budget.beginCommit()
            _ = admit(byteCount: 0)
        }
    }

    private func decide(_ submission: Submission, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        switch submission.work {
        case .append(let appends, _):
            submission.appendResults.removeAll(keepingCapacity: true)
            submission.appendResults.reserveCapacity(appends.count)
            let refusal = admit(byteCount: submission.byteCount)
            for append in appends {
                if let refusal {
                    submission.appendResults.append(AppendResult(errorCode: refusal.errorCode, errorMessage: refusal.description))
                } else {
                    submission.appendResults.append(try self.append(append, &draft, &transaction))
                }
            }
        case .admin(let operation, _):
            submission.adminOutcome = try administer(operation, &draft, &transaction)
        case .groups(let changes, _):
            submission.changeError = try change(changes, &draft, &transaction)
        case .transactions(let changes, _):
            submission.changeError = try change(changes, &draft, &transaction)
        case .replacement(let replacement, _):
            // Carried out behind the decisions: the row that it writes must stand as of a whole commit.
            draft.replacements.append((replacement, submission))
        }
    }

    /// Writes the entry being drafted, if it holds anything.
    func finishEntry(isLast: Bool, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        guard !draft.entry.isEmpty else { return }
        let entry = draft.entry
        let timeMs = draft.timeMs
        let inTail = isLast && draft.entryCount == 0 && journal.tail.takes(byteCount: entry.byteCount)
        if !inTail { try emptyTail(&transaction) }
        let database = inTail ? tailDatabase : databases.journal
        try putValue(draft.sequence, byteCount: entry.byteCount, in: database, last: true, &transaction) { bytes in
            entry.write(to: bytes, isLast: isLast, timeMs: timeMs, epoch: 0)
        }
        journal.append(
            JournalIndex.Entry(
                sequence: draft.sequence, byteCount: entry.byteCount, operationCount: entry.operationCount, touched: entry.touched),
            inTail: inTail)
        draft.journaledByteCount += entry.byteCount
        draft.entryCount += 1
        draft.changeCount += entry.touched.count
        draft.sequence += 1
        draft.entry = JournalEntryDraft(byteCountMax: draft.valueByteCountMax)
        draft.isDirty = true
    }

    /// Puts the newest entries behind all others.
    private func emptyTail(_ transaction: inout Transaction) throws(LMDBError) {
        guard !journal.tail.isEmpty else { return }
        for sequence in journal.tailSequences {
            let isMoved = try transaction.append(sequence, from: tailDatabase, to: databases.journal)
            precondition(isMoved, "journal entry \(sequence) is missing")
        }
        try transaction.empty(tailDatabase)
        journal.emptyTail()
    }

    /// Writes a value of the log or the journal in its place, and notes how long LMDB looked for one.
    func putValue(
        _ key: some Key, byteCount: Int, in database: Database, last: Bool = false, _ transaction: inout Transaction,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(LMDBError) {
        let begunNs = monotonicNs()
        var foundNs = begunNs
        try transaction.reserve(key, byteCount: byteCount, in: database, last: last) { bytes in
            foundNs = monotonicNs()
            fill(bytes)
        }
        // What fits a page takes the first free one.
        if byteCount > 4096 { sizing.placed(inNs: foundNs - begunNs) }
    }

    /// Puts an operation into the entry being drafted, or into the next one.
    func record(_ operation: EncodedOperation, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        if !draft.entry.fits(operation: operation) { try finishEntry(isLast: false, &draft, &transaction) }
        draft.entry.add(operation)
    }

    func touch(_ partition: Partition, _ draft: inout CommitDraft) {
        guard !partition.state.isTouched else { return }
        partition.state.isTouched = true
        draft.touched.append(partition)
    }

    /// The commit is on disk: readers may see it.
    @discardableResult
    func publish(_ draft: CommitDraft) -> [PartitionID] {
        if !draft.catalogChanges.isEmpty {
            shared.catalog.withLock { catalog in
                for change in draft.catalogChanges { change.apply(to: &catalog) }
                catalog.version += 1
            }
        }
        // In this order: see `Store.pendingOffsets(of:)`.
        publishGroups(draft)
        publishTransactions(draft)
        if let configs = draft.brokerConfigs { shared.brokerConfigs.withLock { $0 = configs } }
        var changed: [PartitionID] = []
        changed.reserveCapacity(draft.touched.count)
        for partition in draft.touched where partition.publish() { changed.append(partition.id) }
        shared.counters.journal(byteCount: journal.byteCount, entryCount: journal.entries.count)
        return changed
    }
}

struct DeletedTopic: Sendable {
    var name: String
    /// The journal entry that says so.
    var sequence: UInt64
}

/// What one commit has decided so far.
struct CommitDraft {
    let timeMs: Int64
    /// Of the entry being drafted.
    var sequence: UInt64
    /// As long as values of the log and the journal are to be.
    let valueByteCountMax: Int
    var entry: JournalEntryDraft
    var entryCount = 0
    /// What the entries change, each thing as often as it is changed.
    var changeCount = 0
    var journaledByteCount = 0
    var directByteCount = 0
    var batchCount = 0
    var recordCount = 0
    var sealedByteCount = 0
    /// Values put into `log`: large batches, what was sealed, and what compaction has changed.
    var logValueCount = 0
    var deletedExtentCount = 0
    /// Asked for, to be deleted by a later commit.
    var prefetchedValueCount = 0
    /// Offsets committed and deleted.
    var offsetCount = 0
    var touched: [Partition] = []
    var touchedGroups: [StoredGroup] = []
    var touchedTransactions: Set<ExactString> = []
    /// By how much the number of transactions changes that have an offset of a group waiting.
    var pendingChanges: [PendingOffsetKey: Int] = [:]
    var catalogChanges: [CatalogChange] = []
    var brokerConfigs: [String: String]?
    /// Carried out by the sweep, after everything is decided.
    var asksForSealing: [Partition] = []
    var replacements: [(replacement: ExtentReplacement, submission: Submission)] = []
    var replacedByteCount = 0
    var compactedByteCount = 0
    /// Something was written in the transaction.
    var isDirty = false

    init(timeMs: Int64, sequence: UInt64, valueByteCountMax: Int) {
        self.timeMs = timeMs
        self.sequence = sequence
        self.valueByteCountMax = valueByteCountMax
        entry = JournalEntryDraft(byteCountMax: valueByteCountMax)
    }

    /// Everything up to here is in the transaction.
    var lastSequence: UInt64 { sequence - 1 }
}

enum CatalogChange {
    case set(Topic)
    case remove(Topic)
    case forget(PartitionID)

    func apply(to catalog: inout Catalog) {
        switch self {
        case .set(let topic): catalog.set(topic)
        case .remove(let topic): catalog.remove(topic)
        case .forget(let id): catalog.partitions[id] = nil
        }
    }
}

extension Partition {
    /// Shows readers what the commit did; true where the bounds moved.
    fileprivate func publish() -> Bool {
        let changed = tail.withLock { tail in
            let before = (tail.logStartOffset, tail.highWatermark, tail.isDeleted)
            tail.pieces.removeFirst(state.sealedPieceCount)
            tail.pieces.append(contentsOf: state.added)
            tail.highWatermark = state.nextOffset
            tail.lastStableOffset = state.lastStableOffset
            tail.hasAborted = state.hasAborted
            tail.logStartOffset = state.logStartOffset
            tail.logByteCount = state.logByteCount
            tail.isDeleted = state.isDeleted
            while let first = tail.pieces.first, first.isDirect || first.lastOffset < tail.logStartOffset || tail.isDeleted {
                state.passed(first)
                tail.pieces.removeFirst()
            }
            return before != (tail.logStartOffset, tail.highWatermark, tail.isDeleted)
        }
        state.added.removeAll(keepingCapacity: state.added.count <= 16)
        state.sealedPieceCount = 0
        state.isTouched = false
        return changed
    }
}
