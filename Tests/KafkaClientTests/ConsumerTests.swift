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

    /// Whoever wants a connection while it is made waits for that one.
    @Test func manyQuestionsAtOnceNeedOneConnection() async throws {
        let broker = try await FakeBroker.start()
        let cluster = broker.cluster()
        try await withThrowingTaskGroup { group in
            for _ in 0..<200 { group.addTask { _ = try await cluster.topic(broker.topic) } }
            try await group.waitForAll()
        }
        #expect(broker.connectionCount == 1)
        cluster.close()
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

/// What is unpacked record by record is what is unpacked at once.
struct RecordPiecesTests {
    private func batch(_ range: Range<Int>, _ codec: CompressionCodec) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        for number in range {
            // Lengths of one byte and of two.
            let value = Array("\(number)".utf8) + Array(repeating: 1, count: number % 200)
            let headers = number % 5 == 0 ? [RecordHeader(key: "n", value: nil)] : []
            builder.append(key: number % 3 == 0 ? nil : [1], value: value, headers: headers, timestamp: Int64(number))
        }
        var bytes = try builder.finish(codec: codec)
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: Int64(range.lowerBound), partitionLeaderEpoch: 0) }
        return bytes
    }

    private func fetched(_ bytes: [UInt8], from offset: Int64) -> FetchedRecords {
        FetchedRecords(
            partition: TopicPartition("topic", 0), firstOffset: offset, nextOffset: 5000, leaderEpoch: 0, highWatermark: 5000,
            frame: Frame(bytes), slice: FrameSlice(offset: 0, length: bytes.count), aborted: [], isolation: .readUncommitted,
            batchByteCountMax: 1 << 24)
    }

    @Test(arguments: CompressionCodec.allCases)
    func theyAreTheSameRecords(codec: CompressionCodec) throws {
        // The first has more than two pieces, of which the first begins in the middle; the second is exactly one.
        let fetched = fetched(try batch(0..<2500, codec) + batch(2500..<3500, codec) + batch(3500..<3501, codec), from: 700)
        var pieces = RecordPieces(fetched)
        var records: [ConsumedRecord] = []
        while let record = try pieces.next() { records.append(record) }
        #expect(records.map(\.offset) == Array(700..<3501))
        let wanted = try fetched.records()
        #expect(records == wanted)
    }

    /// Several of them are more than a piece.
    @Test func largeRecordsAreTheSame() throws {
        var builder = RecordBatchBuilder()
        for number in UInt8(0)..<5 { builder.append(key: nil, value: Array(repeating: number, count: 700_000), headers: [], timestamp: 0) }
        let fetched = fetched(try builder.finish(codec: .none), from: 0)
        var pieces = RecordPieces(fetched)
        var records: [ConsumedRecord] = []
        while let record = try pieces.next() { records.append(record) }
        let wanted = try fetched.records()
        #expect(records.count == 5 && records == wanted)
    }

    @Test func whatComesBeforeARecordThatIsDamagedIsUnpacked() throws {
        var bytes = try batch(0..<10, .none)
        bytes.withUnsafeMutableBytes { bytes in
            // One more than there are, as drawn at `RecordBatchHeader`.
            bytes.storeBytes(of: Int32(11).bigEndian, toByteOffset: 57, as: Int32.self)
            let checksum = RecordBatchHeader.checksum(ofBatch: UnsafeRawBufferPointer(bytes))
            bytes.storeBytes(of: checksum.bigEndian, toByteOffset: 17, as: UInt32.self)
        }
        var pieces = RecordPieces(fetched(try bytes + batch(10..<12, .none), from: 0))
        var offsets: [Int64] = []
        #expect(throws: ClientError.self) { while let record = try pieces.next() { offsets.append(record.offset) } }
        #expect(offsets == Array(0..<10))
        #expect(pieces.rest.firstOffset == 10)
        let rest = try pieces.rest.records()
        #expect(rest.map(\.offset) == [10, 11])
    }

    @Test func whatComesBeforeDamageIsUnpacked() throws {
        var bytes = try batch(0..<1500, .zstd) + batch(1500..<1600, .zstd)
        bytes[bytes.count - 1] ^= 1
        var pieces = RecordPieces(fetched(bytes, from: 0))
        var count = 0
        let error = #expect(throws: ClientError.self) { while try pieces.next() != nil { count += 1 } }
        #expect(count == 1500)
        #expect(error == .malformed("topic-0: the batch at offset 1500 does not match its checksum"))
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
