internal import KafkaProtocol
internal import NIOCore
internal import Store
internal import Synchronization

/// One event loop's side of the broker: its connections, what they are about to submit, its parked fetches, and the
/// way back from the store. One hop per commit, one flush per connection and turn.
final class LoopLane: Lane, @unchecked Sendable {
    // Unchecked: all but the atomics and constants is touched on `loop` only.
    let loop: any EventLoop
    let parked: ParkedFetches
    private let store: Store
    private let watching = Atomic(false)
    private let hasCongested = Atomic(false)
    private var connections: [ConnectionID: Connection] = [:]
    /// Connections with something to write at the end of the turn.
    private var touched: [Connection] = []
    private var submissions: [Submission] = []
    /// Connections that wait for the broker's request budget.
    private var congested: [ConnectionID: Connection] = [:]
    private var loneClient = LoneClient()
    /// When to look for a lone client again, after others were not quiet.
    private var looksAgainAt = NIODeadline.distantPast
    /// A commit is being made on this loop.
    private var isCommitting = false
    /// How many scopes are open that end in `settle`.
    private var openTurns = 0

    init(loop: any EventLoop, store: Store) {
        self.loop = loop
        self.store = store
        parked = ParkedFetches(loop: loop)
    }

    // MARK: Turns

    /// What happens on the loop until the matching `endTurn` is submitted at once and flushed at once.
    func beginTurn() {
        loop.assertInEventLoop()
        openTurns += 1
    }

    func endTurn() {
        openTurns -= 1
        if openTurns == 0 { settle() }
    }

    /// Puts `submission` into the store's inbox at the end of the turn, behind those of the same loop before it.
    func submit(_ submission: Submission) {
        loop.assertInEventLoop()
        submissions.append(submission)
        if openTurns == 0 { settle() }
    }

    /// Puts what waits for the end of the turn into the store's inbox now: for whoever submits by another way and has to
    /// come behind it.
    func submitWaiting() {
        loop.assertInEventLoop()
        guard !submissions.isEmpty else { return }
        store.submit(submissions)
        submissions.removeAll(keepingCapacity: true)
    }

    /// Has `connection` write what it can at the end of the turn.
    func touch(_ connection: Connection) {
        touched.append(connection)
        if openTurns == 0 { settle() }
    }

    private func settle() {
        openTurns += 1
        while !submissions.isEmpty || !touched.isEmpty {
            if !submissions.isEmpty { submitGathered() }
            var turn: [Connection] = []
            swap(&turn, &touched)
            // Flushing may make room for requests that had to wait, and those touch connections anew.
            for connection in turn { connection.flush() }
        }
        openTurns -= 1
    }

    /// What a lone client waits for is committed here: nobody else is likely to be kept waiting.
    private func submitGathered() {
        if submissions.count == 1, loneClient.isAlone, submissions[0].isSmallAppend {
            isCommitting = true
            store.submitLone(submissions.removeLast())
            isCommitting = false
        } else {
            store.submit(submissions)
            submissions.removeAll(keepingCapacity: true)
        }
    }

    // MARK: From the store

    var isWatching: Bool { watching.load(ordering: .sequentiallyConsistent) }

    /// Whoever parks a fetch calls this first and looks at its partitions after: either the look sees a commit, or the
    /// commit sees the lane watching.
    func watch(_ isWatching: Bool) { watching.store(isWatching, ordering: .sequentiallyConsistent) }

    func deliver(_ finished: [Submission], changed: [PartitionID]) {
        if loop.inEventLoop, isCommitting { return take(finished, changed) }
        loop.execute { self.take(finished, changed) }
    }

    private func take(_ finished: [Submission], _ changed: [PartitionID]) {
        beginTurn()
        for submission in finished { submission.finish() }
        if !changed.isEmpty { parked.wake(changed) }
        endTurn()
    }

    // MARK: Connections

    var connectionCount: Int { connections.count }

    func add(_ connection: Connection) { connections[connection.id] = connection }

    func remove(_ connection: Connection) {
        connections[connection.id] = nil
        congested[connection.id] = nil
        if congested.isEmpty { hasCongested.store(false, ordering: .sequentiallyConsistent) }
    }

    /// Members of groups are heard of more often than this.
    private static let quiet = TimeAmount.seconds(10)
    /// A loop may have ten thousand connections.
    private static let lookPause = TimeAmount.seconds(1)

    /// Notes a request of `connection`, of which `waitingCount` await their answers.
    func noteRequest(of connection: Connection, waitingCount: Int) {
        loneClient.noteRequest(of: connection.id, waitingCount: waitingCount) {
            let now = NIODeadline.now()
            guard now >= looksAgainAt else { return false }
            let isLone = connections.values.allSatisfy { $0 === connection || $0.isQuiet(since: now - Self.quiet) }
            if !isLone { looksAgainAt = now + Self.lookPause }
            return isLone
        }
    }

    /// Has `connection` go on when the broker's request budget allows. To be called before the budget is looked at for
    /// the last time.
    func awaitBudget(_ connection: Connection) {
        congested[connection.id] = connection
        hasCongested.store(true, ordering: .sequentiallyConsistent)
    }

    /// The broker's request budget has room again. On any thread.
    func budgetRelieved() {
        guard hasCongested.load(ordering: .sequentiallyConsistent) else { return }
        loop.execute {
            self.hasCongested.store(false, ordering: .sequentiallyConsistent)
            var waiting: [ConnectionID: Connection] = [:]
            swap(&waiting, &self.congested)
            self.beginTurn()
            for connection in waiting.values { connection.resume() }
            self.endTurn()
        }
    }

    func closeIdle(since deadline: NIODeadline) {
        for connection in Array(connections.values) { connection.closeIfIdle(since: deadline) }
    }

    /// Takes no more requests, answers fetches that wait, and closes each connection when its answers have left.
    func drain() {
        beginTurn()
        for connection in Array(connections.values) { connection.drain() }
        parked.completeAll()
        endTurn()
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.closeNow() }
    }
}
