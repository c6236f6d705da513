internal import Dispatch
internal import Glibc
public import KafkaProtocol
internal import LMDB
internal import Synchronization

/// What the committer publishes and everyone reads.
final class SharedState: Sendable {
    let catalog = Mutex(Catalog())
    let brokerConfigs = Mutex<[String: String]>([:])
    let state = Mutex(StoreState.serving)
    let counters = StoreCounters()
    /// As long as values of the log and the journal are made now, in bytes.
    let valueByteCountMax = Atomic(extentByteCountMax)
    /// The one object of each group; also of such as have nothing to show yet, or any more.
    let groups = Mutex<[ExactString: StoredGroup]>([:])
    let transactions = Mutex<[ExactString: TransactionState]>([:])
    /// By group: how many transactions have an offset waiting, where any has.
    let pendingOffsets = Mutex<[ExactString: [PackedOffsetKey: Int]]>([:])
}

/// One LMDB environment with its one writer: topics, partitions, offsets, producers, everything a broker keeps.
///
/// An instance, never a global: a process may hold several.
public final class Store: Sendable {
    public let directory: String
    public let clusterID: String
    public let options: StoreOptions
    private let environment: Environment
    private let databases: Databases
    private let lock: DirectoryLock
    let shared: SharedState
    var valueByteCountMax: Int { shared.valueByteCountMax.load(ordering: .relaxed) }
    private let committer: GroupCommitter
    private let readers = ReaderPool()
    /// Closed stores answer questions but take no writes.
    private let isClosed = ClosedMark()

    /// The newest format that can be read, and the one that is written.
    public static let format = Databases.format

    /// Opens the store in `directory`, creating directory and store where there is none.
    /// Throws `cannotOpen` with a sentence for people: in use, of a newer format, not a store, …
    public static func open(directory: String, options: StoreOptions = StoreOptions()) throws(StoreError) -> Store {
        try Store(directory, options)
    }

    private init(_ directory: String, _ options: StoreOptions) throws(StoreError) {
        self.directory = directory
        self.options = options
        let opening = try StoreOpening(directory, options)
        lock = opening.lock
        environment = opening.environment
        databases = opening.databases
        clusterID = opening.identity.clusterID
        shared = SharedState()
        let writer = StoreWriter(environment: environment, databases: databases, options: options, shared: shared)
        do {
            try writer.load()
            try Self.expectScatteredReads(environment, databases)
        } catch {
            lock.release()
            throw error
        }
        let cleared = (try? environment.clearStaleReaders()) ?? 0
        if let raisedFrom = opening.raisedFrom {
            options.onEvent(
                StoreEvent(
                    severity: .info, message: "the store was of format \(raisedFrom) and is now of format \(Databases.format); an older broker refuses it"))
        }
        if cleared > 0 {
            options.onEvent(StoreEvent(severity: .info, message: "cleared \(cleared) reader slots that dead processes had left behind"))
        }
        committer = GroupCommitter(writer)
        committer.start()
    }

    /// Loading goes through whole databases. After it, records are asked for ahead where they are read, and anything more that
    /// the kernel would read at a page fault is what nobody wants: the neighbours of a page that a deletion looks at.
    private static func expectScatteredReads(_ environment: Environment, _ databases: Databases) throws(StoreError) {
        try lmdb("opening the store") { () throws(LMDBError) in
            let snapshot = try environment.snapshot()
            if let identity = try snapshot.value("identity", in: databases.meta) { try environment.expectScatteredReads(identity) }
        }
    }

    // MARK: - The catalog

    public func topic(named name: String) -> Topic? { shared.catalog.withLock { $0.byName[name] } }
    public func topic(id: Uuid) -> Topic? { shared.catalog.withLock { $0.byID[id] } }
    public func partition(_ id: PartitionID) -> Partition? { shared.catalog.withLock { $0.partitions[id] } }
    /// All topics, by name.
    public func topics() -> [Topic] { topicsInAnyOrder().sorted { $0.name < $1.name } }
    public func topicsInAnyOrder() -> [Topic] { shared.catalog.withLock { Array($0.byName.values) } }
    /// How many partitions all topics have.
    public var partitionCount: Int { shared.catalog.withLock { $0.partitionCount } }
    /// The broker's dynamic configs.
    public func brokerConfigs() -> [String: String] { shared.brokerConfigs.withLock { $0 } }

    // MARK: - Writing

    /// Hands work to the committer. Any thread; returns at once; the submissions of one thread keep their order.
    public func submit(_ submissions: [Submission]) { committer.submit(submissions) }

    /// As `submit`, from a thread that has nothing else to do: where nobody else writes and the disk is quick, the commit is made on it, and
    /// delivered before this returns.
    public func submitLone(_ submission: Submission) { committer.submitLone(submission) }

    /// Has `lane` told of every commit that moves a partition's bounds.
    public func register(_ lane: any Lane) { committer.register(lane) }

    /// Performs one operation for a task.
    public func perform(_ operation: AdminOperation) async -> AdminOutcome {
        await withCheckedContinuation { continuation in
            submit([.admin(operation, lane: TaskLane.shared) { continuation.resume(returning: $0) }])
        }
    }

    /// Lays other defaults under the configs of every topic, those of later ones included.
    public func setTopicDefaults(_ defaults: TopicSettings) async { _ = await perform(.setTopicDefaults(defaults)) }

    /// Whether the store takes writes.
    public var state: StoreState { shared.state.withLock { $0 } }

    // MARK: - Reading

    /// Lends a reader with a fresh snapshot. Not to be kept, nor held while waiting for anything.
    public func withReader<R>(_ body: (LogReader) throws(StoreError) -> R) throws(StoreError) -> R {
        let reader = try lmdb("taking a snapshot") { () throws(LMDBError) in try readers.take(environment, databases) }
        defer { readers.putBack(reader) }
        return try body(reader)
    }

    /// Lends a reader with a fresh snapshot until the loan goes; nil when so many are lent that what is read has to be copied at once.
    public func lendReader() throws(StoreError) -> ReaderLoan? {
        try lmdb("taking a snapshot") { () throws(LMDBError) in try readers.lend(environment, databases) }
    }

    public func statistics() -> StoreStatistics {
        var statistics = shared.counters.current
        statistics.loneSubmissionCount = committer.loneSubmissionCount
        let information = environment.information()
        statistics.fileByteCount = information.fileByteCount
        statistics.readersInUse = information.readersInUse
        let oldest = environment.laggingReader()?.transactionID
        statistics.oldestReaderLag = oldest.map { max(information.lastTransactionID - $0, 0) } ?? 0
        if let pages = try? environment.freePages() {
            statistics.freeByteCount = pages.count * information.pageByteCount
            statistics.heldByteCount = pages.heldCount * information.pageByteCount
            statistics.freeListRowCount = pages.rowCount
        }
        return statistics
    }

    // MARK: - Backup and end

    /// Writes a consistent copy of the last commit into the directory `target`, which is made or holds no `data.mdb`, while the store serves.
    /// `compacting` leaves free pages out; the file grows by what is written while it runs. `bytesPerSecond` leaves the disk to others, and
    /// nil to nobody.
    public func backup(
        to target: String, compacting: Bool = false, bytesPerSecond: Int? = nil,
        progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void = { _, _ in }
    ) throws(StoreError) {
        try HotCopy(environment, to: target, compacting: compacting, bytesPerSecond: bytesPerSecond).run(progress)
    }

    /// The same by another process than the one that serves `directory`.
    public static func backup(
        of directory: String, to target: String, compacting: Bool = false, bytesPerSecond: Int? = nil,
        progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void = { _, _ in }
    ) throws(StoreError) {
        let (environment, _) = try StoreOpening.openToRead(directory)
        try HotCopy(environment, to: target, compacting: compacting, bytesPerSecond: bytesPerSecond).run(progress)
    }

    /// Gives the free pages of a store that nobody has open back to the file system: the file is written anew beside the old one, for
    /// which there has to be room, and takes its place in one step.
    public static func compact(
        _ directory: String, progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void = { _, _ in }
    ) throws(StoreError) -> CompactionOutcome {
        try OfflineCompaction(directory).run(progress)
    }

    /// Commits what was submitted, seals everything, and gives the directory free. Blocks until it is on disk, also for those who
    /// close the store a second time meanwhile; except when called from a submission's `finish`, on the committer's own thread.
    public func close() {
        if committer.isCurrentThread {
            // The last submission held the store. The thread cannot wait for its own end.
            DispatchQueue.global().async { [isClosed, committer, readers, lock] in Self.close(isClosed, committer, readers, lock) }
        } else {
            Self.close(isClosed, committer, readers, lock)
        }
    }

    private static func close(_ isClosed: ClosedMark, _ committer: GroupCommitter, _ readers: ReaderPool, _ lock: DirectoryLock) {
        isClosed.mark.withLock { isClosed in
            guard !isClosed else { return }
            committer.close()
            readers.clear()
            lock.release()
            isClosed = true
        }
    }

    deinit { close() }
}

/// Outlives a store that is closed from its committer's thread.
private final class ClosedMark: Sendable {
    let mark = Mutex(false)
}

/// The lane of tasks: whoever waits is resumed where the committer stands.
private final class TaskLane: Lane {
    static let shared = TaskLane()
    var isWatching: Bool { false }
    func deliver(_ finished: [Submission], changed: [PartitionID]) {
        for submission in finished { submission.finish() }
    }
}
