internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Store

/// What all connections and handlers of one broker share.
final class BrokerContext: Sendable {
    let store: Store
    let configuration: LiveConfiguration
    let logger: Logger
    /// What clients know this broker by.
    let nodeID: Int32
    /// For lines that clients can cause.
    let log: RateLimitedLog
    let registry: HandlerRegistry
    let lanes: [LoopLane]
    /// Threads for reading what may have to come from the disk.
    let readers: NIOThreadPool
    /// Threads for opening what producers have compressed. Not more than there are loops: each holds what comes out of a request,
    /// and what was made of it.
    let openers: NIOThreadPool
    /// Bytes of requests that have no answer yet (`queued.max.request.bytes`).
    let requestBytes: ByteBudget
    /// Bytes of records in answers that have not been written.
    let responseBytes: ByteBudget
    let connectionLimits: ConnectionLimits
    let fetchSessions: FetchSessions
    let alterations = AlterationOrder()
    let groups: GroupService
    let transactions: TransactionService

    /// Bytes of records in one answer: `fetch.max.bytes`, or less.
    let fetchBytesMax: Int

    /// Bytes of records that may be in answers under way. Fetches are answered with less where it is used up.
    static let responseBytesMax = 64 << 20
    /// Beyond this a larger answer saves nothing, and memory is better spent on another client's.
    static let fetchBytesCeiling = 16 << 20

    init(
        store: Store, configuration: LiveConfiguration, logger: Logger, handlers: [any Handler], loops: [any EventLoop],
        readers: NIOThreadPool, openers: NIOThreadPool
    ) {
        let current = configuration.current
        let lanes = loops.map { LoopLane(loop: $0, store: store) }
        self.store = store
        self.configuration = configuration
        self.logger = logger
        nodeID = current.nodeID
        self.lanes = lanes
        self.readers = readers
        self.openers = openers
        log = RateLimitedLog(logger)
        registry = HandlerRegistry(handlers)
        requestBytes = ByteBudget(limit: current.queuedRequestBytesMax) { for lane in lanes { lane.budgetRelieved() } }
        responseBytes = ByteBudget(limit: Self.responseBytesMax)
        connectionLimits = ConnectionLimits(current)
        fetchBytesMax = min(current.fetchBytesMax, Self.fetchBytesCeiling)
        fetchSessions = FetchSessions(slotCount: current.fetchSessionsMax)
        transactions = TransactionService(store: store, options: current.transactions, lane: lanes[0], logger: logger, log: log)
        groups = GroupService(store: store, options: current.groups, lane: lanes[0], logger: logger, log: log)
    }

    /// The lane of `loop`, which is one of the broker's.
    func lane(of loop: any EventLoop) -> LoopLane? { lanes.first { $0.loop === loop } }
}
