import DequeModule
import KafkaProtocol

/// What a broker knows an idempotent producer by (KIP-98).
struct ProducerIdentity: Equatable, Sendable {
    var id: Int64
    var epoch: Int16
}

/// A batch as its partition's queue sees it.
protocol QueuedBatch: AnyObject {
    var recordCount: Int32 { get }
    /// Place in the partition's order of sending, given by the queue.
    var order: UInt64 { get set }
    /// Whose sequence the batch carries, and the number of its first record; nil before it was first sent.
    var place: (identity: ProducerIdentity, sequence: Int32)? { get set }
}

/// The batches of one partition: which one may be sent next, and what becomes of it after an answer.
///
/// Order and exactly-once rest on four rules. Batches are numbered in the order that they are first sent, and keep
/// their numbers when they are sent again, so that the broker recognises what it already has. After a failure nothing
/// more is sent until all that is in flight has been answered; then sending goes on from the earliest batch, one at a
/// time until none is left that was sent before: a broker recognises only the last five, and would take a sixth for a
/// gap if later ones went past it. Until the broker has taken one of a producer's, batches go one at a time as well: where nothing is
/// on record a broker takes any number for the first (KIP-360), and a batch would pass the one before it, which was refused for
/// another reason. Only when the broker says of the earliest batch that its number is not the next one, which means that it does not
/// have it, are numbers given anew, under another identity.
struct PartitionQueue<Batch: QueuedBatch> {
    /// To be sent, or to be sent again, in order.
    private(set) var waiting = Deque<Batch>()
    /// Sent and not answered, in order.
    private(set) var inFlight = Deque<Batch>()
    private var nextOrder: UInt64 = 0
    private var nextSequence: Int32 = 0
    /// Nil until one is given, and after `startOver`.
    private(set) var identity: ProducerIdentity?
    /// The identity given up last, not to be taken again.
    private(set) var retired: ProducerIdentity?
    /// The producer whose numbers the partition's leader has on record.
    private var recordedID: Int64?
    /// True from a failure until nothing is in flight.
    private var isRecovering = false
    /// True while a batch that was sent before is in flight, alone.
    private var isResending = false
    let isIdempotent: Bool
    let inFlightMax: Int

    init(isIdempotent: Bool, inFlightMax: Int) {
        self.isIdempotent = isIdempotent
        self.inFlightMax = inFlightMax
    }

    var isEmpty: Bool { waiting.isEmpty && inFlight.isEmpty }
    /// Something waits, but an identity must be given first.
    var needsIdentity: Bool { isIdempotent && identity == nil && !waiting.isEmpty }
    var canSend: Bool { !waiting.isEmpty && !isRecovering && !isResending && !needsIdentity && inFlight.count < inFlightMaxNow }

    private var inFlightMaxNow: Int { isIdempotent && recordedID != identity?.id ? 1 : inFlightMax }

    mutating func append(_ batch: Batch) {
        batch.order = nextOrder
        nextOrder += 1
        waiting.append(batch)
    }

    mutating func adopt(_ identity: ProducerIdentity) {
        precondition(self.identity == nil && identity != retired, "an identity is kept until the queue starts over with another")
        self.identity = identity
        nextSequence = 0
    }

    /// The leader has taken a batch of this producer's.
    mutating func confirm(_ identity: ProducerIdentity) { recordedID = identity.id }

    /// The next batch to send, now in flight; nil when nothing may be sent.
    mutating func next() -> Batch? {
        guard canSend, let batch = waiting.popFirst() else { return nil }
        if batch.place != nil {
            isResending = true
        } else if let identity {
            batch.place = (identity, nextSequence)
            nextSequence = RecordBatchHeader.sequence(nextSequence, advancedBy: batch.recordCount)
        }
        inFlight.append(batch)
        return batch
    }

    /// Whether nothing that was given to the queue before the batch is still in it.
    func isEarliest(_ batch: Batch) -> Bool {
        let earliest = [waiting.first?.order, inFlight.first?.order].compactMap { $0 }.min()
        return earliest.map { batch.order <= $0 } ?? true
    }

    /// Numbers begin anew, under an identity to be given. Between two transactions, with nothing on its way.
    mutating func renew() {
        precondition(isEmpty, "a queue changes its identity when nothing of the old one is left")
        (identity, retired, nextSequence, isRecovering, isResending) = (nil, nil, 0, false, false)
    }

    /// The batch is done with, for good or bad.
    mutating func remove(_ batch: Batch) {
        if !land(batch) { waiting.removeAll { $0 === batch } }
        if inFlight.isEmpty { isRecovering = false }
    }

    /// Takes the batch out of those in flight, mostly the first of them.
    @discardableResult
    private mutating func land(_ batch: Batch) -> Bool {
        guard let position = inFlight.firstIndex(where: { $0 === batch }) else { return false }
        inFlight.remove(at: position)
        if inFlight.isEmpty { isResending = false }
        return true
    }

    /// The batch is to be sent again, in its old place.
    mutating func retry(_ batch: Batch) {
        land(batch)
        let position = waiting.firstIndex { $0.order > batch.order } ?? waiting.endIndex
        waiting.insert(batch, at: position)
        isRecovering = isIdempotent && !inFlight.isEmpty
        // Numbered before numbering started over: see `startOver`.
        if batch.place?.identity != identity { batch.place = nil }
    }

    /// The batch was refused as too large, and its halves are sent in its place. The broker has not written it: its numbers are still
    /// the next ones, and what was sent behind it is refused and comes back.
    mutating func split(_ batch: Batch, into halves: [Batch]) {
        retry(batch)
        guard let position = waiting.firstIndex(where: { $0 === batch }) else { return }
        for later in waiting where later.order > batch.order { later.order += UInt64(halves.count) }
        for later in inFlight where later.order > batch.order { later.order += UInt64(halves.count) }
        nextOrder += UInt64(halves.count)
        waiting.remove(at: position)
        waiting.insert(contentsOf: halves, at: position)
        var (order, place) = (batch.order, batch.place)
        for half in halves {
            (half.order, half.place) = (order, place)
            order += 1
            if let (identity, sequence) = place { place = (identity, RecordBatchHeader.sequence(sequence, advancedBy: half.recordCount)) }
        }
    }

    /// What follows when the broker says that the number of `batch` is not the next one, or that it does not know the
    /// producer: an earlier batch still has to arrive, or the broker has lost count and numbering starts over.
    mutating func refuseSequence(of batch: Batch) {
        let isEarliest = isEarliest(batch)
        retry(batch)
        // An answer to what was sent before numbering started over says nothing about the present numbers.
        if isEarliest, batch.place != nil { startOver() }
    }

    /// Numbers given so far are forgotten. The broker has none of the waiting batches: it takes them only in order,
    /// and has refused the earliest. What is still in flight will be refused as well, and come back.
    private mutating func startOver() {
        retired = identity
        identity = nil
        isRecovering = !inFlight.isEmpty
        for batch in waiting { batch.place = nil }
    }
}
