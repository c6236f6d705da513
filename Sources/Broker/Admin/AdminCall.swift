internal import KafkaProtocol
internal import NIOCore
internal import NIOPosix
internal import Store

/// Why one topic, partition or resource of a request is refused; the rest of the request goes on.
struct Refusal: Error, Equatable {
    let code: ErrorCode
    let message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ refusal: ConfigurationRefusal) {
        switch refusal.kind {
        case .invalidConfig: self.init(.invalidConfig, refusal.message)
        case .invalidRequest: self.init(.invalidRequest, refusal.message)
        }
    }
}

extension Call {
    /// Submits operations, which the store takes into one commit where they fit, and hands over their outcomes in the
    /// same order, on the connection's loop. To be called on that loop.
    func perform(_ operations: [AdminOperation], then finish: @escaping @Sendable ([AdminOutcome]) -> Void) {
        guard !operations.isEmpty else { return finish([]) }
        let gathered = NIOLoopBoundBox(
            (outcomes: [AdminOutcome?](repeating: nil, count: operations.count), missing: operations.count), eventLoop: lane.loop)
        for (index, operation) in operations.enumerated() {
            let submission = Submission.admin(operation, lane: lane) { outcome in
                gathered.value.outcomes[index] = outcome
                gathered.value.missing -= 1
                if gathered.value.missing == 0 { finish(gathered.value.outcomes.compactMap { $0 }) }
            }
            lane.submit(submission)
        }
    }

    /// An answer with more partitions is put together off the event loop.
    static let partitionsOnLoopMax = 2000

    /// Answers off the event loop, where the work grows with what the broker holds. To be called on the loop; `reply` is spent by `body`.
    /// - Parameter byteCount: Of the answer: a connection has only so much in the making at a time. Nil where nobody can say; then
    ///   nothing else that the connection asks is begun before it is answered.
    func offLoop(_ reply: Reply, expecting byteCount: Int? = nil, _ body: @escaping @Sendable () -> Void) {
        if let byteCount { reply.expect(max(byteCount, 1 << 20)) } else { reply.hold() }
        broker.readers.submit { state in
            guard case .active = state else { return reply.close("the broker is shutting down") }
            if reply.isInVain { return reply.none() }
            body()
        }
    }
}

extension AdminOutcome {
    /// Why the operation failed; nil when it did not.
    var refusal: Refusal? {
        if case .failure(let code, let message) = self { return Refusal(code, message) }
        return nil
    }
}

/// The operations that a client may do, as bits by Kafka's numbers (KIP-430). Without authorisation that is all of them.
enum AuthorizedOperations {
    /// The value that says that nobody asked.
    static let omitted = Int32.min
    /// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
    static let topic = bits(3, 4, 5, 6, 7, 8, 10, 11)
    /// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
    static let group = bits(3, 6, 8, 10, 11)
    /// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
    static let cluster = bits(5, 7, 8, 9, 10, 11, 12)

    private static func bits(_ operations: Int32...) -> Int32 { operations.reduce(0) { $0 | 1 << $1 } }
}
