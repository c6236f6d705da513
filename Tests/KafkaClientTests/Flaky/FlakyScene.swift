import Foundation
import KafkaProtocol
import Testing

@testable import KafkaClient

/// A live broker, the front before it, and a way around the front to see what is so.
struct FlakyScene {
    let broker: LiveBroker
    let front: FlakyFront
    /// Through the front.
    let cluster: Cluster
    /// Around it.
    let direct: Cluster

    /// `LMBROKER_SEED=7 swift test --filter Flaky` runs one seed alone, `LMBROKER_SEEDS=200` that many.
    static func seeds(_ count: UInt64) -> [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let only = environment["LMBROKER_SEED"].flatMap(UInt64.init) { return [only] }
        return Array(1...(environment["LMBROKER_SEEDS"].flatMap(UInt64.init) ?? count))
    }

    private static let settings = [
        "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000", "group.consumer.min.session.timeout.ms=1000",
        "group.consumer.session.timeout.ms=2000", "group.consumer.min.heartbeat.interval.ms=50", "group.consumer.heartbeat.interval.ms=50",
    ]

    static func with(
        seed: UInt64, keys: [ApiKey] = RefusableApi.all.map(\.key), errors: [ApiKey: [ErrorCode]] = [:], topics: [String] = ["topic"],
        partitions: Int32 = 3, operationTimeout: Duration = .seconds(60), _ body: (FlakyScene) async throws -> Void
    ) async throws {
        let broker = LiveBroker()
        try await broker.start(settings)
        let front = try await FlakyFront.start(before: broker, seed: seed, keys: keys, errors: errors)
        let scene = FlakyScene(broker: broker, front: front, cluster: front.cluster(operationTimeout: operationTimeout), direct: broker.cluster())
        do {
            for topic in topics { try await Admin(scene.direct).createTopic(topic, partitions: partitions) }
            try await body(scene)
            #expect(front.plan.value.delayCount > 0)
        } catch {
            await scene.end()
            throw error
        }
        await scene.end()
    }

    private func end() async {
        cluster.close()
        direct.close()
        await front.stop()
        await broker.remove()
    }

    /// Does `work` until each of these kinds of request has met all its faults.
    func untilSpent(_ keys: [ApiKey], _ work: (_ round: Int) async throws -> Void) async throws {
        var round = 0
        repeat {
            try await work(round)
            round += 1
        } while !front.plan.value.isSpent(keys)
        let plan = front.plan.value
        for key in keys {
            for fault in Fault.losses + (front.errors[key] ?? []).map({ .refused($0) }) { #expect(plan.count(key, fault) > 0, "\(key) was never \(fault)") }
        }
    }

    /// All values of a topic around the front, in the order of each partition.
    func values(of topic: String = "topic", partitions: Int32 = 3, _ isolation: IsolationLevel = .readUncommitted) async throws -> [[String]] {
        var options = ConsumerOptions()
        options.isolation = isolation
        var values: [[String]] = []
        for partition in (0..<partitions).map({ TopicPartition(topic, $0) }) {
            let end = try await Admin(direct).offsets([partition: .latest], isolation: isolation)[partition] ?? 0
            let consumer = Consumer(direct, options: options)
            defer { consumer.close() }
            var next = try await consumer.assign([partition: .earliest])[partition] ?? 0
            var found: [String] = []
            while next < end, let records = try await consumer.next() {
                found += try records.records().map { String(decoding: $0.value ?? [], as: UTF8.self) }
                next = records.nextOffset
            }
            values.append(found)
        }
        return values
    }
}
