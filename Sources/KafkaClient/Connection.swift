public import KafkaProtocol
public import NIOCore
import NIOPosix

/// One answered request: the message, and the frame that its slices lie in.
public struct Answer<Response: Message>: Sendable {
    public let message: Response
    public let frame: Frame
    public let version: Int16
}

/// A connection to one broker. Requests are pipelined: any number may wait for their answers, which come in order.
///
/// When the connection ends, by the broker, by `close` or because an answer is overdue, every waiting request fails
/// once and every later one at once; a connection never comes back.
public final class Connection: Sendable {
    public let address: BrokerAddress
    public let eventLoop: any EventLoop
    private let channel: any Channel
    private let router: NIOLoopBound<ResponseRouter>
    private let options: ConnectionOptions
    /// What the broker speaks, by kind of request; empty until it has been asked.
    private let brokerVersions: BrokerVersions

    private init(
        _ address: BrokerAddress, channel: any Channel, router: NIOLoopBound<ResponseRouter>, options: ConnectionOptions,
        brokerVersions: BrokerVersions
    ) {
        self.address = address
        self.channel = channel
        eventLoop = channel.eventLoop
        self.router = router
        self.options = options
        self.brokerVersions = brokerVersions
    }

    /// Connects and asks the broker which versions it speaks.
    public static func connect(
        to address: BrokerAddress, options: ConnectionOptions = ConnectionOptions(), on eventLoop: any EventLoop
    ) async throws(ClientError) -> Connection {
        let fresh = try await open(address, options: options, on: eventLoop)
        do throws(ClientError) {
            let versions = try await fresh.negotiate()
            return Connection(address, channel: fresh.channel, router: fresh.router, options: options, brokerVersions: versions)
        } catch {
            fresh.close()
            throw error
        }
    }

    private static func open(
        _ address: BrokerAddress, options: ConnectionOptions, on eventLoop: any EventLoop
    ) async throws(ClientError) -> Connection {
        do {
            let (channel, router) = try await ClientBootstrap(group: eventLoop)
                .connectTimeout(options.connectTimeout)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.socketOption(.so_keepalive), value: 1)
                // Fetch responses are megabytes: read them in large pieces.
                .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 65_536, maximum: 1 << 20))
                .channelOption(.maxMessagesPerRead, value: 4)
                .connect(host: address.host, port: address.port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let router = ResponseRouter(address: address, options: options)
                        try channel.pipeline.syncOperations.addHandler(router)
                        return (channel, NIOLoopBound(router, eventLoop: channel.eventLoop))
                    }
                }
            return Connection(address, channel: channel, router: router, options: options, brokerVersions: BrokerVersions())
        } catch {
            throw .cannotConnect("cannot connect to \(address): \(reason(error))")
        }
    }

    /// NIO's errors say everything; people need the first cause.
    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if error.connectionErrors.isEmpty { return "the host name \(error.host) is not known" }
            return error.connectionErrors.map { reason($0.error) }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
                .joined(separator: ", ")
        case let error as IOError: return String(cString: strerror(error.errnoCode)).lowercased()
        case ChannelError.connectTimeout: return "no answer"
        default: return "\(error)"
        }
    }

    /// Ends the connection; every waiting request fails.
    public func close() {
        eventLoop.execute { [router] in router.value.end(.closed) }
    }

    /// Fulfilled when the connection has ended, however it did.
    public var closeFuture: EventLoopFuture<Void> { channel.closeFuture }
    public var isOpen: Bool { channel.isActive }

    // MARK: Requests

    /// The newest version of the request that both sides speak and that is not above `limit`, or nil.
    public func version<R: Request>(of _: R.Type, atMost limit: Int16 = .max) -> Int16? {
        brokerVersions.best(R.key, within: R.versions, atMost: limit)
    }

    /// Whether the cluster's transactions are of version 2: partitions and groups come in by themselves, and each end bumps
    /// the epoch (KIP-890).
    var hasTransactionVersion2: Bool {
        brokerVersions.transactionVersion >= 2 && (version(of: EndTxnRequest.self) ?? 0) >= 5
    }

    /// Sends a request in the newest version that both sides speak.
    ///
    /// - Parameters:
    ///   - batches: What the request's slices stand for, in the order that they are listed.
    ///   - limit: A version not to go beyond.
    ///   - timeout: How long to wait beyond the usual, for a request that the broker may hold (a long poll).
    public func send<R: Request>(
        _ request: R, batches: [ByteBuffer] = [], atMost limit: Int16 = .max, holding timeout: TimeAmount = .zero
    ) -> EventLoopFuture<Answer<R.Response>> {
        guard let version = version(of: R.self, atMost: limit) else {
            return eventLoop.makeFailedFuture(ClientError.unsupported("\(address) does not speak a known version of \(R.key)"))
        }
        let address = address
        return sendFrame(request, batches: batches, version: version, holding: timeout).flatMapThrowing { frame in
            do {
                let message = try decodeResponse(R.self, version: version, frame.span)
                return Answer(message: message, frame: frame, version: version)
            } catch {
                throw ClientError.malformed("\(address) answered \(R.key) with something that cannot be understood")
            }
        }
    }

    /// `send`, awaited.
    public func call<R: Request>(
        _ request: R, atMost limit: Int16 = .max, holding timeout: TimeAmount = .zero
    ) async throws(ClientError) -> R.Response {
        do {
            return try await send(request, atMost: limit, holding: timeout).get().message
        } catch {
            throw error as? ClientError ?? .connectionLost("\(error)")
        }
    }

    /// Sends a request that the broker will not answer (a produce request with acks=0).
    /// The future is fulfilled when the operating system has taken all of it, which is to be within `requestTimeout`.
    public func sendUnanswered<R: Request>(_ request: R, batches: [ByteBuffer]) -> EventLoopFuture<Void> {
        guard let version = version(of: R.self) else {
            return eventLoop.makeFailedFuture(ClientError.unsupported("\(address) does not speak a known version of \(R.key)"))
        }
        let promise = eventLoop.makePromise(of: Void.self)
        let deadline = NIODeadline.now() + options.requestTimeout
        onLoop { router in
            let pieces = self.pieces(request, batches, version: version, correlationID: router.takeCorrelationID())
            router.sendUnanswered(pieces, deadline: deadline, promise: promise)
        }
        return promise.futureResult
    }

    private func sendFrame<R: Request>(
        _ request: R, batches: [ByteBuffer] = [], version: Int16, holding timeout: TimeAmount = .zero
    ) -> EventLoopFuture<Frame> {
        let promise = eventLoop.makePromise(of: Frame.self)
        let deadline = NIODeadline.now() + options.requestTimeout + timeout
        onLoop { router in
            let correlationID = router.takeCorrelationID()
            let pieces = self.pieces(request, batches, version: version, correlationID: correlationID)
            router.send(pieces, correlationID: correlationID, deadline: deadline, promise: promise)
        }
        return promise.futureResult
    }

    private func onLoop(_ body: @escaping @Sendable (ResponseRouter) -> Void) {
        if eventLoop.inEventLoop {
            body(router.value)
        } else {
            eventLoop.execute { [router] in body(router.value) }
        }
    }

    private func pieces<R: Request>(_ request: R, _ batches: [ByteBuffer], version: Int16, correlationID: Int32) -> RequestPieces {
        let encoded = encodeRequest(request, correlationID: correlationID, clientID: options.clientID, version: version)
        precondition(encoded.insertions.count == batches.count, "each record batch of a request is listed in it")
        let written = ByteBuffer(bytes: encoded.bytes)
        var pieces: RequestPieces = []
        pieces.reserveCapacity(batches.count * 2 + 1)
        var copied = 0
        for (insertion, batch) in zip(encoded.insertions, batches) {
            if insertion.at > copied, let piece = written.getSlice(at: copied, length: insertion.at - copied) { pieces.append(piece) }
            copied = insertion.at
            pieces.append(batch)
        }
        if copied < encoded.bytes.count, let piece = written.getSlice(at: copied, length: encoded.bytes.count - copied) {
            pieces.append(piece)
        }
        return pieces
    }

    // MARK: Versions

    /// Asks for the broker's versions. A broker that does not know the newest form of the question answers in the
    /// oldest, with UNSUPPORTED_VERSION and the versions of the question that it knows (KIP-511).
    private func negotiate() async throws(ClientError) -> BrokerVersions {
        var version = ApiVersionsRequest.versions.upperBound
        while true {
            let response = try await askVersions(version)
            let versions = BrokerVersions(response)
            if response.errorCode == .none { return versions }
            guard response.errorCode == .unsupportedVersion, version > 0 else {
                throw .broker(response.errorCode, "\(address) does not say which versions it speaks")
            }
            let known = versions.best(.apiVersions, within: ApiVersionsRequest.versions, atMost: version - 1)
            version = known ?? 0
        }
    }

    private func askVersions(_ version: Int16) async throws(ClientError) -> ApiVersionsResponse {
        let request = ApiVersionsRequest {
            $0.clientSoftwareName = "lmbroker"
            $0.clientSoftwareVersion = "1"
        }
        do {
            let frame = try await sendFrame(request, version: version).get()
            // The error code is the first thing behind the correlation id, whatever the version of the rest.
            let code = frame.withUnsafeBytes { $0.count >= 6 ? Int16(bigEndian: $0.loadUnaligned(fromByteOffset: 4, as: Int16.self)) : 0 }
            let understood = ErrorCode(rawValue: code) == .unsupportedVersion ? 0 : version
            return try decodeResponse(ApiVersionsRequest.self, version: understood, frame.span)
        } catch let error as ClientError {
            throw error
        } catch is WireError {
            throw .malformed("\(address) does not speak Kafka's protocol: its answer to ApiVersions cannot be understood")
        } catch {
            throw .connectionLost("the connection to \(address) broke: \(error)")
        }
    }
}
