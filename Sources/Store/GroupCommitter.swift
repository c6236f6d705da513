internal import DequeModule
internal import Dispatch
internal import Glibc
internal import LMDB
internal import Synchronization

/// The one thread that writes. Whatever arrives while a commit is being synced is the next commit.
final class GroupCommitter: Sendable {
    private struct Inbox {
        var submissions: [Submission] = []
        var isClosing = false
        /// The thread waits, or will before it looks again.
        var isIdle = false
    }

    private let inbox = Mutex(Inbox())
    private let wake = DispatchSemaphore(value: 0)
    /// Only the thread touches it, from `start` on.
    private nonisolated(unsafe) let writer: StoreWriter
    private let lanes = Mutex<[any Lane]>([])
    private let thread = Mutex<pthread_t?>(nil)
    private let commitBytesMax: Int

    init(_ writer: StoreWriter) {
        self.writer = writer
        commitBytesMax = writer.options.commitBytesMax
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
            defer { inbox.isIdle = false }
            return (inbox.isIdle, false)
        }
        if isClosed {
            for submission in submissions { submission.fail(.stopped("the broker is shutting down")) }
            return deliver(submissions, [])
        }
        if mustWake { wake.signal() }
    }

    func register(_ lane: any Lane) { lanes.withLock { $0.append(lane) } }

    /// Commits what was submitted, seals everything, and ends the thread.
    func close() {
        let wasOpen = inbox.withLock { inbox in
            defer { inbox.isClosing = true; inbox.isIdle = false }
            return !inbox.isClosing
        }
        guard wasOpen else { return }
        wake.signal()
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
            if monotonicNs() - houseKeptNs > Self.houseKeepingNs {
                writer.keepHouse()
                houseKeptNs = monotonicNs()
            }
            let isClosing = takeInbox(&waiting)
            if writer.mustJoinFreePages { joinFreePages() }
            if !waiting.isEmpty {
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
        inbox.withLock { inbox in
            waiting.append(contentsOf: inbox.submissions)
            inbox.submissions.removeAll(keepingCapacity: inbox.submissions.count < 4096)
            return inbox.isClosing
        }
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
            writer.fail(group, error)
            deliver(group, [])
        }
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
        let hasWork = waitForWork(atMostNs: isDue ? Self.idleNs : Self.houseKeepingNs)
        guard isDue, !hasWork else { return }
        joinFreePages()
    }

    private func joinFreePages() {
        do { try writer.joinFreePages() } catch { writer.fail([], error) }
    }

    /// Whether there is some, or may be.
    private func waitForWork(atMostNs waitNs: UInt64) -> Bool {
        let mayWait = inbox.withLock { inbox in
            guard inbox.submissions.isEmpty, !inbox.isClosing else { return false }
            inbox.isIdle = true
            return true
        }
        guard mayWait else { return true }
        guard wake.wait(timeout: DispatchTime.now() + .nanoseconds(Int(waitNs))) == .timedOut else { return true }
        // A submission may have cleared the mark in this moment: then its signal is on the way, and is for the next wait.
        return inbox.withLock { inbox in
            defer { inbox.isIdle = false }
            return !inbox.isIdle
        }
    }

    private static let houseKeepingNs: UInt64 = 10_000_000_000
    /// Without work for so long, the store is idle.
    private static let idleNs: UInt64 = 25_000_000

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
