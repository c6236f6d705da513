internal import Coordinators
internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import Store
internal import Synchronization

/// All transactional ids of this broker, between the connections that ask and the store that keeps: decisions are the pure
/// coordinator's, one at a time, and are submitted while its lock is held, so that the store's order is theirs. A
/// transaction ends in one step of the store: its markers, its groups' offsets and the row that says so are one commit.
///
/// Batches follow behind the step that lets them in, without waiting for it; should the step fail, the store refuses them.
final class TransactionService: Sendable {
    private struct State {
        var coordinator: TransactionCoordinator
        /// Steps on their way to the disk, by transactional id.
        var flights: [ExactString: Flight] = [:]
        /// How many steps could not be written.
        var failureCount = 0
        var alarm = DeadlineAlarm()
        var isStopped = false

        /// The ids whose end is not on disk yet.
        var ending: Set<ExactString> { Set(flights.lazy.filter(\.value.isEnding).map(\.key)) }
    }

    /// What is on its way of one transactional id.
    private struct Flight {
        var count = 0
        /// Among it is an end. Until that is on disk, nothing else of the id is decided.
        var isEnding = false
        /// A step failed: the id is what the store says, once the others have come back.
        var hasFailed = false
    }

    private let state: Mutex<State>
    private let store: Store
    private let logger: Logger
    private let log: RateLimitedLog
    /// Where timers run, and steps that no request asked for come back to.
    private let lane: LoopLane
    /// Producer ids reserved at one time.
    private static let producerIDsReserved = 100

    init(store: Store, options: TransactionOptions, lane: LoopLane, logger: Logger, log: RateLimitedLog) {
        self.store = store
        self.lane = lane
        self.logger = logger
        self.log = log
        state = Mutex(State(coordinator: TransactionCoordinator(options: options)))
    }

    /// Takes over the transactions that the store holds. Before the first client.
    func load() throws(StoreError) {
        let now = Moment.now
        try state.withLock { state throws(StoreError) in
            for (transactionalID, kept) in store.transactions() { try load(transactionalID, kept, into: &state.coordinator, at: now) }
        }
        arm()
    }

    private func load(
        _ transactionalID: String, _ kept: TransactionState, afterFailure: Bool = false, into coordinator: inout TransactionCoordinator,
        at now: Moment
    ) throws(StoreError) {
        do throws(TransactionStateError) {
            try coordinator.load(transactionalID, TransactionRow(kept), afterFailure: afterFailure, at: now)
        } catch {
            throw .corrupt("the state of transactional id '\(transactionalID)' cannot be read: \(error)")
        }
    }

    // MARK: - Requests of producers

    /// Grants a producer id and epoch; ids are reserved in the store first where none are left.
    func initProducerID(_ request: InitProducerIdRequest, _ call: Call, _ reply: Reply) {
        guard state.withLock({ $0.coordinator.producerIDsLeft }) == 0 else { return grant(request, call, reply) }
        call.lane.submit(
            .admin(.allocateProducerIDs(count: Self.producerIDsReserved), lane: call.lane) { outcome in
                if case .producerID(let first) = outcome {
                    self.state.withLock { $0.coordinator.supply(producerIDs: first..<(first + Int64(Self.producerIDsReserved))) }
                }
                self.grant(request, call, reply)
            })
    }

    private func grant(_ request: InitProducerIdRequest, _ call: Call, _ reply: Reply) {
        decide(request.transactionalID ?? "", call.lane) { coordinator in
            coordinator.initProducerID(request, version: call.header.version, at: .now)
        } refused: { code in
            InitProducerIdResponse { ($0.errorCode, $0.producerEpoch) = (code, -1) }
        } finish: {
            reply.send($0)
        }
    }

    func addOffsets(_ request: AddOffsetsToTxnRequest, _ call: Call, _ reply: Reply) {
        decide(request.transactionalID, call.lane) { coordinator in
            coordinator.addOffsets(request, version: call.header.version, at: .now)
        } refused: { code in
            AddOffsetsToTxnResponse { $0.errorCode = code }
        } finish: {
            reply.send($0)
        }
    }

    func end(_ request: EndTxnRequest, _ call: Call, _ reply: Reply) {
        decide(request.transactionalID, call.lane) { coordinator in
            coordinator.endTransaction(request, version: call.header.version, at: .now)
        } refused: { code in
            EndTxnResponse { $0.errorCode = code }
        } finish: {
            reply.send($0)
        }
    }

    /// Adds partitions, or says whether they are in the transaction, each transaction of the request by itself.
    func addPartitions(_ request: AddPartitionsToTxnRequest, _ call: Call, _ reply: Reply) {
        let request = request.namingEachOnce
        let transactionalID = call.header.version >= 4 ? request.transactions.first?.transactionalID ?? "" : request.transactionalID
        decide(transactionalID, call.lane) { coordinator in
            coordinator.addPartitions(request, version: call.header.version, at: .now, resolve: self.places)
        } refused: {
            request.refused($0)
        } finish: {
            reply.send($0)
        }
    }

    private func places(of name: String) -> (Int32) -> TransactionPartition? {
        let partitions = store.topic(named: name)?.partitions ?? []
        return { index in
            guard partitions.indices.contains(Int(index)) else { return nil }
            return TransactionPartition(id: partitions[Int(index)].id.rawValue)
        }
    }

    // MARK: - Records and offsets

    /// May a producer write transactional batches into these partitions? One code for each. What lets them in is submitted
    /// when this returns; the batches are to be submitted behind it.
    func admit(
        transactionalID: String?, producerID: Int64, producerEpoch: Int16, partitions: [PartitionID], version: Int16, _ lane: LoopLane
    ) -> [ErrorCode] {
        state.withLock { state in
            // Retried by all clients, as while Kafka writes the markers.
            if let busy = busy(transactionalID ?? "", state) {
                return partitions.map { _ in version >= 12 ? busy : .notEnoughReplicas }
            }
            let (codes, effects) = state.coordinator.admitProduce(
                transactionalID: transactionalID, producerID: producerID, producerEpoch: producerEpoch,
                partitions: partitions.map { TransactionPartition(id: $0.rawValue) }, version: version, at: .now)
            if !effects.steps.isEmpty { submit(effects, lane, &state) { _ in } }
            return codes
        }
    }

    /// May the transaction's offsets of this group be committed? As `admit` for batches.
    func admitOffsets(_ request: TxnOffsetCommitRequest, version: Int16, _ lane: LoopLane) -> ErrorCode {
        state.withLock { state in
            if let busy = busy(request.transactionalID, state) { return busy }
            let (code, effects) = state.coordinator.admitOffsetCommit(
                transactionalID: request.transactionalID, producerID: request.producerID, producerEpoch: request.producerEpoch,
                group: TransactionGroup(id: request.groupID), version: version, at: .now)
            if !effects.steps.isEmpty { submit(effects, lane, &state) { _ in } }
            return code
        }
    }

    // MARK: - Administration

    func describe(_ request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
        // Names are looked up when others may decide again.
        let described = state.withLock { $0.coordinator.describe(request, ending: $0.ending) }
        return described.answer { place in
            guard let partition = store.partition(PartitionID(rawValue: place.id)), let topic = store.topic(id: partition.topicID) else {
                return nil
            }
            return (topic.name, partition.index)
        }
    }

    func list(_ request: ListTransactionsRequest) -> ListTransactionsResponse {
        state.withLock { $0.coordinator.list(request, ending: $0.ending, at: .now) }
    }

    /// Ends what a producer has open in these partitions (KIP-664). A transaction that is known here is aborted as a whole.
    func writeMarkers(
        _ marker: WriteTxnMarkersRequest.Marker, partitions: [PartitionID], _ lane: LoopLane, finish: @escaping @Sendable (ErrorCode) -> Void
    ) {
        let refusal = state.withLock { state -> ErrorCode? in
            guard !state.isStopped else { return .notCoordinator }
            let admission = state.coordinator.admitMarkers(
                producerID: marker.producerID, producerEpoch: marker.producerEpoch, isCommit: marker.transactionResult,
                partitions: partitions.map { TransactionPartition(id: $0.rawValue) }, at: .now)
            switch admission {
            case .refuse(let code): return code
            case .abort(let effects):
                submit(effects, lane, &state) { finish($0 == nil ? .none : .coordinatorNotAvailable) }
            case .write:
                let end = TransactionEnd(
                    producerID: marker.producerID, producerEpoch: marker.producerEpoch, isCommit: marker.transactionResult,
                    coordinatorEpoch: marker.coordinatorEpoch, partitions: partitions)
                let change = TransactionChange(transactionalID: "", state: nil, end: end)
                store.submit([.transactions([change], lane: lane) { finish($0?.errorCode ?? .none) }])
            }
            return nil
        }
        if let refusal { finish(refusal) }
    }

    // MARK: - Deciding and writing

    /// Decides a request of one transactional id. `finish` is called when what was decided is on disk, with that it could not
    /// be written, or with that the id is busy.
    private func decide<Response: Sendable>(
        _ transactionalID: String, _ lane: LoopLane, _ body: (inout TransactionCoordinator) -> (Response, TransactionEffects),
        refused: @escaping @Sendable (ErrorCode) -> Response, finish: @escaping @Sendable (Response) -> Void
    ) {
        // Batches and offsets that the same connection sent before are still part of what this may end.
        lane.submitWaiting()
        let ready = state.withLock { state -> Response? in
            if let busy = busy(transactionalID, state) { return refused(busy) }
            let (response, effects) = body(&state.coordinator)
            // What the answer tells may be on its way to the disk since an earlier request.
            guard !effects.isEmpty || state.flights[transactionalID] != nil else { return response }
            let failuresBefore = state.failureCount
            submit(effects, lane, &state) { error in
                // What was decided on top of something that was lost is not to be told.
                let isKept = error == nil && self.state.withLock { $0.failureCount } == failuresBefore
                finish(isKept ? response : refused(.coordinatorNotAvailable))
            }
            return nil
        }
        if let ready { finish(ready) }
        arm()
    }

    /// Why nothing can be decided for the id now; nil where it can.
    private func busy(_ transactionalID: String, _ state: State) -> ErrorCode? {
        if state.isStopped { return .notCoordinator }
        guard let flight = state.flights[transactionalID] else { return nil }
        return flight.isEnding || flight.hasFailed ? .concurrentTransactions : nil
    }

    /// Set where the store passes over a step because the one before it was lost.
    private final class Orphans: Sendable {
        let found = Atomic(false)
    }

    private func submit(
        _ effects: TransactionEffects, _ lane: LoopLane, _ state: inout State, _ finish: @escaping @Sendable (StoreError?) -> Void
    ) {
        for step in effects.steps {
            state.flights[step.transactionalID, default: Flight()].count += 1
            if step.markers != nil { state.flights[step.transactionalID]?.isEnding = true }
        }
        let transactionalIDs = effects.steps.map(\.transactionalID)
        let orphans = Orphans()
        let changes = effects.steps.map { step in
            TransactionChange(step) { kept in
                let follows = step.follows(kept.map(TransactionRow.init))
                if !follows { orphans.found.store(true, ordering: .relaxed) }
                return follows
            }
        }
        let submission = Submission.transactions(changes, lane: lane) { error in
            let isOrphaned = orphans.found.load(ordering: .relaxed)
            let error = error ?? (isOrphaned ? .refused(.coordinatorNotAvailable, "what it was decided on could not be written") : nil)
            self.landed(transactionalIDs, error)
            finish(error)
        }
        store.submit([submission])
    }

    /// Steps came back. An id with a step that failed is again what the store says, once nothing of it is on its way.
    private func landed(_ transactionalIDs: [String], _ error: StoreError?) {
        state.withLock { state in
            if error != nil { state.failureCount += 1 }
            for transactionalID in transactionalIDs {
                guard var flight = state.flights.removeValue(forKey: transactionalID) else { continue }
                flight.count -= 1
                flight.hasFailed = flight.hasFailed || error != nil
                if flight.count > 0 {
                    state.flights[transactionalID] = flight
                } else if flight.hasFailed {
                    reload(transactionalID, &state)
                }
            }
        }
        if let error { log.warning(.unwrittenTransaction, "transactions of \(transactionalIDs.map { "'\($0)'" }.joined(separator: ", ")) could not be written: \(error)") }
        arm()
    }

    private func reload(_ transactionalID: String, _ state: inout State) {
        state.coordinator.unload(transactionalID)
        guard let kept = store.transaction(transactionalID) else { return }
        do { try load(transactionalID, kept, afterFailure: true, into: &state.coordinator, at: .now) } catch { logger.error("\(error)") }
    }

    // MARK: - Time

    /// Sets the timer for the coordinator's next deadline, unless one goes off before it anyway.
    private func arm() {
        let deadline = state.withLock { $0.isStopped ? nil : $0.alarm.set(for: $0.coordinator.nextDeadline) }
        guard let deadline else { return }
        lane.schedule(atMs: deadline) { self.timeHasCome(for: deadline) }
    }

    private func timeHasCome(for deadline: Int64) {
        state.withLock { state in
            guard !state.isStopped, state.alarm.goOff(at: deadline) else { return }
            for effects in state.coordinator.advance(to: .now) {
                for step in effects.steps where step.markers?.isCommit == false {
                    log.info(.timedOutTransaction, "the transaction of '\(step.transactionalID)' has outlived its timeout and is aborted")
                }
                submit(effects, lane, &state) { _ in }
            }
        }
        arm()
    }

    /// Decides nothing any more.
    func stop() { state.withLock { $0.isStopped = true } }
}

extension TransactionRow {
    fileprivate init(_ kept: TransactionState) {
        self.init(
            producerID: kept.producerID, producerEpoch: kept.producerEpoch, isOpen: kept.isOpen, partitions: kept.partitions.map(\.rawValue),
            groupIDs: kept.groupIDs, detail: kept.coordinatorState)
    }
}

extension TransactionChange {
    fileprivate init(_ step: TransactionStep, applies: @escaping @Sendable (TransactionState?) -> Bool) {
        self.init(
            transactionalID: step.transactionalID,
            state: step.row.map { row in
                TransactionState(
                    producerID: row.producerID, producerEpoch: row.producerEpoch, isOpen: row.isOpen,
                    partitions: row.partitions.map { PartitionID(rawValue: $0) }, groupIDs: row.groupIDs, coordinatorState: row.detail)
            },
            end: step.markers.map { markers in
                TransactionEnd(
                    producerID: markers.producerID, producerEpoch: markers.producerEpoch, isCommit: markers.isCommit,
                    coordinatorEpoch: markers.coordinatorEpoch, partitions: markers.partitions.map { PartitionID(rawValue: $0) },
                    groupIDs: markers.groupIDs)
            }, applies: applies)
    }
}
