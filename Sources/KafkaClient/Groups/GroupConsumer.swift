import KafkaProtocol
import NIOCore
import Synchronization

/// A member of a consumer group: reads the partitions that the group gives it, from where the group left off, and commits
/// how far it has come.
///
///     let consumer = GroupConsumer(cluster, group: "billing")
///     try consumer.subscribe(["orders"])
///     while let records = try await consumer.next() {
///         try records.forEachRecord { record, reader in … ; return true }
///     }
///     await consumer.close()
///
/// Records are *done* when the next are asked for, and are committed only then: whatever happens, none is skipped, and
/// after a failure some may come again. Partitions change hands only inside of `next` and `close`, so never while
/// their records are being worked on. One task at a time uses a consumer; `stop` and `commit` may be called from any.
public final class GroupConsumer: Sendable {
    /// What was handed out last.
    struct Hand {
        var partition: TopicPartition
        var leaderEpoch: Int32
        /// What is done of it lies before this, and all of it before `end`.
        var done: Int64
        var end: Int64
        /// A loop over single records has it, and has not asked for the next.
        var isUnpacked: Bool
    }

    struct State {
        typealias Commit = Task<Result<Void, ClientError>, Never>

        /// What the membership asks of the consumer.
        var handoff: GroupMembership.Handoff?
        var identity = GroupMembership.Identity()
        var assigned: Set<TopicPartition> = []
        /// What is handed out next.
        var positions: [TopicPartition: Int64] = [:]
        /// Behind the last records that are done.
        var done: [TopicPartition: OffsetPosition] = [:]
        var committed: [TopicPartition: OffsetPosition] = [:]
        /// What the coordinator does not take, which is said once.
        var refused: [TopicPartition: OffsetPosition] = [:]
        var inHand: Hand?
        /// Paused before a rewind that has not come to its end.
        var resting: Set<TopicPartition> = []
        var failure: ClientError?
        var isStopped = false
        var hasLeft = false
        var isSubscribed = false
        var isAsking = false
        var whoCloses: CheckedContinuation<Void, Never>?
        var closing: Task<Void, Never>?
        /// When the membership last heard that the owner is alive.
        var pollTold = NIODeadline.uptimeNanoseconds(0)
        /// It believes that the owner is waiting.
        var isWaitTold = false
        var isCommitting = false
        /// Commits go one after the other, or an older one that is tried again might undo a newer.
        var lastCommit: Commit?
        /// Counts how often the member was put out: a commit of before is no business of the one that has joined anew.
        var membershipNumber = 0
        /// Waits for the commits under way, but not beyond the member's end.
        var drain: CheckedContinuation<Void, Never>?
        /// Ends the wait for what is not wanted any more when the consumer is stopped.
        var giveUp: (@Sendable () -> Void)?
    }

    public let cluster: Cluster
    public let group: String
    public let options: GroupConsumerOptions
    let state = Mutex(State())
    let reader: Consumer
    let driver: GroupDriver

    /// - Parameter group: The group's id. Members with the same one share the partitions of what they subscribe to.
    public init(_ cluster: Cluster, group: String, options: GroupConsumerOptions = GroupConsumerOptions()) {
        self.cluster = cluster
        self.group = group
        self.options = options
        var fetching = options.fetching
        fetching.outOfRange = options.offsetReset.place
        reader = Consumer(cluster, options: fetching)
        driver = GroupDriver(cluster, options.settings(groupID: group, backoff: cluster.options.backoff))
        driver.attach(self, commitEvery: options.autoCommitInterval)
    }

    deinit {
        // Not closed by its owner: the coordinator finds out when the session is over.
        driver.eventLoop.execute { [driver] in driver.end(.closed) }
    }

    /// Joins the group for these topics, or changes what it is a member for. Returns at once; topics that are not there
    /// yet are read when they are.
    /// - Throws: `invalid` when there are no topics, or no assignors.
    public func subscribe(_ topics: [String]) throws(ClientError) {
        if topics.isEmpty { throw .invalid("a consumer of a group subscribes to one topic at least") }
        if options.assignors.isEmpty { throw .invalid("a consumer of a group needs one assignor at least") }
        if group.isEmpty { throw .invalid("a group's id cannot be empty") }
        state.withLock { $0.isSubscribed = true }
        driver.tell(.subscribe(topics))
    }

    /// The partitions that are read now.
    public var assignment: Set<TopicPartition> { state.withLock { $0.assigned } }

    /// For each partition that is read now, the offset of what is handed out next. Missing where that is still to be found out:
    /// where nothing is committed, and the partition has no leader to ask.
    public var positions: [TopicPartition: Int64] { state.withLock { $0.positions } }

    /// What the coordinator calls this member; empty outside the group.
    public var memberID: String { state.withLock { $0.identity.memberID } }

    /// The generation of the group, or the member's epoch; −1 outside the group.
    public var generation: Int32 { state.withLock { $0.identity.generation } }

    // MARK: Records

    /// The next records of some partition, waiting for them; those of the call before are done with this. Nil after `stop`
    /// or `close`, and when the task is cancelled.
    /// - Throws: what cannot be helped by trying again. What ends the membership comes each time; another failure once.
    public func next() async throws(ClientError) -> FetchedRecords? { try await next(unpacking: false) }

    private func next(unpacking: Bool) async throws(ClientError) -> FetchedRecords? {
        let left = begin()
        defer { finish() }
        if let left { try await cluster.onLoop { [reader] in reader.move(left.partition, to: left.done, isBack: true) } }
        while true {
            let (handoff, failure, isStopped) = state.withLock { ($0.handoff, $0.failure, $0.isStopped) }
            if isStopped || Task.isCancelled { return nil }
            if let handoff {
                tellPolling(true)
                try await carryOut(handoff, isClosing: false)
            } else if let failure {
                throw failure
            } else if let records = try takeReady(unpacking: unpacking) {
                return records
            } else {
                tellPolling(true)
                await reader.change()
            }
        }
    }

    /// Says how far the records handed out last have been worked on: those before `offset` are done, the rest are not.
    /// Without it all of them count as done when the next are asked for, in `commit` and in `close`.
    public func done(before offset: Int64) {
        state.withLock { state in
            state.inHand?.done = offset
            state.inHand?.end = offset
        }
    }

    /// What was handed out is done, but for the record at which a loop was left.
    /// - Returns: what that loop had: it goes on with what is not done.
    private func begin() -> Hand? {
        state.withLock { state in
            precondition(!state.isAsking, "one task at a time may ask a consumer for records")
            state.isAsking = true
            defer { state.inHand = nil }
            guard let hand = state.inHand, hand.isUnpacked else {
                state.settleHand()
                return nil
            }
            state.noteDone()
            state.positions[hand.partition] = hand.done
            return hand
        }
    }

    private func finish() {
        let whoCloses = state.withLock { state in
            state.isAsking = false
            defer { state.whoCloses = nil }
            return state.whoCloses
        }
        tellPolling(false)
        whoCloses?.resume()
    }

    /// Told when waiting begins, and in between now and then: it costs a turn of the event loop.
    private func tellPolling(_ isPolling: Bool) {
        let now = NIODeadline.now()
        let isDue = state.withLock { state in
            if isPolling == state.isWaitTold, now - state.pollTold < .milliseconds(250) { return false }
            (state.isWaitTold, state.pollTold) = (isPolling, now)
            return true
        }
        if isDue { driver.tell(.polling(isPolling)) }
    }

    private func takeReady(unpacking: Bool) throws(ClientError) -> FetchedRecords? {
        while let records = try reader.takeReady(unpacking: unpacking) {
            let isWanted = state.withLock { state in
                guard state.assigned.contains(records.partition) else { return false }
                let end = unpacking ? records.firstOffset : records.nextOffset
                state.inHand = Hand(
                    partition: records.partition, leaderEpoch: records.leaderEpoch, done: end, end: end, isUnpacked: unpacking)
                state.positions[records.partition] = end
                return true
            }
            if isWanted { return records }
            reader.finish(before: records.nextOffset)
        }
        return nil
    }

    // MARK: The end

    /// Makes the present and every later `next` return nil. Callable from any thread; `close` is still to be called.
    public func stop() {
        let giveUp = state.withLock { state in
            state.isStopped = true
            return state.giveUp
        }
        giveUp?()
        reader.poke()
    }

    /// Commits what is done (with automatic commits), gives everything up and leaves the group, unless the membership is
    /// static. Takes at most `GroupConsumerOptions.closeTimeout`, and a callback's time.
    public func close() async {
        stop()
        // A task of its own: in a cancelled one nothing could be awaited any more.
        let closing = state.withLock { state in
            let closing = state.closing ?? Task { await self.leave() }
            state.closing = closing
            return closing
        }
        await closing.value
    }

    private func leave() async {
        let limit = driver.eventLoop.scheduleTask(in: .milliseconds(options.closeTimeout.milliseconds)) { [driver] in driver.end(nil) }
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.isAsking, state.whoCloses == nil { state.whoCloses = continuation } else { return true }
                return false
            }
            if isIdle { continuation.resume() }
        }
        state.withLock { state in
            state.noteDone()
            state.inHand = nil
        }
        driver.tell(.polling(true))
        driver.tell(.leave)
        while true {
            let (handoff, hasLeft) = state.withLock { ($0.handoff, $0.hasLeft) }
            if let handoff {
                // What cannot be committed now is read again by whoever comes next.
                try? await carryOut(handoff, isClosing: true)
            } else if hasLeft {
                break
            } else {
                await reader.change(isReading: false)
            }
        }
        limit.cancel()
        reader.close()
    }

    // MARK: Called by the driver

    func identify(_ identity: GroupMembership.Identity) {
        state.withLock { state in
            if state.identity.generation >= 0, identity.generation < 0 { state.membershipNumber += 1 }
            if state.identity != identity { state.identity = identity }
        }
    }

    func offer(_ handoff: GroupMembership.Handoff) {
        state.withLock { $0.handoff = handoff }
        reader.poke()
    }

    func ended(_ failure: ClientError?) {
        state.withLock { state in
            state.hasLeft = true
            state.failure = state.failure ?? failure
            state.identity = GroupMembership.Identity()
        }
        endDrain()
        reader.poke()
    }
}

extension GroupConsumer.State {
    /// All that was handed out is done: more is asked for, or its owner commits it.
    mutating func settleHand() {
        if let end = inHand?.end { inHand?.done = end }
        noteDone()
    }

    /// What is done of what was handed out is so from now on.
    mutating func noteDone() {
        guard let inHand, assigned.contains(inHand.partition) else { return }
        done[inHand.partition] = OffsetPosition(offset: inHand.done, leaderEpoch: inHand.leaderEpoch)
    }
}

extension GroupConsumer: RecordSource {
    func nextToUnpack() async throws(ClientError) -> FetchedRecords? { try await next(unpacking: true) }

    func handOut(_ record: ConsumedRecord) -> Bool {
        let isWanted = reader.handOut(record)
        state.withLock { state in
            // The next was asked for all the same.
            guard isWanted else {
                state.inHand?.isUnpacked = false
                return
            }
            guard state.inHand?.partition == record.partition else { return }
            // The record itself is done when the next is asked for.
            state.inHand?.done = record.offset
            state.inHand?.end = record.offset &+ 1
            state.positions[record.partition] = record.offset &+ 1
        }
        return isWanted
    }

    func finish(before offset: Int64) {
        reader.finish(before: offset)
        state.withLock { state in
            guard var hand = state.inHand else { return }
            (hand.done, hand.end, hand.isUnpacked) = (offset, offset, false)
            state.inHand = hand
            state.positions[hand.partition] = offset
        }
    }

    func pass(to rest: FetchedRecords) {
        reader.pass(to: rest)
        state.withLock { state in
            guard var hand = state.inHand, hand.partition == rest.partition else { return }
            (hand.done, hand.isUnpacked) = (hand.end, false)
            state.inHand = hand
            state.positions[hand.partition] = rest.firstOffset
        }
    }
}

extension GroupConsumer: AsyncSequence {
    public struct AsyncIterator: AsyncIteratorProtocol {
        let consumer: GroupConsumer

        public mutating func next() async throws(ClientError) -> FetchedRecords? { try await consumer.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> FetchedRecords? {
            try await consumer.next()
        }
    }

    /// The same records as `next` gives.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(consumer: self) }
}
