internal import DequeModule
internal import KafkaProtocol

/// What goes back for one request.
struct Answer: Sendable {
    /// With header and size; nil where the protocol has no answer (Produce with acks = 0).
    var message: Encoded?
    /// What the message's insertions are slices of.
    var records = AnswerRecords()
    /// Bytes admitted by the broker's response budget, to be given back when they are written.
    var admittedBytes = 0

    var byteCount: Int { message?.byteCount ?? 0 }
}

/// One connection's requests in the order of their arrival, each with its answer once there is one. Answers leave as
/// the ready prefix.
struct AnswerQueue {
    private enum Slot {
        /// `heldBytes`: of the request, as long as it is in memory.
        case awaited(requestBytes: Int, heldBytes: Int, expectedBytes: Int)
        case ready(Answer)
    }

    private var slots: Deque<Slot> = []
    private var firstSequence = 0
    /// Bytes of the requests that have no answer yet.
    private(set) var requestBytes = 0
    /// Bytes of the answers that have not left, and of those being made as far as that is known.
    private(set) var answerBytes = 0

    var count: Int { slots.count }
    var isEmpty: Bool { slots.isEmpty }

    /// Keeps a place for the answer to a request of `requestBytes` bytes, and returns its sequence number.
    mutating func reserve(requestBytes: Int) -> Int {
        slots.append(.awaited(requestBytes: requestBytes, heldBytes: requestBytes, expectedBytes: 0))
        self.requestBytes += requestBytes
        return firstSequence + slots.count - 1
    }

    /// Counts `byteCount` for an answer that is being made.
    mutating func expect(_ sequence: Int, _ byteCount: Int) {
        let index = sequence - firstSequence
        guard slots.indices.contains(index), case .awaited(let requestBytes, let held, let before) = slots[index] else { return }
        slots[index] = .awaited(requestBytes: requestBytes, heldBytes: held, expectedBytes: before + byteCount)
        answerBytes += byteCount
    }

    /// The request is not in memory any more, though its answer is still awaited. Returns the bytes that were held.
    mutating func release(_ sequence: Int) -> Int {
        let index = sequence - firstSequence
        guard slots.indices.contains(index), case .awaited(let requestBytes, let held, let expected) = slots[index] else { return 0 }
        slots[index] = .awaited(requestBytes: requestBytes, heldBytes: 0, expectedBytes: expected)
        return held
    }

    /// Whether the answer can leave as soon as it is there.
    func isNext(_ sequence: Int) -> Bool { sequence == firstSequence }

    /// Puts an answer into its place. Returns the bytes that were still held of the request that it answers.
    mutating func fill(_ sequence: Int, _ answer: Answer) -> Int {
        let index = sequence - firstSequence
        guard slots.indices.contains(index), case .awaited(let bytes, let held, let expected) = slots[index] else {
            preconditionFailure("request \(sequence) of a connection was answered twice")
        }
        slots[index] = .ready(answer)
        requestBytes -= bytes
        answerBytes += answer.byteCount - expected
        return held
    }

    /// Takes out the oldest answer, unless it is still awaited.
    mutating func next() -> Answer? {
        guard case .ready(let answer)? = slots.first else { return nil }
        slots.removeFirst()
        firstSequence += 1
        answerBytes -= answer.byteCount
        return answer
    }

    /// Takes out everything; answers still awaited have no place any more. Returns what was held of their requests, and what the
    /// answers that did not leave had occupied.
    mutating func abandon() -> (heldBytes: Int, admittedBytes: Int) {
        var left = (heldBytes: 0, admittedBytes: 0)
        for slot in slots {
            switch slot {
            case .awaited(_, let held, _): left.heldBytes += held
            case .ready(let answer): left.admittedBytes += answer.admittedBytes
            }
        }
        defer {
            firstSequence += slots.count
            slots.removeAll()
            requestBytes = 0
            answerBytes = 0
        }
        return left
    }
}
