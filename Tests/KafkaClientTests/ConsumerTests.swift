import KafkaProtocol
import NIOCore
import Testing

@testable import KafkaClient

@Suite(.timeLimit(.minutes(1)))
struct ConsumerTests {
    private func fill(_ broker: FakeBroker, _ count: Int, codec: CompressionCodec = .none) async throws {
        let cluster = broker.cluster()
        var options = ProducerOptions()
        options.batchByteCount = 300
        options.codec = codec
        let producer = Producer(cluster, options: options)
        try await withThrowingTaskGroup { group in
            for number in 0..<count {
                group.addTask { _ = try await producer.send(key: nil, value: Array("\(number)".utf8), to: broker.topic) }
            }
            try await group.waitForAll()
        }
        await producer.close()
        cluster.close()
    }

    private func read(_ broker: FakeBroker, _ places: [TopicPartition: PartitionPlace], until count: Int) async throws -> [TopicPartition:
        [Int64]]
    {
        let cluster = broker.cluster()
        let consumer = Consumer(cluster)
        try await consumer.assign(places)
        var offsets: [TopicPartition: [Int64]] = [:]
        var total = 0
        while total < count, let records = try await consumer.next() {
            try records.forEachRecord { record, _ in
                offsets[records.partition, default: []].append(record.offset)
                total += 1
                return true
            }
        }
        consumer.close()
        #expect(try await consumer.next() == nil)
        cluster.close()
        return offsets
    }

    @Test(arguments: CompressionCodec.allCases)
    func everyRecordComesOnceAndInOrder(codec: CompressionCodec) async throws {
        let broker = try await FakeBroker.start(partitionCount: 3)
        try await fill(broker, 1000, codec: codec)
        let places = Dictionary(uniqueKeysWithValues: (0..<3).map { (TopicPartition(broker.topic, $0), PartitionPlace.earliest) })
        let offsets = try await read(broker, places, until: 1000)
        #expect(offsets.values.map(\.count).reduce(0, +) == 1000)
        for (_, offsets) in offsets { #expect(offsets == Array(0..<Int64(offsets.count))) }
        await broker.stop()
    }

    @Test func readingBeginsInTheMiddleOfABatch() async throws {
        let broker = try await FakeBroker.start()
        try await fill(broker, 200)
        let offsets = try await read(broker, [TopicPartition(broker.topic, 0): .offset(77)], until: 123)
        #expect(offsets[TopicPartition(broker.topic, 0)] == Array(77..<200))
        await broker.stop()
    }

    @Test func whoWaitsIsToldWhenTheConsumerIsClosed() async throws {
        let broker = try await FakeBroker.start()
        let cluster = broker.cluster()
        let consumer = Consumer(cluster)
        try await consumer.assign([TopicPartition(broker.topic, 0): .latest])
        async let next = consumer.next()
        consumer.close()
        #expect(try await next == nil)
        cluster.close()
        await broker.stop()
    }

    @Test func recordsOfAbortedTransactionsAreTold() {
        func batch(_ producer: Int64, _ offsets: ClosedRange<Int64>, control: Bool = false) -> RecordBatchHeader {
            RecordBatchHeader(
                baseOffset: offsets.lowerBound, batchLength: 0, attributes: control ? 0x30 : 0x10,
                lastOffsetDelta: Int32(offsets.upperBound - offsets.lowerBound), producerID: producer)
        }
        var filter = AbortedFilter([
            FetchResponse.AbortedTransaction { ($0.producerID, $0.firstOffset) = (1, 10) },
            FetchResponse.AbortedTransaction { ($0.producerID, $0.firstOffset) = (2, 20) },
        ])
        var dropped = [batch(1, 0...9), batch(1, 10...14), batch(2, 15...19), batch(2, 20...20)].map { filter.drops($0) }
        #expect(dropped == [false, true, false, true])
        filter.end(batch(1, 21...21, control: true))
        dropped = [batch(1, 22...22), batch(2, 23...23)].map { filter.drops($0) }
        #expect(dropped == [false, true])
    }
}

@Suite(.timeLimit(.minutes(1)))
struct ConnectionTests {
    @Test func anOldBrokerIsAskedAgainInAVersionItKnows() async throws {
        let broker = try await FakeBroker.start(apiVersionsMax: 2)
        let cluster = broker.cluster()
        _ = try await cluster.topic(broker.topic)
        #expect(broker.versionsAsked == [4, 2])
        cluster.close()
        await broker.stop()
    }

    @Test func whenTheConnectionEndsEverythingPendingFailsOnce() async throws {
        let broker = try await FakeBroker.start { _ in .lostBefore }
        let cluster = broker.cluster()
        let connection = try await Connection.connect(
            to: BrokerAddress(host: "127.0.0.1", port: broker.port), on: cluster.eventLoop)
        let answers = (0..<10).map { _ in connection.send(ProduceRequest { $0.acks = -1 }) }
        for answer in answers {
            await #expect(throws: ClientError.self) { try await answer.get() }
        }
        await #expect(throws: ClientError.self) { try await connection.call(MetadataRequest()) }
        #expect(!connection.isOpen)
        cluster.close()
        await broker.stop()
    }

    @Test func nobodyListeningIsToldAtOnce() async throws {
        let broker = try await FakeBroker.start()
        let cluster = broker.cluster()
        await broker.stop()
        await #expect(throws: ClientError.self) { try await cluster.topic(broker.topic) }
    }
}
