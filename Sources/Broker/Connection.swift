internal import KafkaProtocol
internal import NIOCore
internal import Glibc

/// One client: frames in, answers out in the order of the requests, whatever order the work ends in. Lives on its
/// event loop alone.
final class Connection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let id: ConnectionID
    let lane: LoopLane
    let peer: Peer
    let presence = Presence()
    private let broker: BrokerContext
    private let advertised: Listener
    private let limits: ConnectionLimits
    private var context: ChannelHandlerContext?
    /// The channel's socket, for calls past the channel, which `socketNow` allows. Nil where the channel is none of a socket.
    private var socket: NIOBSDSocket.Handle?
    private var assembly: FrameAssembly
    private var answers = AnswerQueue()
    /// Bytes read while the connection was congested.
    private var stash: ByteBuffer?
    /// The channel wants to read and was not let.
    private var isReadHeld = false
    private var isReading = false
    /// The request that the next ones must not overtake.
    private var heldBehind: Int?
    /// Of that request, when the client is gone: others still work on it.
    private var orphanedBytes = 0
    private var isTouched = false
    /// Writes of answers that the channel was given and has not ended.
    private var channelWrites = 0
    private var isDraining = false
    private var isClosing = false
    private var lastActivity = NIODeadline.now()
    private var quietBytes = 0

    init(id: ConnectionID, peer: Peer, advertised: Listener, lane: LoopLane, broker: BrokerContext) {
        self.id = id
        self.peer = peer
        self.advertised = advertised
        self.lane = lane
        self.broker = broker
        limits = broker.connectionLimits
        assembly = FrameAssembly(byteCountMax: limits.frameBytesMax)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // Looked up once: SwiftNIO finds it by a dynamic cast, which for each read of a large frame was 2 % of what producing costs.
        socket = try? context.pipeline.syncOperations.withUnsafeTransportIfAvailable { $0 }
        lane.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that goes away without ceremony is no event; anything else may interest an operator.
        if (error as? IOError)?.isPeerGone != true { broker.log.info(.network, "\(peer): \(error)") }
        context.close(promise: nil)
    }

    /// The channel is gone. Answers still awaited go nowhere.
    private func leave() {
        guard context != nil else { return }
        context = nil
        isClosing = true
        presence.leave()
        stash = nil
        lane.remove(self)
        if let heldBehind { orphanedBytes = answers.release(heldBehind) }
        let abandoned = answers.abandon()
        broker.requestBytes.giveBack(abandoned.heldBytes)
        broker.responseBytes.giveBack(abandoned.admittedBytes)
        lane.parked.abandon(id)
        endReading()
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isReading {
            isReading = true
            lane.beginTurn()
        }
        consume(Self.unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) { endReading() }

    private func endReading() {
        guard isReading else { return }
        isReading = false
        lane.endTurn()
    }

    private func consume(_ bytes: ByteBuffer) {
        var bytes = bytes
        if stash != nil {
            // What was stashed comes first; its owner is still congested, or it would be gone.
            stash?.writeImmutableBuffer(bytes)
            return
        }
        note(bytes.readableBytes)
        while !isClosing, bytes.readableBytes > 0 {
            if isCongested() {
                stash = bytes
                return
            }
            switch assembly.take(&bytes) {
            case .incomplete: return fillFrame()
            case .frame(let frame): receive(frame)
            case .refused(let length):
                return close(.frameLength, "a frame of \(length) bytes; socket.request.max.bytes is \(assembly.byteCountMax)")
            }
        }
    }

    /// What is missing of a large frame goes from the socket to its place, with no buffer and no copy in between, as far as
    /// it has come and other connections need not wait long. An end or an error of the socket is left for the channel to find.
    private func fillFrame() {
        guard assembly.missing >= Self.directByteCountMin, let context, let socket = socketNow(context) else { return }
        var left = Self.directByteCountMax
        while left > 0, assembly.missing > 0 {
            let outcome = assembly.fill { place in
                let received = recv(socket, place.baseAddress, min(place.count, left), Int32(MSG_DONTWAIT))
                left = received > 0 ? left - received : 0
                note(max(received, 0))
                return received
            }
            if case .frame(let frame) = outcome { return receive(frame) }
        }
    }

    /// The socket while it is the channel's. A channel closes it and ceases to be active on this loop, with no call out between the two;
    /// that there is a context says less.
    private func socketNow(_ context: ChannelHandlerContext) -> NIOBSDSocket.Handle? { context.channel.isActive ? socket : nil }

    /// Less than this is not worth a system call of its own.
    private static let directByteCountMin = 8 << 10
    /// As much at once is a millisecond's copying at most.
    private static let directByteCountMax = 1 << 20

    /// A frame that trickles in does not keep a connection alive; one that flows does.
    private func note(_ byteCount: Int) {
        quietBytes += byteCount
        if quietBytes >= limits.livelyBytes {
            quietBytes = 0
            lastActivity = .now()
        }
    }

    private func receive(_ frame: Frame) {
        guard !isDraining else { return }
        lastActivity = .now()
        quietBytes = 0
        let header: RequestHeader
        do throws(WireError) {
            header = try RequestHeader(frame.span)
        } catch {
            return close(.brokenRequest, "a frame of \(frame.byteCount) bytes without a request header")
        }
        guard let handler = broker.registry[header.key] else {
            return close(.unknownApi, "asked for \(header.key), which is not offered")
        }
        let sequence = answers.reserve(requestBytes: frame.byteCount)
        broker.requestBytes.take(frame.byteCount)
        lane.noteRequest(of: self, waitingCount: answers.count)
        let reply = Reply(header, sequence: sequence, connection: NIOLoopBound(self, eventLoop: lane.loop))
        let call = Call(
            header: header, frame: frame, peer: peer, advertised: advertised, lane: lane, connection: id, broker: broker)
        handler.take(call, reply)
    }

    // MARK: Back-pressure

    func read(context: ChannelHandlerContext) {
        if stash != nil || isClosing || isDraining || isCongested() { isReadHeld = true } else { context.read() }
    }

    /// Whether the client has to wait: it has enough under way, it does not read its answers, or the broker is full.
    private func isCongested() -> Bool {
        if heldBehind != nil || answers.requestBytes > limits.requestBytesMax || answers.count >= limits.requestsMax { return true }
        if answers.answerBytes > limits.answerBytesMax || context?.channel.isWritable == false { return true }
        guard broker.requestBytes.isExhausted else { return false }
        lane.awaitBudget(self)
        // Looked at again, since room may have been made before the connection was waiting for it.
        return broker.requestBytes.isExhausted
    }

    /// Goes on where congestion stopped it, if it may.
    func resume() {
        guard isReadHeld || stash != nil, !isClosing, !isDraining, !isCongested() else { return }
        if let bytes = stash {
            stash = nil
            lane.beginTurn()
            consume(bytes)
            lane.endTurn()
        }
        if stash == nil, isReadHeld, let context, !isCongested() {
            isReadHeld = false
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            lane.beginTurn()
            resume()
            lane.endTurn()
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Out

    /// Counts an answer that is being made elsewhere, so that not too many are at once.
    func expect(_ sequence: Int, _ byteCount: Int) { answers.expect(sequence, byteCount) }

    /// A request whose answer waits for other clients takes no room that theirs may need.
    func releaseRequest(_ sequence: Int) { broker.requestBytes.giveBack(answers.release(sequence)) }

    /// Takes no further request before `release`, or the answer to this one.
    func hold(_ sequence: Int) {
        assert(heldBehind == nil, "a request was begun that had to wait")
        heldBehind = sequence
    }

    /// The end of `hold`.
    func release(_ sequence: Int) {
        endHold(sequence)
        resume()
    }

    /// As `release`, where no further request is to be taken either.
    func endHold(_ sequence: Int) {
        guard heldBehind == sequence else { return }
        heldBehind = nil
        broker.requestBytes.giveBack(orphanedBytes)
        orphanedBytes = 0
    }

    /// Puts an answer into its place; it leaves when those before it have left.
    func answer(_ sequence: Int, _ answer: Answer) {
        endHold(sequence)
        guard context != nil else { return broker.responseBytes.giveBack(answer.admittedBytes) }
        var answer = answer
        // Those before it may take their time.
        if !answers.isNext(sequence) { answer.records.copyOut() }
        broker.requestBytes.giveBack(answers.fill(sequence, answer))
        guard !isTouched else { return }
        isTouched = true
        lane.touch(self)
    }

    /// Writes the answers that are ready, as one gathered write.
    func flush() {
        isTouched = false
        guard let context else { return }
        writeAnswers(context)
        if isDraining, answers.isEmpty { return closeWhenWritten() }
        resume()
    }

    private func writeAnswers(_ context: ChannelHandlerContext) {
        while let written = AnswerWriter(taking: &answers, allocator: context.channel.allocator) {
            lastActivity = .now()
            write(written, context)
        }
    }

    /// Answers go to the socket, past the channel, as far as it takes them now. What it does not take is the channel's to write, and what
    /// is ready before the channel has done so.
    private func write(_ written: AnswerWriter, _ context: ChannelHandlerContext) {
        let sent = channelWrites == 0 ? socketNow(context).map { written.send(to: $0) } ?? 0 : 0
        guard sent < written.byteCount else { return broker.responseBytes.giveBack(written.admittedBytes) }
        written.write(from: sent) { context.write(Self.wrapOutboundOut($0), promise: nil) }
        channelWrites += 1
        let promise = context.eventLoop.makePromise(of: Void.self)
        // Not `written`, which would keep what is lent in its place until the client has read it all.
        promise.futureResult.assumeIsolated().whenComplete { [admittedBytes = written.admittedBytes] _ in
            self.channelWrites -= 1
            self.broker.responseBytes.giveBack(admittedBytes)
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: promise)
    }

    // MARK: The end

    /// Closes with one line in the log.
    func close(_ reason: RateLimitedLog.Reason, _ message: @autoclosure () -> String) {
        guard !isClosing else { return }
        broker.log.warning(reason, "closing the connection of \(peer): \(message())")
        closeNow()
    }

    func closeNow() {
        isClosing = true
        stash = nil
        context?.close(promise: nil)
    }

    /// Takes no more requests, and closes when the answers to those it took have left.
    func drain() {
        isDraining = true
        stash = nil
        if answers.isEmpty { closeWhenWritten() }
    }

    /// Closes behind what the channel has still to write.
    private func closeWhenWritten() {
        guard !isClosing, let context else { return }
        isClosing = true
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    /// No request has come and no answer has gone since, and none is awaited.
    func isQuiet(since deadline: NIODeadline) -> Bool { lastActivity < deadline && answers.isEmpty }

    func closeIfIdle(since deadline: NIODeadline) {
        guard lastActivity < deadline, answers.requestBytes == 0 else { return }
        broker.log.info(.idle, "closing the connection of \(peer), which was idle for connections.max.idle.ms")
        closeNow()
    }
}

extension IOError {
    /// The other end has closed, reset or died.
    fileprivate var isPeerGone: Bool { [EPIPE, ECONNRESET, ETIMEDOUT].contains(errnoCode) }
}
