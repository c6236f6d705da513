internal import DequeModule
internal import Dispatch
internal import Glibc
internal import LMDB
internal import Synchronization

/// Who writes: one thread, and while it sleeps whoever has a lone submission. Whatever arrives while a commit is being synced is the next
/// commit.
final class GroupCommitter: Sendable {
    /// Whose the writer is. It is passed on with the inbox locked.
    private enum Holder {
        /// The thread's, which runs or has been signalled.
        case thread
        /// Nobody's: the thread sleeps, or will before it looks again.
        case nobody
        /// A caller's of `submitLone`.
        case caller
    }

    private struct Inbox {
        var submissions: [Submission] = []
        var isClosing = false
        var holder = Holder.thread
        /// What callers have committed.
        var loneSubmissionCount = 0
        /// What a caller could not commit, for the thread to deal with.
        var failed: (submission: Submission, error: LMDBError)?
        /// The thread has slept enough, and found the writer a caller's.
        var isAwaited = false

        var hasWork: Bool { isClosing || !submissions.isEmpty || failed != nil }

        /// Makes the writer the thread's; true where the thread has to be signalled.
        mutating func callThread() -> Bool {
            guard holder == .nobody else { return false }
            holder = .thread
            return true
        }
    }

    private let inbox = Mutex(Inbox())
    private let wake = DispatchSemaphore(value: 0)
    /// Only its holder touches it, from `start` on.
    private nonisolated(unsafe) let writer: StoreWriter
    private let lanes = Mutex<[any Lane]>([])
    private let thread = Mutex<pthread_t?>(nil)
    private let commitBytesMax: Int
    private let houseKeepingNs: UInt64
    private let idleNs: UInt64

    init(_ writer: StoreWriter) {
        self.writer = writer
        commitBytesMax = writer.options.commitBytesMax
        houseKeepingNs = writer.options.houseKeepingNs
        idleNs = writer.options.idleNs
    }

    func start() {
        let committer = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<GroupCommitter>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, committer.toOpaque())
        precondition(code == 0, "the committer's thread could not be started: \(String(cString: strerror(code)))")
        self.thread.withLock { $0 = thread }
    }

    /// Any thread; returns at once. Submissions of one thread keep their order.
    func submit(_ submissions: [Submission]) {
        let (mustWake, isClosed) = inbox.withLock { inbox in
            if inbox.isClosing { return (false, true) }
            inbox.submissions.append(contentsOf: submissions)
            return (inbox.callThread(), false)
        }
        if isClosed {
            for submission in submissions { submission.fail(.stopped("the broker is shutting down")) }
            return deliver(submissions, [])
        }
        if mustWake { wake.signal() }
    }

    /// As `submit`, but where the thread sleeps and the commit is expected to be short, it is made on the caller's thread, and delivered
    /// before this returns. Two threads less have to be woken; for whoever has nothing else to do.
    func submitLone(_ submission: Submission) {
        let isHeld = inbox.withLock { inbox in
            guard inbox.holder == .nobody, !inbox.isClosing else { return false }
            inbox.holder = .caller
            return true
        }
        guard isHeld else { return submit([submission]) }
        let outcome = writer.expectsShortCommit ? tryToCommit(submission) : nil
        let leavesWork = writer.hasSweepsWaiting
        let mustWake = inbox.withLock { inbox in
            inbox.holder = .nobody
            switch outcome {
            case .success: inbox.loneSubmissionCount += 1
            case .failure(let error): inbox.failed = (submission, error)
            case nil: inbox.submissions.insert(submission, at: 0)
            }
            guard inbox.hasWork || inbox.isAwaited || leavesWork else { return false }
            return inbox.callThread()
        }
        if mustWake { wake.signal() }
        if case .success(let changed) = outcome { deliver([submission], changed) }
    }

    private func tryToCommit(_ submission: Submission) -> Result<[PartitionID], LMDBError> {
        do throws(LMDBError) { return .success(try writer.commit([submission])) } catch { return .failure(error) }
    }

    var loneSubmissionCount: Int { inbox.withLock { $0.loneSubmissionCount } }

    func register(_ lane: any Lane) { lanes.withLock { $0.append(lane) } }

    /// Commits what was submitted, seals everything, and ends the thread.
    func close() {
        let (wasOpen, mustWake) = inbox.withLock { inbox in
            defer { inbox.isClosing = true }
            return (!inbox.isClosing, inbox.callThread())
        }
        guard wasOpen else { return }
        if mustWake { wake.signal() }
        // Joined, not only waited for: the thread holds the environment until it is gone, and LMDB must not have one open twice.
        guard let thread = thread.withLock({ $0 }) else { return }
        pthread_join(thread, nil)
        self.thread.withLock { $0 = nil }
    }

    // MARK: - The thread

    /// Whether the caller is the committer's own thread, which must not wait for itself.
    var isCurrentThread: Bool { thread.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }

    private func run() {
        var waiting: Deque<Submission> = []
        var houseKeptNs = monotonicNs()
        while true {
            if monotonicNs() - houseKeptNs > houseKeepingNs {
                writer.keepHouse()
                houseKeptNs = monotonicNs()
            }
            let isClosing = takeInbox(&waiting)
            if !waiting.isEmpty {
                joinFreePages(isIdle: false)
                commit(nextGroup(&waiting))
            } else if isClosing {
                break
            } else if !sweepIdly() {
                waitOrTidy()
            }
        }
        do { try writer.shutDown() } catch { writer.stop("sealing at shutdown: \(error)", []) }
    }

    private func takeInbox(_ waiting: inout Deque<Submission>) -> Bool {
        let (isClosing, failed) = inbox.withLock { inbox in
            waiting.append(contentsOf: inbox.submissions)
            inbox.submissions.removeAll(keepingCapacity: inbox.submissions.count < 4096)
            defer { inbox.failed = nil }
            return (inbox.isClosing, inbox.failed)
        }
        if let failed { fail([failed.submission], failed.error) }
        return isClosing
    }

    /// As many submissions as one commit takes, at least one.
    private func nextGroup(_ waiting: inout Deque<Submission>) -> [Submission] {
        var weight = 0
        var count = 0
        while count < waiting.count {
            weight += writer.weight(of: waiting[count])
            if count > 0, weight > commitBytesMax { break }
            count += 1
        }
        let group = Array(waiting.prefix(count))
        waiting.removeFirst(count)
        return group
    }

    private func commit(_ group: [Submission]) {
        if case .stopped(let reason) = writer.state {
            for submission in group { submission.fail(.stopped(reason)) }
            return deliver(group, [])
        }
        do {
            deliver(group, try writer.commit(group))
        } catch {
            fail(group, error)
        }
    }

    private func fail(_ group: [Submission], _ error: LMDBError) {
        writer.fail(group, error)
        deliver(group, [])
    }

    private func sweepIdly() -> Bool {
        do {
            guard let changed = try writer.sweepIdly() else { return false }
            deliver([], changed)
            return true
        } catch {
            writer.fail([], error)
            return false
        }
    }

    /// Waits for work, and joins the free list when there has been none for a while.
    private func waitOrTidy() {
        let isDue = writer.isJoiningDue
        let hasWork = waitForWork(atMostNs: isDue ? idleNs : houseKeepingNs)
        guard isDue, !hasWork else { return }
        joinFreePages(isIdle: true)
    }

    private func joinFreePages(isIdle: Bool) {
        do {
            if isIdle { try writer.joinFreePages() } else { try writer.joinFreePagesBeforeCommit() }
        } catch {
            writer.fail([], error)
        }
    }

    /// Whether there is some, or may be.
    private func waitForWork(atMostNs waitNs: UInt64) -> Bool {
        let loneSubmissionCount: Int? = inbox.withLock { inbox in
            guard !inbox.hasWork else { return nil }
            inbox.holder = .nobody
            inbox.isAwaited = false
            return inbox.loneSubmissionCount
        }
        guard let loneSubmissionCount else { return true }
        while true {
            let isTimedOut = wake.wait(timeout: DispatchTime.now() + .nanoseconds(Int(waitNs))) == .timedOut
            let hasWork: Bool? = inbox.withLock { inbox in
                switch inbox.holder {
                case .caller:
                    inbox.isAwaited = true
                    return nil
                // Where the wait was over in this moment the signal is still on the way, and is for the next one.
                case .thread: return true
                case .nobody:
                    inbox.holder = .thread
                    return !isTimedOut || inbox.loneSubmissionCount != loneSubmissionCount
                }
            }
            if let hasWork { return hasWork }
        }
    }

    /// One call per lane that has answers or waits for changes.
    private func deliver(_ finished: [Submission], _ changed: [PartitionID]) {
        var byLane: [(lane: any Lane, finished: [Submission])] = []
        for submission in finished {
            if let index = byLane.firstIndex(where: { $0.lane === submission.lane }) {
                byLane[index].finished.append(submission)
            } else {
                byLane.append((submission.lane, [submission]))
            }
        }
        if !changed.isEmpty {
            for lane in lanes.withLock({ $0 }) where lane.isWatching && !byLane.contains(where: { $0.lane === lane }) {
                byLane.append((lane, []))
            }
        }
        for (lane, finished) in byLane { lane.deliver(finished, changed: changed) }
    }
}
