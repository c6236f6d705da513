import KafkaProtocol
import NIOCore
import Synchronization
import Testing

@testable import KafkaClient

/// Records through a front that loses connections and refuses: written once and in order, read once and in order.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyRecordsTests {
    /// A topic that was just made may not be known everywhere.
    private static let metadataErrors: [ErrorCode] = [.leaderNotAvailable, .unknownTopicOrPartition]

    /// Writes numbers to the partitions by turns, and waits for all.
    private func write(_ range: Range<Int>, _ cluster: Cluster, _ acknowledgement: Acknowledgement = .all) async throws {
        var options = ProducerOptions()
        (options.acknowledgement, options.isIdempotent) = (acknowledgement, acknowledgement == .all)
        (options.batchByteCount, options.requestByteCountMax, options.linger) = (200, 500, .milliseconds(1))
        let failures = Mutex<[ClientError]>([])
        options.onDelivery = { delivery in if case .failure(let error) = delivery.result { failures.withLock { $0.append(error) } } }
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic("topic")
        for number in range {
            while try !Array("\(number)".utf8).withUnsafeBytes({ try topic.enqueue(key: nil, value: $0, partition: Int32(number % 3)) }) {
                await producer.room()
            }
        }
        await producer.close()
        #expect(failures.withLock { $0 } == [])
    }

    private func expected(_ count: Int) -> [[String]] { (0..<3).map { part in stride(from: part, to: count, by: 3).map(String.init) } }

    @Test(arguments: FlakyScene.seeds(3))
    func whatIsWrittenIsThereOnceAndInOrder(seed: UInt64) async throws {
        let keys: [ApiKey] = [.produce, .initProducerID, .metadata, .apiVersions]
        // Without a transaction nothing is refused for its sake.
        let errors = [
            ApiKey.produce: RefusableApi.errors(of: .produce).filter { $0 != .concurrentTransactions },
            .initProducerID: [.coordinatorLoadInProgress, .coordinatorNotAvailable], .metadata: Self.metadataErrors,
        ]
        try await FlakyScene.with(seed: seed, keys: keys, errors: errors) { scene in
            var count = 0
            try await scene.untilSpent(keys) { _ in
                // A cluster that knows nothing yet asks for everything.
                let cluster = scene.front.cluster()
                defer { cluster.close() }
                try await write(count..<(count + 150), cluster)
                count += 150
            }
            for (partition, (found, wanted)) in zip(try await scene.values(), expected(count)).enumerated() {
                let counts = Dictionary(grouping: found, by: \.self).mapValues(\.count)
                let repeated = counts.filter { $0.value > 1 }.keys.sorted()
                let missing = wanted.filter { counts[$0] == nil }
                #expect(found == wanted, "partition \(partition): repeated \(repeated), missing \(missing)")
            }
        }
    }

    /// Nobody learns what was lost. What is there is there once, and as long as no connection is lost it is all there, in order.
    @Test(arguments: FlakyScene.seeds(3))
    func whatNobodyAcknowledgesIsNeverThereTwice(seed: UInt64) async throws {
        try await FlakyScene.with(seed: seed, keys: [.produce], errors: [.produce: []]) { scene in
            var count = 0
            var hasArrivedWhole = false
            while !hasArrivedWhole || !Set(scene.front.plan.value.met.keys.map(\.fault)).isSuperset(of: [.lostBefore, .lostAfter]) {
                let before = scene.front.plan.value.met
                let round = count..<(count + 150)
                // What is sent into a connection that was lost in an earlier round would be lost in this one.
                let cluster = scene.front.cluster()
                defer { cluster.close() }
                try await write(round, cluster, .none)
                count = round.upperBound
                var arrived = 0
                while arrived < round.count, scene.front.plan.value.met == before {
                    try Task.checkCancellation()
                    let found = try await scene.values().map { $0.compactMap { Int($0) }.filter(round.contains) }
                    arrived = found.reduce(0) { $0 + $1.count }
                    if arrived == round.count, scene.front.plan.value.met == before {
                        #expect(found == (0..<3).map { part in round.filter { $0 % 3 == part } })
                        hasArrivedWhole = true
                    }
                }
            }
            for found in try await scene.values() { #expect(Set(found).count == found.count) }
        }
    }

    @Test(arguments: FlakyScene.seeds(3))
    func whatIsReadComesOnceAndInOrder(seed: UInt64) async throws {
        let keys: [ApiKey] = [.fetch, .listOffsets, .metadata]
        try await FlakyScene.with(seed: seed, keys: keys, errors: [.metadata: Self.metadataErrors]) { scene in
            try await write(0..<600, scene.direct)
            let wanted = expected(600)
            try await scene.untilSpent(keys) { _ in
                var options = ConsumerOptions()
                (options.fetchWait, options.fetchByteCountMax, options.partitionByteCountMax) = (.milliseconds(20), 2000, 700)
                let consumer = Consumer(scene.cluster, options: options)
                defer { consumer.close() }
                let partitions = (0..<3).map { TopicPartition("topic", Int32($0)) }
                try await consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, PartitionPlace.earliest) }))
                var reading = Reading()
                try await reading.read(consumer, until: 200)
                #expect(reading.values == wanted)
                // From somewhere else, and on from there after a pause.
                for partition in partitions {
                    try await consumer.seek(partition, to: .offset(100))
                    try await consumer.pause([partition])
                }
                for partition in partitions { try await consumer.resume([partition]) }
                var rest = Reading()
                try await rest.read(consumer, until: 200)
                #expect(rest.values == wanted.map { Array($0[100...]) })
            }
        }
    }

    /// Values by partition as they come; no offset twice, none left out.
    private struct Reading {
        var values: [[String]] = [[], [], []]
        private var next: [Int64?] = [nil, nil, nil]

        mutating func read(_ consumer: Consumer, until end: Int64) async throws {
            while next.contains(where: { $0 ?? 0 < end }), let fetched = try await consumer.next() {
                for record in try fetched.records() {
                    let index = Int(record.partition.partition)
                    if let wanted = next[index] { #expect(record.offset == wanted, "partition \(index)") }
                    next[index] = record.offset + 1
                    values[index].append(String(decoding: record.value ?? [], as: UTF8.self))
                }
            }
        }
    }
}
