internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import Synchronization

/// Whether a connection's client is still there, as threads see it that work for it.
final class Presence: Sendable {
    private let left = Atomic(false)
    var hasLeft: Bool { left.load(ordering: .relaxed) }
    func leave() { left.store(true, ordering: .relaxed) }
}

/// The duty to answer one request: spent exactly once, on any thread. One that is dropped unspent is a defect of the
/// handler; the connection is then closed, since the answers behind it could never leave.
final class Reply: Sendable {
    let key: ApiKey
    let version: Int16
    private let correlationID: Int32
    private let sequence: Int
    private let connection: NIOLoopBound<Connection>
    private let presence: Presence
    private let isSpent = Atomic(false)

    init(_ header: RequestHeader, sequence: Int, connection: NIOLoopBound<Connection>) {
        key = header.key
        version = header.version
        correlationID = header.correlationID
        self.sequence = sequence
        self.connection = connection
        presence = connection.value.presence
    }

    /// The client is gone, and nobody needs an answer made. Any thread.
    var isInVain: Bool { presence.hasLeft }

    /// Answers with `response`, encoded here and now in the request's version.
    func send(_ response: consuming some Message, capacity: Int = 256) {
        send(response, version: version, capacity: capacity)
    }

    /// As `send`, in a version that is not the request's: ApiVersions answers a version that it does not know in version 0.
    func send(_ response: consuming some Message, version: Int16, capacity: Int = 256) {
        spend(Answer(message: encodeResponse(response, correlationID: correlationID, version: version, capacity: capacity)))
    }

    /// Answers with `response`, whose slices are of `records`. `admittedBytes` are given back when the answer has been written.
    func send(_ response: consuming some Message, records: AnswerRecords, admittedBytes: Int, capacity: Int) {
        let message = encodeResponse(response, correlationID: correlationID, version: version, capacity: capacity)
        spend(Answer(message: message, records: records, admittedBytes: admittedBytes))
    }

    /// Says, on the connection's loop, how many bytes are being gathered for the answer.
    func expect(_ byteCount: Int) { connection.value.expect(sequence, byteCount) }

    /// Says, on the connection's loop, that the answer waits for other clients, and that nobody holds the request's frame until then.
    func releaseRequest() { connection.value.releaseRequest(sequence) }

    /// Has the connection begin none of the next requests before this one is answered, or `release`. While it is handled, on the
    /// connection's loop.
    func hold() { connection.value.hold(sequence) }

    /// The end of `hold`, on the connection's loop.
    func release() { connection.value.release(sequence) }

    /// The request asked for no answer.
    func none() { spend(Answer()) }

    /// Closes the connection, with one line in the log that names the client and `reason`.
    func close(_ reason: String) { close(.brokenRequest, reason) }

    func close(_ kind: RateLimitedLog.Reason, _ reason: String) {
        markSpent()
        onLoop {
            $0.endHold($1.sequence)
            $0.close(kind, "\($1.key) version \($1.version): \(reason)")
        }
    }

    private func spend(_ answer: Answer) {
        guard answer.byteCount <= Int(Int32.max) else {
            return close(.brokenRequest, "its answer would be \(answer.byteCount) bytes long, and a frame has room for \(Int32.max)")
        }
        markSpent()
        onLoop { $0.answer($1.sequence, answer) }
    }

    private func markSpent() {
        precondition(!isSpent.exchange(true, ordering: .relaxed), "a request was answered twice")
    }

    private func onLoop(_ body: @escaping @Sendable (Connection, Reply) -> Void) {
        if connection.eventLoop.inEventLoop { return body(connection.value, self) }
        connection.eventLoop.execute { body(self.connection.value, self) }
    }

    deinit {
        guard !isSpent.load(ordering: .relaxed) else { return }
        let (key, connection) = (key, connection)
        assertionFailure("a request of \(key) was dropped without an answer")
        connection.eventLoop.execute { connection.value.close(.defect, "the broker dropped a request of \(key) without an answer") }
    }
}
