import Foundation
import KafkaProtocol
import NIOCore
import Synchronization
import Testing

@testable import KafkaClient

/// The same numbers for the same seed, whatever calls them when.
private struct Dice: Sendable {
    let seed: UInt64

    /// A number below `limit` for the `index`th throw.
    func roll(_ index: Int, below limit: UInt64) -> UInt64 {
        var z = seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(index) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return (z ^ (z >> 31)) % limit
    }
}

@Suite(.timeLimit(.minutes(2)))
struct ProducerFaultTests {
    private func options() -> ProducerOptions {
        var options = ProducerOptions()
        options.batchByteCount = 400
        options.linger = .milliseconds(1)
        options.requestByteCountMax = 1000
        return options
    }

    /// Writes `count` numbered records with a key each and waits for all.
    /// - Returns: the records' offsets by value, and why others failed.
    private func write(_ count: Int, to broker: FakeBroker, options: ProducerOptions) async throws -> (
        offsets: [String: RecordPosition], failures: [ClientError]
    ) {
        let cluster = broker.cluster()
        defer { cluster.close() }
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic(broker.topic)
        let outcome = Mutex((offsets: [String: RecordPosition](), failures: [ClientError]()))
        for number in 0..<count {
            let value = "\(number)"
            let key = Array("key \(number % 10)".utf8)
            while try !enqueue(
                topic, key, value,
                { partition, result in
                    outcome.withLock { outcome in
                        switch result {
                        case .success(let offset): outcome.offsets[value] = RecordPosition(partition: partition, offset: offset)
                        case .failure(let error): outcome.failures.append(error)
                        }
                    }
                })
            { await producer.room() }
        }
        await producer.close()
        return outcome.withLock { $0 }
    }

    private func enqueue(
        _ topic: ProducerTopic, _ key: [UInt8], _ value: String,
        _ completion: @escaping @Sendable (TopicPartition, Result<Int64, ClientError>) -> Void
    ) throws -> Bool {
        let value = Array(value.utf8)
        return try key.withUnsafeBytes { key in
            try value.withUnsafeBytes { value in try topic.enqueue(key: key, value: value, completion: completion) }
        }
    }

    /// Every record once, in the order written, at the offset that was told.
    private func check(_ count: Int, _ offsets: [String: RecordPosition], in broker: FakeBroker, partitions: Int) throws {
        var found: [String] = []
        for partition in 0..<partitions {
            let values = try broker.values(partition)
            let numbers = values.compactMap(Int.init)
            #expect(numbers == numbers.sorted(), "partition \(partition) is out of order")
            for (offset, value) in values.enumerated() {
                #expect(offsets[value] == RecordPosition(partition: TopicPartition(broker.topic, Int32(partition)), offset: Int64(offset)))
            }
            found += values
        }
        #expect(found.count == count)
        #expect(Set(found).count == count)
    }

    @Test func everyRecordIsWrittenOnceAndItsOffsetTold() async throws {
        let broker = try await FakeBroker.start(partitionCount: 4)
        let (offsets, failures) = try await write(2000, to: broker, options: options())
        #expect(failures == [])
        try check(2000, offsets, in: broker, partitions: 4)
        await broker.stop()
    }

    /// `LMBROKER_SEED=7 swift test --filter ProducerFaultTests` runs one seed alone, `LMBROKER_SEEDS=200` that many, from 1 or from
    /// `LMBROKER_FIRST_SEED` on. They run all at once, so that thousands would make each other late.
    private static var seeds: [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        func number(_ name: String) -> UInt64? { environment[name].flatMap(UInt64.init) }
        if let only = number("LMBROKER_SEED") { return [only] }
        let first = number("LMBROKER_FIRST_SEED") ?? 1
        return Array(first..<first + (number("LMBROKER_SEEDS") ?? 60))
    }

    @Test(arguments: seeds)
    func nothingIsLostRepeatedOrReorderedWhateverFails(seed: UInt64) async throws {
        let dice = Dice(seed: seed)
        // Every other seed has a broker to which most batches are too large.
        let broker = try await FakeBroker.start(partitionCount: 3, batchByteCountMax: seed % 2 == 0 ? 150 : .max) { request in
            switch dice.roll(request, below: 16) {
            case 0: .lostBefore
            case 1: .lostAfter
            case 2: .refused(.notLeaderOrFollower)
            case 3: .refused(.requestTimedOut)
            case 4: .refused(.kafkaStorageError)
            case 5: .refused(.notEnoughReplicas)
            case 6: .refusedAfter(.notEnoughReplicasAfterAppend)
            case 7: .refusedAfter(.requestTimedOut)
            case 8: .late(Int64(dice.roll(request + 1_000_000, below: 5)))
            default: nil
            }
        }
        let (offsets, failures) = try await write(1000, to: broker, options: options())
        // What may have been written is not split.
        #expect(failures.allSatisfy { seed % 2 == 0 && $0.code == .messageTooLarge })
        #expect(offsets.count + failures.count == 1000)
        try check(offsets.count, offsets, in: broker, partitions: 3)
        await broker.stop()
    }

    @Test func aBrokerThatForgetsTheProducerGetsTheRestUnderAnotherIdentity() async throws {
        let broker = try await FakeBroker.start { request in request == 5 || request == 20 ? .amnesia : nil }
        let (offsets, failures) = try await write(1000, to: broker, options: options())
        #expect(failures == [])
        try check(1000, offsets, in: broker, partitions: 1)
        await broker.stop()
    }

    @Test func aBatchThatIsRefusedForGoodFailsAloneAndTheRestGoesOn() async throws {
        let broker = try await FakeBroker.start { request in request == 3 ? .refused(.invalidRecord) : nil }
        let (offsets, failures) = try await write(500, to: broker, options: options())
        #expect(!failures.isEmpty)
        #expect(offsets.count == 500 - failures.count)
        try check(offsets.count, offsets, in: broker, partitions: 1)
        await broker.stop()
    }

    @Test(arguments: [CompressionCodec.none, .gzip])
    func aBatchThatIsTooLargeIsSplitUntilItIsNot(codec: CompressionCodec) async throws {
        let broker = try await FakeBroker.start(partitionCount: 2, batchByteCountMax: 120)
        var options = options()
        options.codec = codec
        let (offsets, failures) = try await write(1000, to: broker, options: options)
        #expect(failures == [])
        try check(1000, offsets, in: broker, partitions: 2)
        await broker.stop()
    }

    /// It was within the topic's limit when it was written, and is not any more when it comes again.
    @Test(arguments: [FakeBroker.Fault.lostAfter, .refusedAfter(.requestTimedOut), .refusedAfter(.notEnoughReplicasAfterAppend)])
    func aBatchThatMayHaveBeenWrittenIsNotSplit(fault: FakeBroker.Fault) async throws {
        let broker = try await FakeBroker.start { request in
            switch request {
            case 1: fault
            case 2: .refused(.messageTooLarge)
            default: nil
            }
        }
        var options = options()
        // One batch, which leaves when the producer is closed.
        (options.batchByteCount, options.linger) = (100_000, .seconds(60))
        let (offsets, failures) = try await write(10, to: broker, options: options)
        #expect(failures.map(\.code) == Array(repeating: .messageTooLarge, count: 10))
        #expect(offsets.isEmpty)
        #expect(try broker.values(0) == (0..<10).map(String.init))
        await broker.stop()
    }

    @Test func aRecordThatIsTooLargeAloneFailsAlone() async throws {
        let broker = try await FakeBroker.start(batchByteCountMax: 200)
        let cluster = broker.cluster()
        let producer = Producer(cluster, options: options())
        let results = await withTaskGroup(of: ClientError?.self) { group in
            for byteCount in [10, 10, 300, 10, 10] {
                group.addTask {
                    do throws(ClientError) {
                        _ = try await producer.send(key: nil, value: Array(repeating: 1, count: byteCount), to: broker.topic)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var results: [ClientError?] = []
            for await result in group { results.append(result) }
            return results
        }
        #expect(results.compactMap { $0?.code } == [.messageTooLarge])
        #expect(try broker.values(0).count == 4)
        await producer.close()
        cluster.close()
        await broker.stop()
    }

    /// What others have left open at the partition that comes next is closed first, if the record is too much for it.
    @Test func aRecordWithoutAKeyMakesNoBatchTooLarge() async throws {
        let broker = try await FakeBroker.start(partitionCount: 2)
        let cluster = broker.cluster()
        var options = options()
        options.linger = .seconds(5)
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic(broker.topic)
        let value = [UInt8](repeating: 1, count: 230)
        for _ in 0..<20 {
            for partition in [0, 1, nil] as [Int32?] {
                let isTaken = try value.withUnsafeBytes { try topic.enqueue(key: nil, value: $0, partition: partition) }
                #expect(isTaken)
            }
        }
        await producer.close()
        #expect(broker.batchByteCounts.max() ?? 0 <= options.batchByteCount)
        cluster.close()
        await broker.stop()
    }

    @Test func whenNothingIsEverTakenRecordsFailInTime() async throws {
        let broker = try await FakeBroker.start { _ in .refused(.notEnoughReplicas) }
        var options = options()
        options.deliveryTimeout = .milliseconds(200)
        let (offsets, failures) = try await write(50, to: broker, options: options)
        #expect(failures.count == 50)
        #expect(offsets.isEmpty)
        #expect(try broker.values(0) == [])
        await broker.stop()
    }

    @Test func recordsThatWaitForALeaderThatIsGoneGoToTheNextOne() async throws {
        let isGone = Watch(false)
        let old = try await FakeBroker.start { _ in isGone.value ? .lostBefore : nil }
        let new = try await FakeBroker.start()
        var view = FakeBroker.View(ports: [1: old.port, 2: new.port], leader: 1)
        new.show(view)
        let cluster = new.cluster()
        var options = options()
        options.deliveryTimeout = .seconds(5)
        let producer = Producer(cluster, options: options)
        _ = try await producer.send(key: nil, value: Array("0".utf8), to: new.topic)
        isGone.change { $0 = true }
        await old.stop()
        view.leader = 2
        new.show(view)
        try await withThrowingTaskGroup { group in
            for number in 1...10 { group.addTask { _ = try await producer.send(key: nil, value: Array("\(number)".utf8), to: new.topic) } }
            try await group.waitForAll()
        }
        #expect(try old.values(0) == ["0"])
        #expect(try Set(new.values(0)) == Set((1...10).map(String.init)))
        await producer.close()
        cluster.close()
        await new.stop()
    }

    @Test func withoutAcknowledgementsEverythingIsSentAndNoOffsetTold() async throws {
        let broker = try await FakeBroker.start()
        var options = options()
        options.acknowledgement = .none
        let (offsets, failures) = try await write(300, to: broker, options: options)
        #expect(failures == [])
        #expect(offsets.values.allSatisfy { $0.offset == -1 })
        await broker.stop()
    }

    @Test(arguments: CompressionCodec.allCases)
    func everyCodecArrives(codec: CompressionCodec) async throws {
        let broker = try await FakeBroker.start()
        var options = options()
        options.codec = codec
        let (offsets, failures) = try await write(500, to: broker, options: options)
        #expect(failures == [])
        try check(500, offsets, in: broker, partitions: 1)
        await broker.stop()
    }

    @Test func aFullBufferHoldsTheProducerBackAndLosesNothing() async throws {
        let broker = try await FakeBroker.start(partitionCount: 2)
        var options = options()
        options.bufferByteCountMax = 2000
        let (offsets, failures) = try await write(2000, to: broker, options: options)
        #expect(failures == [])
        try check(2000, offsets, in: broker, partitions: 2)
        await broker.stop()
    }

    /// Whoever waits for room is not told of it before there is room for the record.
    @Test func waitingForRoomIsNoBusyLoop() async throws {
        let broker = try await FakeBroker.start { _ in .late(20) }
        let cluster = broker.cluster()
        var options = options()
        options.bufferByteCountMax = 100_000
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic(broker.topic)
        let value = [UInt8](repeating: 1, count: 60_000)
        var waitCount = 0
        for _ in 0..<10 {
            while try !value.withUnsafeBytes({ try topic.enqueue(key: nil, value: $0) }) {
                waitCount += 1
                await producer.room()
            }
        }
        #expect(waitCount > 0 && waitCount <= 20)
        await producer.close()
        cluster.close()
        await broker.stop()
    }

    @Test func recordsThatMakeNoSenseAreRefusedAtOnce() async throws {
        let broker = try await FakeBroker.start()
        let cluster = broker.cluster()
        var options = options()
        options.recordByteCountMax = 100
        let producer = Producer(cluster, options: options)
        await #expect(throws: ClientError.self) {
            _ = try await producer.send(key: nil, value: Array(repeating: 1, count: 101), to: broker.topic)
        }
        await #expect(throws: ClientError.self) { _ = try await producer.send(key: nil, value: [1], to: broker.topic, partition: 7) }
        let position = try await producer.send(key: nil, value: [1], to: broker.topic, partition: 0)
        #expect(position == RecordPosition(partition: TopicPartition(broker.topic, 0), offset: 0))
        await producer.close()
        await #expect(throws: ClientError.self) { _ = try await producer.send(key: nil, value: [1], to: broker.topic) }
        cluster.close()
        await broker.stop()
    }
}
