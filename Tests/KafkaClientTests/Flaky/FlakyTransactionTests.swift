import KafkaProtocol
import NIOCore
import Testing

@testable import KafkaClient

/// Transactions through a front that loses connections and refuses: what is read, worked on and written is so exactly once.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyTransactionTests {
    /// What all workers have done.
    struct Progress: Sendable {
        /// Of receipts that were committed.
        var receiptCount = 0
        /// Why one has given up.
        var failure: String?
    }

    /// Writes a receipt for each order, in transactions of which every fourth is aborted and done again.
    private final class Worker: Sendable {
        let consumer: GroupConsumer
        private let producer: TransactionalProducer
        private let progress: Watch<Progress>
        private let task = Watch<Task<Void, any Error>?>(nil)

        init(_ cluster: Cluster, id: String, _ groupProtocol: GroupProtocol, isVersion2: Bool, progress: Watch<Progress>) {
            var options = GroupConsumerOptions()
            (options.groupProtocol, options.autoCommitInterval) = (groupProtocol, nil)
            (options.heartbeatInterval, options.sessionTimeout) = (.milliseconds(50), .seconds(2))
            options.fetching.isolation = .readCommitted
            options.fetching.fetchWait = .milliseconds(20)
            options.fetching.partitionByteCountMax = 1000
            consumer = GroupConsumer(cluster, group: "receipts", options: options)
            var producing = ProducerOptions()
            (producing.batchByteCount, producing.linger) = (100, .milliseconds(1))
            producer = TransactionalProducer(cluster, transactionalID: id, timeout: .seconds(60), options: producing, isVersion2Allowed: isVersion2)
            self.progress = progress
        }

        func start() throws {
            try consumer.subscribe(["orders"])
            task.change { task in
                task = Task {
                    do {
                        try await run()
                    } catch {
                        progress.change { $0.failure = "\(error)" }
                        throw error
                    }
                }
            }
        }

        private func run() async throws {
            try await producer.initialize()
            var turn = 0
            while let orders = try await consumer.next() {
                turn += 1
                let receipts = try orders.records().map { Array("receipt of ".utf8) + ($0.value ?? []) }
                try producer.begin()
                do {
                    for receipt in receipts { try await producer.send(key: receipt, value: receipt, to: "receipts") }
                    try await producer.sendOffsets(of: consumer)
                    if turn % 4 == 0 { throw ClientError.invalid("done again") }
                    try await producer.commit()
                    progress.change { $0.receiptCount += receipts.count }
                } catch {
                    // Throws when nobody can say whether the commit was carried out, which a front that gives way at last is no reason for.
                    try await producer.abort()
                    try await consumer.rewind()
                }
            }
        }

        func stop() async throws {
            consumer.stop()
            try await task.value?.value
            await producer.close()
            await consumer.close()
        }
    }

    struct Setting: Sendable, CustomTestStringConvertible {
        var groupProtocol: GroupProtocol
        var isVersion2: Bool

        var testDescription: String { "\(groupProtocol), transactions of version \(isVersion2 ? 2 : 1)" }
    }

    @Test(
        arguments: [
            Setting(groupProtocol: .classic, isVersion2: true), Setting(groupProtocol: .classic, isVersion2: false),
            Setting(groupProtocol: .consumer, isVersion2: true),
        ], FlakyScene.seeds(1))
    func eachOrderHasOneReceipt(setting: Setting, seed: UInt64) async throws {
        var keys: [ApiKey] = [.initProducerID, .produce, .txnOffsetCommit, .endTxn, .findCoordinator]
        if !setting.isVersion2 { keys += [.addPartitionsToTxn, .addOffsetsToTxn] }
        // In a transaction brokers say so of an old epoch.
        let stale: [ErrorCode] = setting.groupProtocol == .consumer ? [.illegalGeneration] : []
        let errors = [
            ApiKey.offsetFetch: RefusableApi.errors(of: .offsetFetch) + [.unstableOffsetCommit],
            .txnOffsetCommit: RefusableApi.errors(of: .txnOffsetCommit) + stale,
        ]
        let others: [ApiKey] = [.offsetFetch, .fetch, .listOffsets, .metadata, .heartbeat, .consumerGroupHeartbeat]
        try await FlakyScene.with(seed: seed, keys: keys + others, errors: errors, topics: ["orders", "receipts"]) { scene in
            let progress = Watch(Progress())
            var count = 0
            var working: Worker?
            try await scene.untilSpent(keys) { round in
                let next = Worker(scene.cluster, id: "worker-\(round)", setting.groupProtocol, isVersion2: setting.isVersion2, progress: progress)
                try next.start()
                try await writeOrders(count..<(count + 40), scene.direct)
                count += 40
                let total = count
                await progress.until { $0.receiptCount >= total || $0.failure != nil }
                #expect(progress.value.failure == nil)
                try await working?.stop()
                working = next
            }
            try await working?.stop()
            #expect(progress.value.receiptCount == count)
            let receipts = try await scene.values(of: "receipts", .readCommitted).flatMap { $0 }
            #expect(receipts.count == count)
            #expect(Set(receipts) == Set((0..<count).map { "receipt of order \($0)" }))
            let offsets = try await Admin(scene.direct).committedOffsets(of: "receipts")
            let ends = try await Admin(scene.direct).offsets(Dictionary(uniqueKeysWithValues: offsets.keys.map { ($0, PartitionPlace.latest) }))
            #expect(offsets.mapValues(\.offset) == ends)
            #expect(ends.values.reduce(0, +) == Int64(count))
        }
    }
}
