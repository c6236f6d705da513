public import KafkaProtocol

extension TransactionCoordinator {
    /// EndTxn 0–5. To version 5 the answer carries the producer id and epoch to go on with: each end bumps the epoch, so
    /// that no late or repeated request can act on the next transaction (KIP-890).
    public mutating func endTransaction(_ request: EndTxnRequest, version: Int16, at moment: Moment) -> (EndTxnResponse, TransactionEffects) {
        guard Self.isValid(transactionalID: request.transactionalID) else { return (EndTxnResponse { $0.errorCode = .invalidRequest }, TransactionEffects()) }
        guard let producer = producers[request.transactionalID] else {
            return (EndTxnResponse { $0.errorCode = .invalidProducerIDMapping }, TransactionEffects())
        }
        let verdict = version >= 5 ? producer.judgeEnd(request) : producer.judgeEndWithoutBump(request)
        switch verdict {
        case .refuse(let code):
            return (EndTxnResponse { $0.errorCode = version < 2 ? Self.fencing(code) : code }, TransactionEffects())
        case .repeated:
            return (Self.ended(producer, version), TransactionEffects())
        case .carryOut:
            return carryOut(request, version, at: moment)
        }
    }

    private mutating func carryOut(_ request: EndTxnRequest, _ version: Int16, at moment: Moment) -> (EndTxnResponse, TransactionEffects) {
        var bump = EpochBump.none
        if version >= 5 {
            var newProducerID: Int64?
            if producers[request.transactionalID]?.isExhausted == true {
                newProducerID = takeProducerID()
                guard newProducerID != nil else { return (EndTxnResponse { $0.errorCode = .coordinatorLoadInProgress }, TransactionEffects()) }
            }
            bump = .client(newProducerID: newProducerID)
        }
        guard var producer = take(request.transactionalID) else { return (EndTxnResponse { $0.errorCode = .unknownServerError }, TransactionEffects()) }
        defer { keep(producer, as: request.transactionalID) }
        let markers = finish(&producer, isCommit: request.committed, bump, at: moment)
        return (Self.ended(producer, version), effects(request.transactionalID, &producer, markers, at: moment))
    }

    private static func ended(_ producer: TransactionalProducer, _ version: Int16) -> EndTxnResponse {
        EndTxnResponse {
            if version >= 5 {
                $0.producerID = producer.producerID
                $0.producerEpoch = producer.epoch
            }
        }
    }

    /// What to do with a request to write one producer's markers (WriteTxnMarkers) into these partitions.
    public enum MarkerAdmission: Sendable, Equatable {
        /// No transaction that is known here: a hanging one, whose partitions the markers set free. They are written as they are.
        case write
        /// The producer's transaction is open: it is aborted as a whole, and its producer fenced.
        case abort(TransactionEffects)
        case refuse(ErrorCode)
    }

    /// WriteTxnMarkers 1, as the admin tools send it to get rid of a hanging transaction (KIP-664). A transaction that is
    /// open here is never torn: an ABORT for any of its partitions aborts all of it, a COMMIT is refused.
    public mutating func admitMarkers(
        producerID: Int64, producerEpoch: Int16, isCommit: Bool, partitions: [TransactionPartition], at moment: Moment
    ) -> MarkerAdmission {
        guard let transactionalID = holders[producerID], let known = producers[transactionalID] else { return .write }
        if producerEpoch < known.epoch { return .refuse(.invalidProducerEpoch) }
        guard partitions.contains(where: { known.contains($0, ownStore: ownStore) }) else { return .write }
        if isCommit { return .refuse(.invalidTxnState) }
        guard known.phase == .ongoing, var producer = take(transactionalID) else { return .refuse(.concurrentTransactions) }
        defer { keep(producer, as: transactionalID) }
        let markers = finish(&producer, isCommit: false, .fence, at: moment)
        return .abort(effects(transactionalID, &producer, markers, at: moment))
    }
}

enum EndVerdict: Equatable {
    case carryOut
    /// It was carried out before; the answer was lost.
    case repeated
    case refuse(ErrorCode)
}

extension TransactionalProducer {
    /// Versions 0–4: the epoch stays, so an end that is repeated, or late, is told from a new one by its outcome only.
    func judgeEndWithoutBump(_ request: EndTxnRequest) -> EndVerdict {
        if request.producerID != producerID { return .refuse(.invalidProducerIDMapping) }
        if request.producerEpoch != epoch { return .refuse(.producerFenced) }
        switch phase {
        case .ongoing: return .carryOut
        case .empty: return .refuse(.invalidTxnState)
        case .completeCommit: return request.committed ? .repeated : .refuse(.invalidTxnState)
        case .completeAbort: return request.committed ? .refuse(.invalidTxnState) : .repeated
        case .prepareCommit: return .refuse(request.committed ? .concurrentTransactions : .invalidTxnState)
        case .prepareAbort: return .refuse(request.committed ? .invalidTxnState : .concurrentTransactions)
        }
    }

    /// Version 5: the present epoch asks for a new end, the previous one can only repeat the last.
    func judgeEnd(_ request: EndTxnRequest) -> EndVerdict {
        let isPrevious =
            isBumpedByEnd && phase != .ongoing && request.producerID == previousProducerID && request.producerEpoch == previousEpoch
        if isPrevious {
            if phase.isPrepared { return .refuse(.concurrentTransactions) }
            return request.committed == (phase == .completeCommit) ? .repeated : .refuse(.invalidTxnState)
        }
        if request.producerID != producerID { return .refuse(.invalidProducerIDMapping) }
        if request.producerEpoch != epoch { return .refuse(.producerFenced) }
        switch phase {
        case .ongoing: return .carryOut
        // An abort without anything to abort still gives the client a fresh epoch.
        case .empty, .completeCommit, .completeAbort: return request.committed ? .refuse(.invalidTxnState) : .carryOut
        case .prepareCommit, .prepareAbort: return .refuse(.concurrentTransactions)
        }
    }
}
