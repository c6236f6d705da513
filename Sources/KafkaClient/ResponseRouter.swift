import KafkaProtocol
import NIOCore

/// The event-loop half of a connection: matches answers to requests, in the order that they were sent, and fails
/// every one still waiting when the connection ends.
final class ResponseRouter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private struct Waiting {
        let correlationID: Int32
        let deadline: NIODeadline
        let promise: EventLoopPromise<Frame>
    }

    private let address: BrokerAddress
    private var assembler: FrameAssembler
    private var waiting = CircularBuffer<Waiting>()
    private var context: ChannelHandlerContext?
    private var nextCorrelationID: Int32 = 1
    private var timer: (task: Scheduled<Void>, deadline: NIODeadline)?
    /// Bytes that came and were not looked at yet. Whoever is handed an answer may write, and a write that fails makes NIO
    /// read, in the middle of it, what came before the connection broke.
    private var arrived = CircularBuffer<ByteBuffer>()
    private var isRouting = false
    /// The connection broke while answers were being handed out: they come first.
    private var ending: ClientError?
    /// Why the connection ended, once it has.
    private var failure: ClientError?

    init(address: BrokerAddress, options: ConnectionOptions) {
        self.address = address
        assembler = FrameAssembler(byteCountMax: options.responseByteCountMax)
    }

    func takeCorrelationID() -> Int32 {
        defer { nextCorrelationID = nextCorrelationID == .max ? 1 : nextCorrelationID + 1 }
        return nextCorrelationID
    }

    /// Sends one request whose answer fulfils `promise`.
    func send(_ pieces: RequestPieces, correlationID: Int32, deadline: NIODeadline, promise: EventLoopPromise<Frame>) {
        guard let context, failure == nil else { return promise.fail(failure ?? ending ?? .closed) }
        waiting.append(Waiting(correlationID: correlationID, deadline: deadline, promise: promise))
        for piece in pieces { context.write(Self.wrapOutboundOut(piece), promise: nil) }
        context.flush()
        watch(deadline)
    }

    /// Sends one request that the broker does not answer; `promise` is fulfilled when it has left. One that has not by the deadline ends
    /// the connection.
    func sendUnanswered(_ pieces: RequestPieces, deadline: NIODeadline, promise: EventLoopPromise<Void>) {
        guard let context, failure == nil else { return promise.fail(failure ?? ending ?? .closed) }
        let expiry = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.end(.timedOut("\(self.address) took nothing in time")) }
        promise.futureResult.whenComplete { _ in expiry.cancel() }
        for (index, piece) in pieces.enumerated() {
            context.write(Self.wrapOutboundOut(piece), promise: index == pieces.count - 1 ? promise : nil)
        }
        context.flush()
    }

    func end(_ error: ClientError) {
        guard failure == nil else { return }
        failure = error
        timer?.task.cancel()
        timer = nil
        let unanswered = waiting
        waiting.removeAll()
        context?.close(promise: nil)
        for request in unanswered { request.promise.fail(error) }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        endWhenRouted(.connectionLost("the connection to \(address) has ended"))
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        arrived.append(Self.unwrapInboundIn(data))
        guard !isRouting else { return }
        isRouting = true
        do {
            while var buffer = arrived.popFirst() {
                while let frame = try assembler.next(from: &buffer) { route(frame) }
            }
        } catch {
            end(.malformed("\(address) does not speak Kafka's protocol: it sent a response of an impossible length"))
        }
        isRouting = false
        if let ending { end(ending) }
    }

    private func endWhenRouted(_ error: ClientError) {
        if isRouting { ending = ending ?? error } else { end(error) }
    }

    private func route(_ frame: Frame) {
        guard failure == nil else { return }
        let correlationID = try? responseCorrelationID(frame.span)
        guard let request = waiting.first, request.correlationID == correlationID else {
            let asked = waiting.first.map { "request \($0.correlationID)" } ?? "none"
            return end(.malformed("\(address) answered request \(correlationID ?? 0) where \(asked) was to be answered"))
        }
        waiting.removeFirst()
        request.promise.succeed(frame)
    }

    func channelInactive(context: ChannelHandlerContext) {
        endWhenRouted(.connectionLost("\(address) closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        endWhenRouted(.connectionLost("the connection to \(address) broke: \(error)"))
    }

    // MARK: Deadlines

    /// Answers come in order, so one overdue request means that the connection is stuck: all of it is given up.
    private func watch(_ deadline: NIODeadline) {
        if let timer, timer.deadline <= deadline { return }
        guard let context else { return }
        timer?.task.cancel()
        timer = (context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.checkDeadlines() }, deadline)
    }

    private func checkDeadlines() {
        timer = nil
        guard let earliest = waiting.lazy.map(\.deadline).min() else { return }
        if earliest <= .now() {
            end(.timedOut("\(address) did not answer in time"))
        } else {
            watch(earliest)
        }
    }
}

/// A request on its way out, cut into what was written for it and the record batches between.
typealias RequestPieces = [ByteBuffer]
