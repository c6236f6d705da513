import KafkaProtocol
public import NIOCore
public import NIOPosix
import Synchronization

/// A Kafka cluster as a client sees it: where its brokers are, who leads what, and connections for small questions.
///
/// Producers, consumers and admins are made on a cluster and share what it knows. All of a cluster's network work
/// happens on one event loop.
public final class Cluster: Sendable {
    public struct Options: Sendable {
        public var connection = ConnectionOptions()
        /// Between attempts of anything that failed but may succeed later.
        public var backoff = Backoff()
        /// How long an operation is tried again, in all.
        public var operationTimeout: Duration = .seconds(60)

        public init() {}
    }

    private typealias Attempt = Task<Result<Connection, ClientError>, Never>

    private struct State {
        var metadata = ClusterMetadata()
        var connections: [BrokerAddress: Connection] = [:]
        /// Attempts under way, for all who want the connection meanwhile.
        var attempts: [BrokerAddress: Attempt] = [:]
        /// Of groups and transactional ids.
        var coordinators: [CoordinatorKey: BrokerAddress] = [:]
        var isClosed = false
    }

    public let eventLoop: any EventLoop
    public let options: Options
    private let bootstrap: [BrokerAddress]
    private let state = Mutex(State())

    /// Nothing is connected before something is asked.
    ///
    /// - Parameter bootstrap: Brokers to ask first; any one that is up is enough.
    public init(
        bootstrap: [BrokerAddress], options: Options = Options(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        precondition(!bootstrap.isEmpty, "a cluster needs one broker's address at least")
        self.bootstrap = bootstrap
        self.options = options
        eventLoop = group.next()
    }

    /// What is known now; nothing is asked.
    public var metadata: ClusterMetadata { state.withLock { $0.metadata } }

    /// Closes the connections made for questions. Producers and consumers have their own, and are closed first.
    public func close() {
        let connections = state.withLock { state in
            state.isClosed = true
            defer { state.connections = [:] }
            return Array(state.connections.values)
        }
        for connection in connections { connection.close() }
    }

    /// Runs `work` on the event loop, and returns when it is done.
    func onLoop(_ work: @escaping @Sendable () -> Void) async throws(ClientError) {
        do { try await eventLoop.submit(work).get() } catch { throw .closed }
    }

    // MARK: Metadata

    /// Asks for `topics`, or for all when nil, once, of whichever broker answers.
    @discardableResult
    public func refresh(_ topics: [String]?, allowAutoTopicCreation: Bool = false) async throws(ClientError) -> ClusterMetadata {
        let connection = try await anyConnection()
        let request = MetadataRequest {
            $0.topics = topics?.map { name in MetadataRequest.Topic { $0.name = name } }
            $0.allowAutoTopicCreation = allowAutoTopicCreation
        }
        let version = connection.version(of: MetadataRequest.self) ?? 0
        let response = try await connection.call(request)
        if response.errorCode != .none { throw .broker(response.errorCode, "\(connection.address) gives no metadata") }
        return state.withLock { state in
            // An answer about everything also says which topics are no more.
            if topics == nil { state.metadata.topics = [:] }
            state.metadata.merge(response, version: version)
            return state.metadata
        }
    }

    /// A topic with a leader for each partition, waiting for that as long as `operationTimeout`.
    /// - Parameter needsLeaders: False for one with partitions, whether or not they have leaders.
    public func topic(
        _ name: String, allowAutoTopicCreation: Bool = false, needsLeaders: Bool = true
    ) async throws(ClientError) -> ClusterMetadata.Topic {
        try await retrying { () async throws(ClientError) in
            let metadata = try await self.refresh([name], allowAutoTopicCreation: allowAutoTopicCreation)
            guard let topic = metadata.topics[name] else { throw .broker(.unknownTopicOrPartition, "there is no topic \(name)") }
            switch topic.error {
            case .none: break
            case .unknownTopicOrPartition where !allowAutoTopicCreation: throw .invalid("there is no topic \(name)")
            default: throw .broker(topic.error, "the topic \(name) cannot be used")
            }
            if needsLeaders && topic.partitions.contains(where: { $0.leader == nil }) || topic.partitions.isEmpty {
                throw .broker(.leaderNotAvailable, "the topic \(name) has partitions without a leader")
            }
            return topic
        }
    }

    /// Does `operation` again while it fails with an error that may pass, until `limit` or else `operationTimeout`.
    public func retrying<Result>(
        within limit: Duration? = nil, _ operation: () async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        let end = ContinuousClock.now + (limit ?? options.operationTimeout)
        var attempt = 0
        while true {
            do {
                return try await operation()
            } catch {
                attempt += 1
                let wait = Duration.milliseconds(options.backoff.delayMs(attempt: attempt, jitter: .random(in: -0.2...0.2)))
                // Nobody listens at any address: told at once, since people mistype addresses.
                if case .cannotConnect = error, metadata.revision == 0 { throw error }
                guard error.isRetriable, ContinuousClock.now + wait < end else { throw error }
                do { try await Task.sleep(for: wait) } catch { throw .closed }
            }
        }
    }

    // MARK: Connections

    /// A connection to a broker for the caller alone, who closes it.
    public func connect(to broker: Int32) async throws(ClientError) -> Connection {
        guard let address = metadata.brokers[broker] else { throw .broker(.brokerNotAvailable, "broker \(broker) is not known") }
        return try await Connection.connect(to: address, options: options.connection, on: eventLoop)
    }

    /// The shared connection to a broker, for questions that are answered at once.
    func connection(to broker: Int32) async throws(ClientError) -> Connection {
        guard let address = metadata.brokers[broker] else { throw .broker(.brokerNotAvailable, "broker \(broker) is not known") }
        return try await connection(to: address)
    }

    /// The shared connection to the broker that takes administrative requests.
    func controller() async throws(ClientError) -> Connection {
        let known = metadata
        if let controller = known.controller, known.brokers[controller] != nil { return try await connection(to: controller) }
        let fresh = try await refresh([])
        guard let controller = fresh.controller else { return try await anyConnection() }
        return try await connection(to: controller)
    }

    /// The shared connection to whichever broker can be reached.
    func anyConnection() async throws(ClientError) -> Connection {
        let (open, known) = state.withLock { state in (state.connections.values.first(where: \.isOpen), state.metadata.brokers) }
        if let open { return open }
        var failure = ClientError.closed
        for address in bootstrap + known.values.filter({ !bootstrap.contains($0) }).shuffled() {
            do {
                return try await connection(to: address)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// The broker that was the coordinator when last asked, nil when that is not known (any more).
    func knownCoordinator(of name: String, _ kind: CoordinatorKind = .group) -> BrokerAddress? {
        state.withLock { $0.coordinators[CoordinatorKey(kind: kind, name: name)] }
    }

    func remember(coordinator: BrokerAddress?, of name: String, _ kind: CoordinatorKind = .group) {
        state.withLock { $0.coordinators[CoordinatorKey(kind: kind, name: name)] = coordinator }
    }

    func connection(to address: BrokerAddress) async throws(ClientError) -> Connection {
        let (open, attempt) = state.withLock { state -> (Connection?, Attempt?) in
            if let open = state.connections[address], open.isOpen { return (open, nil) }
            // A thousand records sent at once would come as a thousand connections.
            let attempt = state.attempts[address] ?? Attempt { await connect(to: address) }
            state.attempts[address] = attempt
            return (nil, attempt)
        }
        if let open { return open }
        guard let attempt else { throw .closed }
        return try await attempt.value.get()
    }

    private func connect(to address: BrokerAddress) async -> Result<Connection, ClientError> {
        let result: Result<Connection, ClientError>
        do throws(ClientError) {
            result = .success(try await Connection.connect(to: address, options: options.connection, on: eventLoop))
        } catch {
            result = .failure(error)
        }
        let isClosed = state.withLock { state in
            state.attempts[address] = nil
            if case .success(let fresh) = result, !state.isClosed { state.connections[address] = fresh }
            return state.isClosed
        }
        guard isClosed, case .success(let fresh) = result else { return result }
        fresh.close()
        return .failure(.closed)
    }
}
