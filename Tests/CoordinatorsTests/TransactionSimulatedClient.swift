import KafkaProtocol

@testable import Coordinators

/// What a client asks of the broker.
enum SimulatedRequest {
    case begin(InitProducerIdRequest, version: Int16)
    case add(TransactionPlace, transactionalID: String, producerID: Int64, epoch: Int16)
    case write(SimulatedWrite, transactionalID: String, version: Int16)
    case end(EndTxnRequest, version: Int16)

    var isWrite: Bool {
        if case .write = self { return true }
        return false
    }

    /// An older client counts on such a request not to come again once it has been answered: what protects its batches is
    /// their sequence numbers, and nothing protects the rest. That is what transaction version 2 is for.
    var mustNotLinger: Bool {
        if case .write(let write, _, _) = self, case .partition = write.place { return false }
        return true
    }
}

struct SimulatedResponse {
    var code = ErrorCode.none
    var producerID: Int64 = -1
    var epoch: Int16 = -1
    /// How many reasons to be fenced the id's holders had had by then.
    var replacements = 0
}

/// A transactional producer, written by the protocol's rules, that may be slow, die, or not notice that it was replaced.
struct SimulatedProducer {
    enum Phase {
        case starting, ready, inside, ending, bumping, dead
    }

    let index: Int
    let transactionalID: String
    /// Transaction version 2, or what clients did before.
    let isVersion2: Bool
    var phase = Phase.starting
    var producerID: Int64 = -1
    var epoch: Int16 = -1
    var sequences: [TransactionPlace: Int32] = [:]
    /// As of the last InitProducerId.
    var replacements = 0
    var waiting: (number: Int, request: SimulatedRequest)?
    /// To be sent again because the answer was to come back.
    var again: SimulatedRequest?
    var tag: TransactionTag
    var plan: [TransactionPlace] = []
    var added: Set<TransactionPlace> = []
    var mustAbort = false
    /// An older client's batch may still come: its next transaction needs another epoch.
    var needsBump = false

    init(index: Int, transactionalID: String, isVersion2: Bool) {
        self.index = index
        self.transactionalID = transactionalID
        self.isVersion2 = isVersion2
        tag = TransactionTag(client: index, number: 0)
    }

    // MARK: Requests

    mutating func beginRequest(isContinued: Bool, timeoutMs: Int32) -> SimulatedRequest {
        let request = InitProducerIdRequest {
            $0.transactionalID = transactionalID
            $0.transactionTimeoutMs = timeoutMs
            $0.producerID = isContinued ? producerID : -1
            $0.producerEpoch = isContinued ? epoch : -1
        }
        return .begin(request, version: isVersion2 ? 5 : 3)
    }

    /// The next thing to put into the transaction.
    mutating func nextWrite() -> SimulatedRequest? {
        guard let place = plan.first else { return nil }
        if !isVersion2, !added.contains(place) { return .add(place, transactionalID: transactionalID, producerID: producerID, epoch: epoch) }
        plan.removeFirst()
        let sequence = sequences[place, default: 0]
        sequences[place] = sequence + 1
        let write = SimulatedWrite(place: place, producerID: producerID, epoch: epoch, sequence: sequence, tag: tag)
        let version: Int16 =
            switch place {
            case .partition: isVersion2 ? 12 : 9
            case .group: isVersion2 ? 5 : 3
            }
        return .write(write, transactionalID: transactionalID, version: version)
    }

    func endRequest(commit: Bool) -> SimulatedRequest {
        let request = EndTxnRequest {
            $0.transactionalID = transactionalID
            $0.producerID = producerID
            $0.producerEpoch = epoch
            $0.committed = commit
        }
        return .end(request, version: isVersion2 ? 5 : 3)
    }

    // MARK: Answers

    mutating func use(_ producerID: Int64, _ epoch: Int16) {
        if (producerID, epoch) != (self.producerID, self.epoch) { sequences = [:] }
        self.producerID = producerID
        self.epoch = epoch
    }

    mutating func startTransaction(_ places: [TransactionPlace]) {
        tag.number += 1
        plan = places
        added = []
        mustAbort = false
        phase = .inside
    }

    /// The transaction is over.
    mutating func finishTransaction() {
        phase = needsBump ? .bumping : .ready
        needsBump = false
    }
}
