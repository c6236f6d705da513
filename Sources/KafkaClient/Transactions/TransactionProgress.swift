import KafkaProtocol

/// Where a transactional producer stands, and what may be asked of it there.
struct TransactionProgress {
    enum Phase: Equatable {
        case uninitialized
        /// Between two transactions.
        case ready
        case open
        /// Something of the transaction was refused: it can only be aborted.
        case failed(ClientError)
        /// Being ended, or the answer to that is missing: the same end can be asked for again.
        case ending(isCommit: Bool)
        /// Somebody else holds the transactional id, or the broker refuses this producer for good.
        case lost(ClientError)
    }

    let transactionalID: String
    private(set) var phase = Phase.uninitialized
    /// Why the transaction that is being committed cannot be.
    private var failure: ClientError?
    private(set) var identity: ProducerIdentity?
    private(set) var isVersion2 = false
    /// Records were taken in, or offsets sent.
    var hasContent = false
    /// Offsets that are committed with the transaction.
    var offsets: [(consumer: GroupConsumer, positions: [TopicPartition: OffsetPosition])] = []

    init(transactionalID: String) { self.transactionalID = transactionalID }

    mutating func checkUninitialized() throws(ClientError) {
        guard phase == .uninitialized else { throw .invalid("the producer of \(transactionalID) is initialized once") }
    }

    mutating func initialized(_ identity: ProducerIdentity, isVersion2: Bool) {
        (self.identity, self.isVersion2, phase) = (identity, isVersion2, .ready)
    }

    mutating func begin() throws(ClientError) {
        switch phase {
        case .ready: phase = .open
        case .uninitialized: throw .invalid("the producer of \(transactionalID) is not initialized")
        case .lost(let error): throw error
        case .open, .failed, .ending: throw .invalid("the last transaction of \(transactionalID) is not at its end")
        }
    }

    func checkOpen() throws(ClientError) {
        switch phase {
        case .open: break
        case .failed(let error): throw Self.abortable(error, transactionalID)
        case .lost(let error): throw error
        case .uninitialized, .ready, .ending: throw .invalid("\(transactionalID) has no transaction open")
        }
    }

    /// Something of the transaction was refused.
    mutating func fail(_ error: ClientError, isFatal: Bool) {
        if isFatal {
            phase = .lost(error)
        } else if phase == .open {
            phase = .failed(error)
        } else if phase == .ending(isCommit: true), failure == nil {
            failure = error
        }
    }

    mutating func beginEnd(isCommit: Bool) throws(ClientError) {
        switch phase {
        case .open: phase = .ending(isCommit: isCommit)
        case .failed(let error):
            if isCommit { throw Self.abortable(error, transactionalID) }
            phase = .ending(isCommit: false)
        case .ending(let wasCommit) where wasCommit == isCommit: break
        case .ending(let wasCommit):
            throw .invalid("\(transactionalID) may have \(wasCommit ? "committed" : "aborted") already: ask for that again")
        case .lost(let error): throw error
        case .uninitialized, .ready: throw .invalid("\(transactionalID) has no transaction open")
        }
    }

    /// All records were answered: may they be committed?
    mutating func checkDelivered() throws(ClientError) {
        if case .lost(let error) = phase { throw error }
        guard let failure else { return }
        phase = .failed(failure)
        self.failure = nil
        throw Self.abortable(failure, transactionalID)
    }

    /// The broker wants the transaction that was to be committed aborted.
    mutating func refuseCommit(_ error: ClientError) { phase = .failed(error) }

    mutating func ended(_ next: ProducerIdentity) {
        if case .lost = phase { return }
        (identity, phase, failure, hasContent, offsets) = (next, .ready, nil, false, [])
    }

    private static func abortable(_ error: ClientError, _ transactionalID: String) -> ClientError {
        let sentence = "the transaction of \(transactionalID) can only be aborted: \(error)"
        return .broker(.transactionAbortable, sentence)
    }
}

extension ClientError {
    /// Whether a coordinator's refusal means that this producer can do nothing more: another holds the id, or what it
    /// has open is not what the coordinator knows.
    var endsTransactionalProducer: Bool {
        switch code {
        case .producerFenced?, .invalidProducerEpoch?, .transactionalIDAuthorizationFailed?, .invalidProducerIDMapping?, .invalidTxnState?: true
        default: false
        }
    }

    /// The same of a partition's leader. It also refuses old epochs of a transaction that the coordinator has aborted,
    /// of which only that one can say whether the id is lost.
    var isFencing: Bool { code == .producerFenced || code == .transactionalIDAuthorizationFailed }
}
