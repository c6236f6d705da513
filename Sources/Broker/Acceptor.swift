internal import NIOCore
internal import NIOPosix
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Binds one listener and makes connections of those who come in.
final class Acceptor: Sendable {
    private static let connectionIDs = Atomic(0)

    private let listener: Listener
    private let context: BrokerContext
    private let admission: Admission

    init(listener: Listener, context: BrokerContext, admission: Admission) {
        self.listener = listener
        self.context = context
        self.admission = admission
    }

    func bind(_ group: MultiThreadedEventLoopGroup) async throws -> any Channel {
        let unwritten = context.connectionLimits.unwrittenBytes
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 512)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 8)
            // Small requests, and the beginnings of large ones: the rest of those is received in its place.
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16 << 10))
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: unwritten.low, high: unwritten.high)
            )
            .childChannelInitializer { [self] channel in admit(channel) }
            .bind(host: listener.host.isEmpty ? "::" : listener.host, port: listener.port)
            .get()
    }

    func endpoint(of channel: any Channel) -> BrokerServer.Endpoint {
        let bound = Listener(name: listener.name, host: listener.host, port: channel.localAddress?.port ?? listener.port)
        return BrokerServer.Endpoint(bound: bound, advertised: advertised(port: bound.port))
    }

    private func advertised(port: Int) -> Listener {
        context.configuration.current.advertised(for: listener, boundPort: port, hostName: Self.hostName)
    }

    /// What this machine calls itself.
    private static let hostName: String = {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
        return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    /// On the connection's own loop.
    private func admit(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let address = channel.remoteAddress
            let peer = Peer(host: address?.ipAddress ?? "unknown", port: address?.port ?? 0)
            let configuration = context.configuration.current
            do throws(Admission.Refusal) {
                try admission.enter(
                    peer.host, limit: configuration.connectionsMax, limitPerHost: configuration.connectionsPerAddressMax)
            } catch {
                report(error, peer)
                throw error
            }
            channel.closeFuture.whenComplete { [admission] _ in admission.leave(peer.host) }
            guard let lane = context.lane(of: channel.eventLoop) else {
                preconditionFailure("a connection is on an event loop that is not the broker's")
            }
            let id = ConnectionID(rawValue: Self.connectionIDs.add(1, ordering: .relaxed).newValue)
            let connection = Connection(
                id: id, peer: peer, advertised: advertised(port: channel.localAddress?.port ?? listener.port), lane: lane, broker: context)
            try channel.pipeline.syncOperations.addHandler(connection)
        }
    }

    private func report(_ refusal: Admission.Refusal, _ peer: Peer) {
        switch refusal {
        case .full(let limit):
            context.log.warning(.tooManyConnections, "refused \(peer): there are \(limit) connections already (max.connections)")
        case .fullForHost(let limit):
            context.log.warning(
                .tooManyFromHost, "refused \(peer): that address has \(limit) connections already (max.connections.per.ip)")
        }
    }
}
