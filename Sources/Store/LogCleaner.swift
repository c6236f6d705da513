internal import Dispatch
internal import Glibc
internal import Synchronization

/// How compaction is run; the names in the comments are the broker's properties.
public struct CleanerOptions: Sendable, Equatable {
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one pass, in bytes; what finds no room is left to the next.
    public var keyMapBytesMax = 128 << 20
    /// `log.cleaner.backoff.ms`: how long to wait where there is nothing to do.
    public var backoffMs: Int64 = 15_000

    public init() {}
}

/// The thread that compacts. It looks for the partitions of compacted topics that have become dirty enough, cleans them, the dirtiest
/// first, and sleeps when there are none. What it changes goes through the committer like everyone's work.
public final class LogCleaner: Sendable {
    private let store: Store
    private let options: @Sendable () -> CleanerOptions
    private let isStopping = Atomic(false)
    private let wake = DispatchSemaphore(value: 0)
    private let thread = Mutex<pthread_t?>(nil)

    /// `options` is asked again before each look.
    public init(_ store: Store, options: @escaping @Sendable () -> CleanerOptions) {
        self.store = store
        self.options = options
    }

    /// Begins to compact. Called once.
    public func start() {
        let cleaner = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LogCleaner>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, cleaner.toOpaque())
        precondition(code == 0, "the cleaner's thread could not be started: \(String(cString: strerror(code)))")
        self.thread.withLock { $0 = thread }
    }

    /// Returns when the thread has ended, which is after the step it is at. To be called before the store is closed.
    public func stop() {
        isStopping.store(true, ordering: .relaxed)
        wake.signal()
        guard
            let thread = thread.withLock({ thread in
                defer { thread = nil }
                return thread
            })
        else { return }
        pthread_join(thread, nil)
    }

    private func run() {
        // On Linux this is the thread's own: whoever serves clients goes first.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        var round = CleaningRound(store) { self.isStopping.load(ordering: .relaxed) }
        while !isStopping.load(ordering: .relaxed) {
            let options = options()
            if !round.run(options) {
                _ = wake.wait(timeout: .now() + .milliseconds(Int(clamping: min(options.backoffMs, 86_400_000))))
            }
        }
    }
}

/// One look at all compacted partitions after the other.
struct CleaningRound {
    private let store: Store
    private let isCancelled: () -> Bool
    private let clock: () -> Int64
    /// Partitions with something that cannot be read. Tried again after a restart.
    private var uncleanable: Set<PartitionID> = []
    /// Partitions of which it was said that they have batches that cannot be read.
    private var unreadable: Set<PartitionID> = []

    /// - Parameter clock: gives milliseconds since 1970.
    init(_ store: Store, isCancelled: @escaping () -> Bool = { false }, clock: @escaping () -> Int64 = wallClockMs) {
        self.store = store
        self.isCancelled = {
            // What was read would be read for nothing.
            if case .stopped = store.state { return true }
            return isCancelled()
        }
        self.clock = clock
    }

    /// Cleans what is due; false where there was nothing.
    mutating func run(_ options: CleanerOptions) -> Bool {
        var due: [(partition: Partition, urgency: Double)] = []
        for topic in store.topics() where topic.settings.cleanupPolicy.contains(.compact) {
            for partition in topic.partitions where !uncleanable.contains(partition.id) {
                if isCancelled() { return false }
                let nowMs = clock()
                seal(partition, topic.settings, nowMs: nowMs)
                guard let plan = plan(of: partition, topic, nowMs: nowMs), plan.isDue(topic.settings, now: nowMs) else { continue }
                due.append((partition, plan.dirtyRatio + (plan.isOverdue(topic.settings, now: nowMs) ? 1 : 0)))
            }
        }
        var hasCleaned = false
        for (partition, _) in due.sorted(by: { $0.urgency > $1.urgency }) {
            if isCancelled() { return false }
            if clean(partition, options) { hasCleaned = true }
        }
        return hasCleaned
    }

    private mutating func plan(of partition: Partition, _ topic: Topic, nowMs: Int64) -> CleaningPlan? {
        do throws(StoreError) {
            return try store.withReader { (reader) throws(StoreError) in
                try reader.cleaningPlan(of: partition, topic.settings, now: nowMs)
            }
        } catch {
            giveUp(partition, of: topic, error)
            return nil
        }
    }

    /// Cleans a partition by what its topic says now: the partitions before it may have taken hours. A pass ends where that says meanwhile
    /// that nothing is to be compacted any more.
    private mutating func clean(_ partition: Partition, _ options: CleanerOptions) -> Bool {
        guard let topic = store.topic(id: partition.topicID), topic.settings.cleanupPolicy.contains(.compact) else { return false }
        let name = "\(topic.name)-\(partition.index)"
        let nowMs = clock()
        do throws(StoreError) {
            let report = try store.clean(
                partition, topic.settings, keyMapByteCountMax: options.keyMapBytesMax, nowMs: nowMs,
                isCancelled: { [store, isCancelled] in isCancelled() || !store.compacts(partition) },
                where: { $0.isDue(topic.settings, now: nowMs) })
            guard let report else { return false }
            if report.keylessCount > 0 {
                tell(.warning, "\(name): compaction took out \(report.keylessCount) records without a key, from before the topic was compacted")
            }
            if report.unreadableCount > 0, unreadable.insert(partition.id).inserted {
                tell(.warning, "\(name): compaction keeps \(report.unreadableCount) batches whose records cannot be read, from before the topic was compacted")
            }
            return true
        } catch {
            giveUp(partition, of: topic, error)
            return false
        }
    }

    private mutating func giveUp(_ partition: Partition, of topic: Topic, _ error: StoreError) {
        switch error {
        case .corrupt, .system:
            uncleanable.insert(partition.id)
            tell(.error, "\(topic.name)-\(partition.index) is not compacted any more until the broker is restarted: \(error)")
        // The log was cut off, the topic is not compacted any more, the store is closing, or it takes no writes: another time.
        default: break
        }
    }

    /// Has batches sealed that have waited in the journal for long, or are many: only what is sealed can be cleaned.
    private func seal(_ partition: Partition, _ settings: TopicSettings, nowMs: Int64) {
        for _ in 0..<Self.sealsMax {
            guard partition.waitsForSealing(settings, nowMs: nowMs), !isCancelled(),
                case .done = store.performBlocking(.seal(partition: partition.id))
            else { return }
        }
    }

    /// Enough for a whole journal.
    private static let sealsMax = 256

    private func tell(_ severity: StoreEvent.Severity, _ message: String) {
        store.options.onEvent(StoreEvent(severity: severity, message: message))
    }
}

extension Store {
    /// Whether the partition's topic is there, and compacted.
    fileprivate func compacts(_ partition: Partition) -> Bool {
        topic(id: partition.topicID)?.settings.cleanupPolicy.contains(.compact) ?? false
    }
}

extension Partition {
    /// Whether the batches in the journal are as old or as many as `segment.ms`, `max.compaction.lag.ms` and `segment.bytes` let them be.
    fileprivate func waitsForSealing(_ settings: TopicSettings, nowMs: Int64) -> Bool {
        tail.withLock { tail in
            guard !tail.isDeleted, let oldest = tail.pieces.first(where: { !$0.isDirect && $0.keptTimestamp >= 0 }) else { return false }
            if nowMs - oldest.keptTimestamp >= min(settings.segmentMs, settings.maxCompactionLagMs) { return true }
            return tail.pieces.reduce(0) { $0 + ($1.isDirect ? 0 : Int($1.byteCount)) } >= settings.segmentBytes
        }
    }
}
