import KafkaProtocol
import NIOCore
import NIOPosix
import Synchronization

@testable import KafkaClient

/// A door in front of a live broker through which clients see a bad network and a busy cluster.
///
/// It passes frames on in both directions, puts its own address where the broker's is told, so that clients stay with it, holds
/// everything back for a moment, in order, and does to requests what its `FaultPlan` says. Everything is done once for each kind
/// of request, and counted when it has been done.
final class FlakyFront: Sendable {
    let plan: Watch<FaultPlan>
    /// What each kind of request is refused with.
    let errors: [ApiKey: [ErrorCode]]
    /// What it tells of the cluster.
    let view = Mutex(FrontView())
    /// Passes nothing on, and says nothing.
    let isFrozen = Atomic(false)
    /// Freezes when a request of this kind comes.
    let freezing = Mutex<ApiKey?>(nil)
    private let brokerPort: Int
    private let delayMsMax: Int64
    private let listener = Mutex<(any Channel)?>(nil)
    private let chance: Mutex<Chance>

    private init(_ errors: [ApiKey: [ErrorCode]], seed: UInt64, brokerPort: Int, delayMsMax: Int64) {
        plan = Watch(FaultPlan(seed: seed, errors: errors))
        self.errors = errors
        self.brokerPort = brokerPort
        self.delayMsMax = delayMsMax
        chance = Mutex(Chance(seed: seed))
    }

    /// - Parameters:
    ///   - keys: The kinds of request that have faults; others are only delayed.
    ///   - errors: In place of those of `RefusableApi`, where others make sense.
    ///   - delayMsMax: How long a request or an answer is held back at most.
    static func start(
        before broker: LiveBroker, seed: UInt64, keys: [ApiKey] = RefusableApi.all.map(\.key), errors: [ApiKey: [ErrorCode]] = [:],
        delayMsMax: Int64 = 2
    ) async throws -> FlakyFront {
        let chosen = Dictionary(uniqueKeysWithValues: keys.map { key in (key, errors[key] ?? RefusableApi.errors(of: key)) })
        let front = FlakyFront(chosen, seed: seed, brokerPort: broker.port, delayMsMax: delayMsMax)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { client in front.open(client) }
            .bind(host: "127.0.0.1", port: 0).get()
        front.listener.withLock { $0 = listener }
        return front
    }

    /// Each client has a connection to the broker of its own, on the same event loop.
    private func open(_ client: any Channel) -> EventLoopFuture<Void> {
        ClientBootstrap(group: client.eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: "127.0.0.1", port: brokerPort)
            .flatMapThrowing { broker in
                let passage = FrontPassage(self, client: client, broker: broker)
                try client.pipeline.syncOperations.addHandler(PassageEnd(passage, read: passage.asked, closed: passage.clientLeft))
                try broker.pipeline.syncOperations.addHandler(PassageEnd(passage, read: passage.answered, closed: passage.end))
            }
    }

    func stop() async { try? await listener.withLock { $0 }?.close() }

    var address: BrokerAddress { BrokerAddress(host: "127.0.0.1", port: listener.withLock { $0?.localAddress?.port } ?? 0) }

    func cluster(operationTimeout: Duration = .seconds(60)) -> Cluster {
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 2, maximumMs: 20)
        options.operationTimeout = operationTimeout
        return Cluster(bootstrap: [address], options: options)
    }

    // MARK: Called by passages

    func fault(for header: RequestHeader, _ frame: Frame) -> Fault? {
        if freezing.withLock({ $0 }) == header.key { isFrozen.store(true, ordering: .relaxed) }
        var fault: Fault?
        plan.change { plan in
            fault = plan.draw(header.key) { fault in
                guard case .refused(let code) = fault else { return fault != .cut || !header.isUnanswered(frame) }
                return RefusableApi.byKey[header.key]?.refuse(header, frame, code) != nil
            }
        }
        return fault
    }

    func delayMs() -> Int64 {
        plan.change { $0.delayCount += 1 }
        return chance.withLock { Int64.random(in: 0...delayMsMax, using: &$0) }
    }
}
