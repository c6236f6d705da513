import DequeModule
import KafkaProtocol
import NIOCore
import Synchronization

/// Reads records of partitions that it is told, from places that it is told.
///
/// While what was fetched is being worked on, the next is under way, as far as `ConsumerOptions.bufferByteCountMax` goes.
///
///     let consumer = Consumer(cluster)
///     try await consumer.assign([TopicPartition("greetings", 0): .earliest])
///     while let records = try await consumer.next() {
///         try records.forEachRecord { record, reader in … ; return true }
///     }
public final class Consumer: Sendable {
    private struct State {
        var ready = Deque<FetchedRecords>()
        var failure: ClientError?
        var isClosed = false
        var byteCount = 0
        var waiter: CheckedContinuation<Void, Never>?
        /// Who waits is to look around, though there are no records.
        var isPoked = false
        /// What a loop over single records unpacks, and the next of it that is not handed out.
        var unpacking: (fetched: FetchedRecords, offset: Int64)?
        /// Partitions that are not read for now, and where they go on.
        var paused: [TopicPartition: Fetcher.Start] = [:]

        /// What a loop that is over has not handed out comes next.
        mutating func takeBack() {
            guard let (fetched, offset) = unpacking else { return }
            unpacking = nil
            guard offset < fetched.nextOffset else { return }
            var rest = fetched
            rest.firstOffset = offset
            ready.prepend(rest)
            byteCount += rest.byteCount
        }
    }

    public let cluster: Cluster
    public let options: ConsumerOptions
    private let state = Mutex(State())
    private let fetcher: Fetcher

    public init(_ cluster: Cluster, options: ConsumerOptions = ConsumerOptions()) {
        self.cluster = cluster
        self.options = options
        fetcher = Fetcher(cluster: cluster, options: options)
        fetcher.attach(self)
    }

    deinit { cluster.eventLoop.execute { [fetcher] in fetcher.close() } }

    /// Reads from these places from now on, and from nothing else; what was fetched before is dropped. A partition that has no leader
    /// keeps nobody from the others: it is read once it has one.
    /// - Returns: the offsets that the places turned out to be, without those that only a leader to come can tell.
    @discardableResult
    public func assign(_ places: [TopicPartition: PartitionPlace]) async throws(ClientError) -> [TopicPartition: Int64] {
        let topics = Array(Set(places.keys.map(\.topic)))
        let metadata = try await cluster.retrying { () async throws(ClientError) in try await cluster.refresh(topics) }
        // What is not there is asked for as well, and refused.
        let asked = places.filter {
            $0.value.knownOffset != nil || metadata.facts(of: $0.key) == nil || metadata.leader(of: $0.key) != nil
        }
        let offsets = try await Admin(cluster).offsets(asked, isolation: options.isolation)
        try await cluster.onLoop { [self] in
            state.withLock { state in
                state.ready = []
                state.byteCount = 0
                state.failure = nil
                state.paused = [:]
                state.unpacking = nil
            }
            fetcher.assign(places.merging(offsets.mapValues { .offset($0) }) { $1 }, metadata)
        }
        return offsets
    }

    /// Reads from these places too, beside what is read already. Who leads the partitions, and which offset a place is, is found out
    /// meanwhile where that is not known; where nothing is there yet, `FetchedRecords` without records tell the offset.
    func add(_ starts: [TopicPartition: Fetcher.Start]) async throws(ClientError) {
        try await cluster.onLoop { [self] in fetcher.add(starts, cluster.metadata) }
    }

    /// Reads these no more. When this returns, none of their records is handed out any more.
    func remove(_ partitions: Set<TopicPartition>) async throws(ClientError) {
        try await cluster.onLoop { [self] in withdraw(partitions, pausing: false) }
    }

    private func withdraw(_ partitions: Set<TopicPartition>, pausing: Bool) {
        let fetched = fetcher.places(of: partitions)
        fetcher.drop(partitions)
        state.withLock { state in
            if pausing {
                for (partition, start) in fetched {
                    // What is fetched and not handed out comes again.
                    let unpacked = state.unpacking.flatMap { $0.fetched.partition == partition ? $0.offset : nil }
                    let waiting = state.ready.first { $0.partition == partition }?.firstOffset
                    state.paused[partition] = Fetcher.Start(place: (unpacked ?? waiting).map { .offset($0) } ?? start.place, epoch: start.epoch)
                }
            } else {
                for partition in partitions { state.paused[partition] = nil }
            }
            if let unpacking = state.unpacking, partitions.contains(unpacking.fetched.partition) { state.unpacking = nil }
            state.ready.removeAll { partitions.contains($0.partition) }
            state.byteCount = state.ready.reduce(0) { $0 + $1.byteCount }
        }
        fetcher.pump()
    }

    // MARK: Moving and pausing

    /// Goes on reading a partition from somewhere else; what was fetched of it is dropped. One that is paused stays so.
    /// - Returns: the offset that the place turned out to be.
    /// - Throws: `invalid` where the partition is not assigned.
    @discardableResult
    public func seek(_ partition: TopicPartition, to place: PartitionPlace) async throws(ClientError) -> Int64 {
        let found = try await Admin(cluster).offsets([partition: place], isolation: options.isolation)
        guard let offset = found[partition] else { throw .invalid("\(partition) has no such place") }
        let isAssigned: Bool
        do { isAssigned = try await cluster.eventLoop.submit { [self] in move(partition, to: offset, isBack: false) }.get() } catch { throw .closed }
        // It may have been until a moment ago.
        guard isAssigned else { throw .invalid("\(partition) is not assigned to this consumer") }
        return offset
    }

    /// False where the partition is not read. On the event loop.
    /// - Parameter isBack: To something that was read before, by which a later leader can be told.
    @discardableResult
    func move(_ partition: TopicPartition, to offset: Int64, isBack: Bool) -> Bool {
        let isPaused = state.withLock { state in
            guard let start = state.paused[partition] else { return false }
            state.paused[partition] = Fetcher.Start(place: .offset(offset), epoch: isBack ? start.epoch : -1)
            return true
        }
        if isPaused { return true }
        guard let start = fetcher.places(of: [partition])[partition] else { return false }
        withdraw([partition], pausing: false)
        fetcher.add([partition: Fetcher.Start(place: .offset(offset), epoch: isBack ? start.epoch : -1)], cluster.metadata)
        return true
    }

    /// Reads these no more until they are resumed; other partitions go on. When this returns, none of their records is handed out.
    public func pause(_ partitions: Set<TopicPartition>) async throws(ClientError) {
        try await cluster.onLoop { [self] in withdraw(partitions, pausing: true) }
    }

    /// Goes on where `pause` has stopped.
    public func resume(_ partitions: Set<TopicPartition>) async throws(ClientError) {
        try await cluster.onLoop { [self] in
            let starts = state.withLock { state in
                let starts = state.paused.filter { partitions.contains($0.key) }
                for partition in starts.keys { state.paused[partition] = nil }
                return starts
            }
            if !starts.isEmpty { fetcher.add(starts, cluster.metadata) }
        }
    }

    /// Partitions that are not read for now.
    public var paused: Set<TopicPartition> { state.withLock { Set($0.paused.keys) } }

    // MARK: Records

    /// The next records of some partition, waiting for them; nil when the consumer is closed or the task is cancelled.
    /// One task at a time may wait.
    /// - Throws: what cannot be helped by trying again, once; another `next` goes on with the other partitions.
    public func next() async throws(ClientError) -> FetchedRecords? { try await next(unpacking: false) }

    private func next(unpacking: Bool) async throws(ClientError) -> FetchedRecords? {
        while true {
            if let records = try takeReady(unpacking: unpacking) { return records }
            if state.withLock({ $0.isClosed }) || Task.isCancelled { return nil }
            await change()
        }
    }

    /// Returns when there are records or a failure, after `poke`, and when the consumer is closed or the task cancelled.
    /// - Parameter isReading: False for who takes neither records nor failures any more: then those that are there are passed over.
    func change(isReading: Bool = true) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    let hasCome = isReading && (!state.ready.isEmpty || state.failure != nil)
                    if hasCome || state.isClosed || state.isPoked || Task.isCancelled {
                        state.isPoked = false
                        return true
                    }
                    precondition(state.waiter == nil, "one task at a time may wait for a consumer's records")
                    state.waiter = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            wake()
        }
    }

    /// Makes the present or the next `change` return. Callable from any thread.
    func poke() {
        state.withLock { if $0.waiter == nil { $0.isPoked = true } }
        wake()
    }

    /// The next records if some are there already, or nil.
    public func takeReady() throws(ClientError) -> FetchedRecords? { try takeReady(unpacking: false) }

    /// - Parameter unpacking: The records count as handed out one by one, when `handOut` is told.
    func takeReady(unpacking: Bool) throws(ClientError) -> FetchedRecords? {
        let (records, failure, hasRoom) = state.withLock { state -> (FetchedRecords?, ClientError?, Bool) in
            state.takeBack()
            if let records = state.ready.popFirst() {
                let before = state.byteCount
                state.byteCount -= records.byteCount
                if unpacking { state.unpacking = (records, records.firstOffset) }
                // Told once when there is room again, not for each batch.
                return (records, nil, before >= options.bufferByteCountMax && state.byteCount < options.bufferByteCountMax)
            }
            defer { state.failure = nil }
            return (nil, state.failure, false)
        }
        if hasRoom { cluster.eventLoop.execute { [fetcher] in fetcher.pump() } }
        if let failure { throw failure }
        return records
    }

    /// Stops fetching and drops what was fetched.
    public func close() {
        state.withLock { state in
            state.isClosed = true
            state.ready = []
            state.unpacking = nil
        }
        wake()
        cluster.eventLoop.execute { [fetcher] in fetcher.close() }
    }

    // MARK: Called by the fetcher

    var hasRoom: Bool { state.withLock { !$0.isClosed && $0.byteCount < options.bufferByteCountMax } }

    func put(_ records: [FetchedRecords]) {
        let waiter = state.withLock { state in
            for records in records where !state.isClosed {
                state.ready.append(records)
                state.byteCount += records.byteCount
            }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func fail(_ error: ClientError) {
        state.withLock { state in if state.failure == nil { state.failure = error } }
        wake()
    }

    private func wake() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}

extension Consumer: RecordSource {
    func nextToUnpack() async throws(ClientError) -> FetchedRecords? { try await next(unpacking: true) }

    func handOut(_ record: ConsumedRecord) -> Bool {
        state.withLock { state in
            guard state.unpacking?.fetched.partition == record.partition else { return false }
            state.unpacking?.offset = record.offset &+ 1
            return true
        }
    }

    func finish(before offset: Int64) { state.withLock { $0.unpacking = nil } }

    func pass(to rest: FetchedRecords) {
        state.withLock { if $0.unpacking?.fetched.partition == rest.partition { $0.unpacking = (rest, rest.firstOffset) } }
    }
}
