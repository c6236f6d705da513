internal import KafkaProtocol
public import Logging
internal import NIOCore
internal import NIOPosix
public import Store
internal import Synchronization

/// The TCP front of a broker: its listeners, its connections, and the handlers behind them.
public final class BrokerServer: Sendable {
    /// A listener as it came up.
    public struct Endpoint: Sendable {
        /// Where the socket is bound, with the port the system chose where none was asked for.
        public let bound: Listener
        /// What clients are told to connect to.
        public let advertised: Listener
    }

    public let endpoints: [Endpoint]
    let context: BrokerContext
    private let group: MultiThreadedEventLoopGroup
    private let channels: [any Channel]
    private let sweeps: [RepeatedTask]
    private let isStopped = Atomic(false)
    private let services: [Task<Void, Never>]
    private let cleaner: LogCleaner

    private init(endpoints: [Endpoint], context: BrokerContext, group: MultiThreadedEventLoopGroup, channels: [any Channel]) {
        self.endpoints = endpoints
        self.context = context
        self.group = group
        self.channels = channels
        services = [
            Task { await RetentionService(broker: context).run() },
            Task { await OffsetExpiryService(broker: context).run() },
        ]
        cleaner = LogCleaner(context.store) { [configuration = context.configuration] in configuration.current.cleaner }
        if context.configuration.current.compacts { cleaner.start() }
        let idle = TimeAmount.milliseconds(context.configuration.current.connectionIdleMsMax)
        let interval = TimeAmount.milliseconds(min(max(idle.nanoseconds / 4_000_000, 50), 30_000))
        sweeps =
            idle.nanoseconds < 0
            ? []
            : context.lanes.map { lane in
                lane.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in lane.closeIdle(since: .now() - idle) }
            }
    }

    /// Binds all listeners of the configuration and serves `store` through them. Throws a `ListenerError` when a
    /// listener cannot be bound, after taking down those that were. The caller closes the store after `stop`.
    public static func start(configuration: LiveConfiguration, store: Store, logger: Logger) async throws -> BrokerServer {
        try await start(configuration: configuration, store: store, logger: logger, handlers: allHandlers)
    }

    static func start(
        configuration: LiveConfiguration, store: Store, logger: Logger, handlers: [any Handler]
    ) async throws -> BrokerServer {
        let current = configuration.current
        let loopCount = current.eventLoopCount ?? System.coreCount
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loopCount)
        let readers = NIOThreadPool(numberOfThreads: current.readerThreadCount)
        readers.start()
        let openers = NIOThreadPool(numberOfThreads: loopCount)
        openers.start()
        let context = BrokerContext(
            store: store, configuration: configuration, logger: logger, handlers: handlers, loops: Array(group.makeIterator()),
            readers: readers, openers: openers)
        for lane in context.lanes { store.register(lane) }
        // Before the first client: what clients have set before wins over the file.
        _ = await store.perform(context.applyStoredConfiguration())
        try context.transactions.load()
        try context.groups.load()
        var channels: [any Channel] = []
        do {
            var endpoints: [Endpoint] = []
            let admission = Admission()
            for listener in current.listeners {
                let acceptor = Acceptor(listener: listener, context: context, admission: admission)
                let channel: any Channel
                do { channel = try await acceptor.bind(group) } catch { throw ListenerError(listener: listener, cause: error) }
                channels.append(channel)
                endpoints.append(acceptor.endpoint(of: channel))
            }
            for endpoint in endpoints { endpoint.announce(logger) }
            return BrokerServer(endpoints: endpoints, context: context, group: group, channels: channels)
        } catch {
            for channel in channels { try? await channel.close() }
            try? await readers.shutdownGracefully()
            try? await openers.shutdownGracefully()
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Stops accepting, takes no more requests, answers those it took, and closes all connections; those that are not
    /// done after `patience` are closed as they are.
    /// A second call returns at once.
    public func stop(within patience: Duration = .seconds(5)) async {
        guard !isStopped.exchange(true, ordering: .relaxed) else { return }
        for channel in channels { try? await channel.close() }
        for service in services { service.cancel() }
        let cleaner = cleaner
        await withCheckedContinuation { stopped in
            // It ends after the step it is at, and that may be waiting for the disk; the broker's own threads may have a long queue.
            NIOThreadPool.singleton.submit { _ in
                cleaner.stop()
                stopped.resume()
            }
        }
        context.groups.stop()
        context.transactions.stop()
        for sweep in sweeps { sweep.cancel() }
        for lane in context.lanes { lane.loop.execute { lane.drain() } }
        let deadline = ContinuousClock.now + patience
        while await countConnections() > 0, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
        for lane in context.lanes { lane.loop.execute { lane.closeAll() } }
        try? await context.readers.shutdownGracefully()
        try? await context.openers.shutdownGracefully()
        try? await group.shutdownGracefully()
    }

    /// Clients connected now.
    public func connectionCount() async -> Int {
        guard !isStopped.load(ordering: .relaxed) else { return 0 }
        return await countConnections()
    }

    private func countConnections() async -> Int {
        var count = 0
        for lane in context.lanes { count += (try? await lane.loop.submit { lane.connectionCount }.get()) ?? 0 }
        return count
    }
}

extension BrokerServer.Endpoint {
    /// Tells the operator where the broker listens and what it tells clients, and warns where those would get nowhere.
    func announce(_ logger: Logger) {
        logger.info("listening on \(bound); clients are told to connect to \(advertised.host):\(advertised.port)")
        if advertised.isWildcard {
            logger.warning("no client can connect to \(advertised.host); set advertised.listeners to an address they can reach")
        } else if bound.isWildcard, advertised.isLoopback {
            logger.warning(
                "clients on other machines are told to connect to \(advertised.host), which is their own; set advertised.listeners")
        }
    }
}

extension Listener {
    /// Only clients on the same machine get there.
    var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
}
