import KafkaProtocol
import NIOCore
import Synchronization

@testable import KafkaClient

/// One client's way through the front and back: requests go on in their order, answers come back in theirs.
final class FrontPassage: @unchecked Sendable {
    // Unchecked: touched on the client's event loop only, which is the broker connection's too.

    /// A request, and what there is of its answer.
    private final class Exchange {
        let header: RequestHeader
        let frame: Frame
        let fault: Fault?
        let isUnanswered: Bool
        var isPassedOn = false
        /// With its size prefix.
        var answer: [UInt8]?
        var isLeaving = false

        init(_ header: RequestHeader, _ frame: Frame, _ fault: Fault?) {
            (self.header, self.frame, self.fault) = (header, frame, fault)
            isUnanswered = header.isUnanswered(frame)
        }
    }

    private let front: FlakyFront
    private let client: any Channel
    private let broker: any Channel
    private var requests = FrameAssembler(byteCountMax: 1 << 26)
    private var answers = FrameAssembler(byteCountMax: 1 << 26)
    /// Not answered yet, in order.
    private var open = CircularBuffer<Exchange>()
    private var outward = DelayLine()
    private var homeward = DelayLine()
    /// What comes behind a request that ends the connection is not looked at.
    private var isDoomed = false
    private var isOver = false

    init(_ front: FlakyFront, client: any Channel, broker: any Channel) { (self.front, self.client, self.broker) = (front, client, broker) }

    // MARK: Requests

    func asked(_ buffer: ByteBuffer) {
        var buffer = buffer
        while !isDoomed, !isOver, let frame = try? requests.next(from: &buffer) {
            guard let header = try? RequestHeader(frame.span) else { return end() }
            let fault = front.fault(for: header, frame)
            let exchange = Exchange(header, frame, fault)
            open.append(exchange)
            isDoomed = fault == .lostBefore
            outward.pass(client.eventLoop, front.delayMs()) { self.passOn(exchange) }
        }
    }

    private func passOn(_ exchange: Exchange) {
        if isOver || front.isFrozen.load(ordering: .relaxed) { return }
        switch exchange.fault {
        case .lostBefore: exchange.answer = []
        case .refused(let code) where exchange.header.key != .metadata:
            exchange.answer = RefusableApi.byKey[exchange.header.key]?.refuse(exchange.header, exchange.frame, code) ?? []
        default:
            exchange.isPassedOn = true
            broker.writeAndFlush(sized(exchange.frame), promise: nil)
        }
        // Who wants no answer has no others open over the same connection.
        if exchange.isUnanswered { leave(exchange, []) } else { release() }
    }

    private func sized(_ frame: Frame) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(Int32(frame.byteCount))
        frame.withUnsafeBytes { _ = buffer.writeBytes($0) }
        return buffer
    }

    // MARK: Answers

    func answered(_ buffer: ByteBuffer) {
        var buffer = buffer
        while !isOver, let frame = try? answers.next(from: &buffer) {
            guard let exchange = open.first(where: { $0.isPassedOn && $0.answer == nil }) else { return end() }
            exchange.answer = whole(exchange, frame)
            release()
        }
    }

    private func whole(_ exchange: Exchange, _ frame: Frame) -> [UInt8] {
        var code: ErrorCode?
        if case .refused(let refused) = exchange.fault { code = refused }
        let view = front.view.withLock { $0 }
        if let bytes = FrontAnswer(header: exchange.header, frame: frame).rewritten(front.address, view, refusing: code) {
            front.plan.change { $0.rewriteCount += 1 }
            return bytes
        }
        return Array(buffer: sized(frame))
    }

    /// Sends off the answers that no earlier one has to wait for. Each stays in the line until it has left: should the connection
    /// end before, its fault is given back.
    private func release() {
        for exchange in open {
            guard let answer = exchange.answer else { return }
            if exchange.isLeaving { continue }
            exchange.isLeaving = true
            homeward.pass(client.eventLoop, front.delayMs()) { self.leave(exchange, answer) }
        }
    }

    private func leave(_ exchange: Exchange, _ answer: [UInt8]) {
        if isOver { return }
        open.removeFirst()
        if let fault = exchange.fault { front.plan.change { $0.meet(exchange.header.key, fault) } }
        switch exchange.fault {
        case .lostBefore, .lostAfter: end()
        case .cut:
            client.writeAndFlush(ByteBuffer(bytes: answer[..<(answer.count / 2)]), promise: nil)
            end()
        case .refused, nil:
            client.writeAndFlush(ByteBuffer(bytes: answer), promise: nil)
        }
    }

    /// The client has closed its connection. What it wants no answer to is on its way nevertheless.
    func clientLeft() {
        if open.contains(where: \.isUnanswered) { outward.pass(client.eventLoop, 0, end) } else { end() }
    }

    /// The broker has closed its connection, or the client has, or the plan wants it so.
    func end() {
        if isOver { return }
        isOver = true
        for exchange in open { if let fault = exchange.fault { front.plan.change { $0.giveBack(exchange.header.key, fault) } } }
        open.removeAll()
        client.close(promise: nil)
        broker.close(promise: nil)
    }
}

extension RequestHeader {
    /// Of a produce request whose sender wants no answer.
    func isUnanswered(_ frame: Frame) -> Bool {
        key == .produce && (try? decodeRequest(ProduceRequest.self, self, frame.span))?.acks == 0
    }
}

/// Holds things back for a moment and never lets one pass another.
private struct DelayLine {
    private var lastDue = NIODeadline.now()

    mutating func pass(_ eventLoop: any EventLoop, _ delayMs: Int64, _ body: @escaping () -> Void) {
        lastDue = max(lastDue + .nanoseconds(1), .now() + .milliseconds(delayMs))
        eventLoop.assumeIsolated().scheduleTask(deadline: lastDue, body)
    }
}

/// One of the passage's two ends: what is read there goes to `read`, and `closed` is called when it has closed.
final class PassageEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let passage: FrontPassage
    private let read: (ByteBuffer) -> Void
    private let closed: () -> Void

    init(_ passage: FrontPassage, read: @escaping (ByteBuffer) -> Void, closed: @escaping () -> Void) {
        (self.passage, self.read, self.closed) = (passage, read, closed)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { read(Self.unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { closed() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { passage.end() }
}
