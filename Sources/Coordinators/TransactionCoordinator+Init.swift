public import KafkaProtocol

extension TransactionCoordinator {
    /// As many bytes of UTF-8 as the store's keys have room for.
    public static let transactionalIDBytesMax = 500

    static func isValid(transactionalID: String) -> Bool { (1...transactionalIDBytesMax).contains(transactionalID.utf8.count) }

    /// InitProducerId 0–5, also of idempotent producers without a transactional id. Where the id's transaction is open,
    /// it is aborted and its holder fenced in the same step; only where it is in other stores too is the client told to
    /// come back (CONCURRENT_TRANSACTIONS) until they have their markers.
    public mutating func initProducerID(
        _ request: InitProducerIdRequest, version: Int16, at moment: Moment
    ) -> (InitProducerIdResponse, TransactionEffects) {
        func refuse(_ code: ErrorCode, _ effects: TransactionEffects = TransactionEffects()) -> (InitProducerIdResponse, TransactionEffects) {
            let answer = InitProducerIdResponse {
                $0.errorCode = version < 4 ? Self.fencing(code) : code
                $0.producerEpoch = -1
            }
            return (answer, effects)
        }
        guard (request.producerID == -1) == (request.producerEpoch == -1) else { return refuse(.invalidRequest) }
        guard let transactionalID = request.transactionalID else {
            guard let producerID = takeProducerID() else { return refuse(.coordinatorLoadInProgress) }
            return (Self.granted(producerID, 0), TransactionEffects())
        }
        guard Self.isValid(transactionalID: transactionalID) else { return refuse(.invalidRequest) }
        guard request.transactionTimeoutMs > 0, request.transactionTimeoutMs <= options.timeoutMsMax else {
            return refuse(.invalidTransactionTimeout)
        }
        guard let known = producers[transactionalID] else { return create(transactionalID, request, refuse, at: moment) }
        let claim = known.judge(request)
        if claim == .fenced { return refuse(.producerFenced) }
        if known.phase.isPrepared { return refuse(.concurrentTransactions) }
        if claim == .repeated {
            // With a transaction open, somebody has had the answer and goes on with it.
            return known.phase == .ongoing ? refuse(.producerFenced) : renew(transactionalID, request, claim, newProducerID: nil, at: moment)
        }
        var newProducerID: Int64?
        if known.isExhausted, known.elsewhere.isEmpty {
            newProducerID = takeProducerID()
            guard newProducerID != nil else { return refuse(.coordinatorLoadInProgress) }
        }
        if known.phase == .ongoing, !known.elsewhere.isEmpty {
            return refuse(.concurrentTransactions, abandon(transactionalID, isContinued: claim == .current, at: moment))
        }
        return renew(transactionalID, request, claim, newProducerID: newProducerID, at: moment)
    }

    private mutating func create(
        _ transactionalID: String, _ request: InitProducerIdRequest, _ refuse: (ErrorCode, TransactionEffects) -> (InitProducerIdResponse, TransactionEffects),
        at moment: Moment
    ) -> (InitProducerIdResponse, TransactionEffects) {
        guard producers.count < options.idsMax else { return refuse(.policyViolation, TransactionEffects()) }
        guard let producerID = takeProducerID() else { return refuse(.coordinatorLoadInProgress, TransactionEffects()) }
        var producer = TransactionalProducer(producerID: producerID, timeoutMs: request.transactionTimeoutMs, changedMs: moment.wallClockMs)
        producer.epoch = 0
        producer.revision = 1
        rest(&producer, at: moment)
        keep(producer, as: transactionalID)
        return (Self.granted(producerID, 0), effects(transactionalID, &producer, at: moment))
    }

    /// The id's next incarnation, or the next epoch of the present one (KIP-360), in one step with the abort of what was open.
    private mutating func renew(
        _ transactionalID: String, _ request: InitProducerIdRequest, _ claim: InitClaim, newProducerID: Int64?, at moment: Moment
    ) -> (InitProducerIdResponse, TransactionEffects) {
        guard var producer = take(transactionalID) else { return (InitProducerIdResponse { $0.errorCode = .unknownServerError }, TransactionEffects()) }
        let (holder, epoch) = (producer.producerID, producer.epoch)
        var markers: TransactionMarkers?
        if producer.phase == .ongoing {
            // The markers' epoch is one that nobody was given: it can be the next incarnation's.
            markers = finish(&producer, isCommit: false, .fence, at: moment)
        } else {
            producer.revision += 1
            if claim != .repeated, newProducerID == nil { producer.epoch += 1 }
        }
        if let newProducerID {
            producer.producerID = newProducerID
            producer.epoch = 0
        }
        if claim != .repeated {
            producer.previousProducerID = claim == .current ? holder : -1
            producer.previousEpoch = claim == .current ? epoch : -1
        }
        producer.isBumpedByEnd = false
        producer.phase = .empty
        producer.timeoutMs = request.transactionTimeoutMs
        rest(&producer, at: moment)
        defer { keep(producer, as: transactionalID) }
        return (Self.granted(producer.producerID, producer.epoch), effects(transactionalID, &producer, markers, at: moment))
    }

    /// Begins to abort a transaction that other stores have parts of. When its own producer asked for it, that producer's
    /// next request is known as the repetition it is.
    private mutating func abandon(_ transactionalID: String, isContinued: Bool, at moment: Moment) -> TransactionEffects {
        guard var producer = take(transactionalID) else { return TransactionEffects() }
        defer { keep(producer, as: transactionalID) }
        let (holder, epoch) = (producer.producerID, producer.epoch)
        let markers = finish(&producer, isCommit: false, .fence, at: moment)
        // The last epoch of a producer id is given to nobody, so there is nothing to come back for.
        if isContinued, !(producer.epoch > TransactionalProducer.epochMax) {
            producer.previousProducerID = holder
            producer.previousEpoch = epoch
        }
        return effects(transactionalID, &producer, markers, at: moment)
    }

    private static func granted(_ producerID: Int64, _ epoch: Int16) -> InitProducerIdResponse {
        InitProducerIdResponse {
            $0.producerID = producerID
            $0.producerEpoch = epoch
        }
    }

    /// What clients are told that do not know PRODUCER_FENCED yet (KIP-588).
    static func fencing(_ code: ErrorCode) -> ErrorCode { code == .producerFenced ? .invalidProducerEpoch : code }
}

/// Who an InitProducerId comes from, by the producer id and epoch that it names (KIP-360).
enum InitClaim {
    /// Names none: a new incarnation.
    case newcomer
    /// The holder, after an error.
    case current
    /// The holder, whose last request was carried out but not answered.
    case repeated
    case fenced
}

extension TransactionalProducer {
    func judge(_ request: InitProducerIdRequest) -> InitClaim {
        if request.producerID == -1 { return .newcomer }
        if request.producerID == producerID, request.producerEpoch == epoch { return .current }
        let isRepeated = previousEpoch >= 0 && request.producerID == previousProducerID && request.producerEpoch == previousEpoch
        return isRepeated ? .repeated : .fenced
    }
}
