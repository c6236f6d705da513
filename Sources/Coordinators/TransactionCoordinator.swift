internal import KafkaProtocol

/// All transactional ids of a broker, as a value: requests and time in, steps of the store and answers out. It knows
/// neither sockets nor disks nor clocks, and decides every request at once.
///
/// Whoever holds it submits the steps in the order in which they are returned, before anything that was decided later,
/// and lets an answer go when the steps returned with it, and all of its id before them, are durable. A transaction
/// whose partitions and groups are in this store ends in one step: the markers on all of its partitions, its groups'
/// offsets and the row that says so are one commit, so nobody, after any crash, sees half of an end. One that is in
/// several stores ends in three, of which the first decides:
///
/// 1. *prepare*: a step of the own store says which way it ends, closes the gate there and writes the markers of the
///    own store. From then on nothing changes the outcome. The client is answered now.
/// 2. *markers*: each other store gets a delivery with its markers and the closed gate, again and again until it is
///    acknowledged. A batch that reaches such a store after the first step and before the second is part of the
///    transaction still, and shares its fate. The id answers CONCURRENT_TRANSACTIONS meanwhile.
/// 3. *complete*: with the last acknowledgement a step of the own store forgets the partitions.
///
/// In the same way a partition of another store is in the transaction when a step of the own store says so, and may be
/// written to when the other store has acknowledged its gate. Until then the answer is CONCURRENT_TRANSACTIONS, which
/// clients repeat; a broker may keep the request instead and ask again after `acknowledge`.
public struct TransactionCoordinator: Sendable {
    public var options: TransactionOptions
    /// The store that the coordinator's rows are in.
    public let ownStore: Int32
    /// What control batches carry (KIP-98).
    public var coordinatorEpoch: Int32
    var producers: [ExactString: TransactionalProducer] = [:]
    /// Who holds a producer id now.
    var holders: [Int64: String] = [:]
    /// Of partitions and groups, in all open transactions.
    var addedCount = 0
    var deadlines = GroupDeadlines()
    private var supply: [Range<Int64>] = []

    public init(options: TransactionOptions, ownStore: Int32 = 0, coordinatorEpoch: Int32 = 0) {
        self.options = options
        self.ownStore = ownStore
        self.coordinatorEpoch = coordinatorEpoch
    }

    /// In no order.
    public var transactionalIDs: [String] { producers.keys.map(\.text) }

    // MARK: Producer ids

    /// Producer ids that nobody else will ever be given, reserved durably beforehand so that no request has to wait for
    /// one. What a crash leaves unused is lost. Each supply is greater than all before it, also those before a restart.
    public mutating func supply(producerIDs: Range<Int64>) {
        if !producerIDs.isEmpty { supply.append(producerIDs) }
    }

    /// Without any, requests that need one get COORDINATOR_LOAD_IN_PROGRESS, which clients repeat.
    public var producerIDsLeft: Int { supply.reduce(0) { $0 + $1.count } }

    /// For an idempotent producer or a new transactional id.
    public mutating func takeProducerID() -> Int64? {
        guard let first = supply.first else { return nil }
        let id = first.lowerBound
        if first.count == 1 { supply.removeFirst() } else { supply[0] = (id + 1)..<first.upperBound }
        return id
    }

    // MARK: Durable rows

    /// Takes in an id as its durable row says it is: at start, or again after a write failed. An open transaction goes
    /// on, and has what is left of its timeout by the wall clock. After a failure nothing is done about it for a while even
    /// when that is nothing: a store that refuses one step refuses the next.
    public mutating func load(
        _ transactionalID: String, _ row: TransactionRow, afterFailure: Bool = false, at moment: Moment
    ) throws(TransactionStateError) {
        var producer: TransactionalProducer
        do { producer = try TransactionalProducer(row, options: options, at: moment) } catch {
            throw .unreadable(transactionalID: transactionalID)
        }
        if afterFailure { producer.deadlineMs = max(producer.deadlineMs, moment.monotonicMs + options.failureRetryMs) }
        unload(transactionalID)
        keep(producer, as: transactionalID)
    }

    /// Forgets an id because a write of it failed: to be loaded again from what is durable, if there is anything, before
    /// the next request. Steps of the id that are on their way already are refused by `TransactionStep.follows`; that is no
    /// reason to unload it again.
    public mutating func unload(_ transactionalID: String) {
        deadlines.forget(transactionalID)
        _ = take(transactionalID)
    }

    // MARK: Time

    /// Monotonic milliseconds: when to call `advance` at the latest. Nil when there is nothing to wait for.
    public var nextDeadline: Int64? { deadlines.next }

    /// Time has passed: transactions that outlived their timeout are aborted and their producers fenced, stores that did
    /// not answer are told again, ids that nobody used for long are forgotten. One effect for an id; when there is more
    /// to do than `dueMax`, `nextDeadline` stays in the past.
    public mutating func advance(to moment: Moment) -> [TransactionEffects] {
        var due: [String] = []
        while due.count < options.dueMax, let transactionalID = deadlines.popDue(by: moment.monotonicMs) { due.append(transactionalID) }
        var all: [TransactionEffects] = []
        for transactionalID in due {
            guard let producer = take(transactionalID) else { continue }
            let effects = advance(transactionalID, producer, to: moment)
            if !effects.isEmpty { all.append(effects) }
        }
        return all
    }

    private mutating func advance(_ transactionalID: String, _ producer: TransactionalProducer, to moment: Moment) -> TransactionEffects {
        var producer = producer
        let isDue = producer.deadlineMs <= moment.monotonicMs
        if !producer.phase.isOpen, isDue {
            return TransactionEffects(steps: [TransactionStep(transactionalID: transactionalID, row: nil)])
        }
        defer { keep(producer, as: transactionalID) }
        if producer.phase == .ongoing, isDue {
            let markers = finish(&producer, isCommit: false, .fence, at: moment)
            return effects(transactionalID, &producer, markers, at: moment)
        }
        // Deliveries alone: what they follow from may still be on its way to the disk, which is why they wait for it.
        return TransactionEffects(deliveries: deliveries(transactionalID, &producer, at: moment))
    }

    // MARK: Keeping

    /// Takes an id out to change it; `keep` puts it back.
    mutating func take(_ transactionalID: String) -> TransactionalProducer? {
        guard let producer = producers.removeValue(forKey: transactionalID) else { return nil }
        addedCount -= producer.addedCount
        holders[producer.producerID] = nil
        return producer
    }

    mutating func keep(_ producer: TransactionalProducer, as transactionalID: String) {
        addedCount += producer.addedCount
        holders[producer.producerID] = transactionalID
        deadlines.arm(transactionalID, at: producer.nextDeadline)
        producers[transactionalID] = producer
    }

    /// What another store has to be told, once it is time to tell it (again).
    func deliveries(_ transactionalID: String, _ producer: inout TransactionalProducer, at moment: Moment) -> [TransactionDelivery] {
        var all: [TransactionDelivery] = []
        for store in producer.elsewhere.keys.sorted() {
            guard let participant = producer.elsewhere[store], !participant.isSettled, participant.tellAgainMs <= moment.monotonicMs else { continue }
            producer.elsewhere[store]?.tellAgainMs = moment.monotonicMs + options.deliveryRetryMs
            let markers = producer.phase.isPrepared ? markers(producer, participant.share) : nil
            let step = TransactionStep(transactionalID: transactionalID, row: producer.row(for: participant), markers: markers)
            all.append(TransactionDelivery(store: store, revision: participant.revision, step: step))
        }
        return all
    }

    private func markers(_ producer: TransactionalProducer, _ share: TransactionShare) -> TransactionMarkers {
        TransactionMarkers(
            producerID: producer.markerProducerID, producerEpoch: producer.markerEpoch, isCommit: producer.phase == .prepareCommit,
            coordinatorEpoch: coordinatorEpoch, partitions: share.partitions, groupIDs: share.groupIDs)
    }
}

// MARK: Ends

extension TransactionCoordinator {
    /// What becomes of the epoch when a transaction ends.
    enum EpochBump: Equatable {
        /// Stays: the client does not know of KIP-890.
        case none
        /// The next one, or epoch 0 of this producer id where there is none left. The client is told.
        case client(newProducerID: Int64?)
        /// The next one, which nobody is told: whoever had the id before is out.
        case fence
    }

    /// Ends what is open, if anything, as far as this store can, and returns the markers of this store, which go into
    /// the step that says so. With parts in other stores the id is prepared from now on, else complete.
    func finish(_ producer: inout TransactionalProducer, isCommit: Bool, _ bump: EpochBump, at moment: Moment) -> TransactionMarkers? {
        producer.revision += 1
        producer.changedMs = moment.wallClockMs
        producer.markerProducerID = producer.producerID
        producer.markerEpoch = bump == .none ? producer.epoch : min(producer.epoch, TransactionalProducer.epochMax) + 1
        switch bump {
        case .none:
            producer.isBumpedByEnd = false
        case .client(let newProducerID):
            producer.previousProducerID = producer.producerID
            producer.previousEpoch = producer.epoch
            producer.isBumpedByEnd = true
            producer.producerID = newProducerID ?? producer.producerID
            producer.epoch = newProducerID == nil ? producer.markerEpoch : 0
        case .fence:
            producer.previousProducerID = -1
            producer.previousEpoch = -1
            producer.isBumpedByEnd = false
            producer.epoch = producer.markerEpoch
        }
        producer.phase = isCommit ? .prepareCommit : .prepareAbort
        let own = producer.own.isEmpty ? nil : markers(producer, producer.own)
        producer.own = TransactionShare()
        if producer.elsewhere.isEmpty { complete(&producer, at: moment) }
        for store in producer.elsewhere.keys {
            producer.elsewhere[store]?.revision = producer.revision
            producer.elsewhere[store]?.tellAgainMs = moment.monotonicMs
        }
        return own
    }

    /// Every store has its markers.
    func complete(_ producer: inout TransactionalProducer, at moment: Moment) {
        producer.phase = producer.phase == .prepareCommit ? .completeCommit : .completeAbort
        producer.elsewhere = [:]
        producer.startedMs = -1
        rest(&producer, at: moment)
    }

    /// The id's expiry counts from now.
    func rest(_ producer: inout TransactionalProducer, at moment: Moment) {
        producer.changedMs = moment.wallClockMs
        producer.deadlineMs = moment.monotonicMs + options.idExpirationMs
    }

    /// The step that makes the producer's present state durable, and what other stores are told of it.
    func effects(
        _ transactionalID: String, _ producer: inout TransactionalProducer, _ markers: TransactionMarkers? = nil, at moment: Moment
    ) -> TransactionEffects {
        TransactionEffects(
            steps: [TransactionStep(transactionalID: transactionalID, row: producer.row, markers: markers)],
            deliveries: deliveries(transactionalID, &producer, at: moment))
    }

    /// Another store has this, or something later. With the last one a prepared transaction is complete. One that is of an
    /// earlier life of the id, which expired meanwhile, says nothing.
    public mutating func acknowledge(_ delivery: TransactionDelivery, at moment: Moment) -> TransactionEffects {
        let (transactionalID, store) = (delivery.step.transactionalID, delivery.store)
        guard let known = producers[transactionalID], delivery.step.row?.producerID == known.producerID, let participant = known.elsewhere[store],
            delivery.revision > participant.acknowledged, var producer = take(transactionalID)
        else { return TransactionEffects() }
        defer { keep(producer, as: transactionalID) }
        producer.elsewhere[store]?.acknowledged = delivery.revision
        guard producer.phase.isPrepared, producer.isSettledElsewhere else { return TransactionEffects() }
        producer.revision += 1
        complete(&producer, at: moment)
        return effects(transactionalID, &producer, at: moment)
    }
}
