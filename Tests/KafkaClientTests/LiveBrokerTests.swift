import KafkaClient
import KafkaProtocol
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)), .serialized)
struct LiveBrokerTests {
    private func write(_ range: Range<Int>, to topic: ProducerTopic, of producer: Producer) async throws {
        for number in range {
            while try !enqueue(topic, Array("key \(number % 100)".utf8), Array("value \(number)".utf8)) { await producer.room() }
        }
    }

    private func enqueue(_ topic: ProducerTopic, _ key: [UInt8], _ value: [UInt8]) throws -> Bool {
        try key.withUnsafeBytes { key in
            try value.withUnsafeBytes { value in
                try topic.enqueue(
                    key: key, value: value, headers: [RecordHeader(key: "n", value: [1, 2]), RecordHeader(key: "null", value: nil)])
            }
        }
    }

    /// Values by partition, in order; the keys are checked against where they ought to be.
    private func readAll(_ topic: String, _ cluster: Cluster) async throws -> [Int32: [String]] {
        let found = try await cluster.topic(topic)
        let partitions = found.partitions.map { TopicPartition(topic, $0.index) }
        var ends = try await Admin(cluster).offsets(Dictionary(uniqueKeysWithValues: partitions.map { ($0, .latest) }))
        let consumer = Consumer(cluster)
        defer { consumer.close() }
        try await consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, .earliest) }))
        ends = ends.filter { $0.value > 0 }
        var values: [Int32: [String]] = [:]
        while !ends.isEmpty, let records = try await consumer.next() {
            let expected = records.partition.partition
            try records.forEachRecord { record, reader in
                let key = reader.array(record.key) ?? []
                #expect(key.withUnsafeBytes { Murmur2.partition(of: $0, partitionCount: partitions.count) } == Int(expected))
                #expect(reader.headers(of: record).map(\.key) == ["n", "null"])
                values[expected, default: []].append(String(decoding: reader.array(record.value) ?? [], as: UTF8.self))
                return true
            }
            if let end = ends[records.partition], records.nextOffset >= end { ends[records.partition] = nil }
        }
        return values
    }

    private func check(_ values: [Int32: [String]], count: Int) {
        let numbers = values.mapValues { $0.compactMap { Int($0.dropFirst("value ".count)) } }
        #expect(numbers.values.map(\.count).reduce(0, +) == count)
        #expect(Set(numbers.values.flatMap { $0 }).count == count)
        for (partition, numbers) in numbers { #expect(numbers == numbers.sorted(), "partition \(partition) is out of order") }
    }

    @Test(arguments: CompressionCodec.allCases)
    func whatIsWrittenIsReadOverSixteenPartitions(codec: CompressionCodec) async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("topic", partitions: 16)
        var options = ProducerOptions()
        options.codec = codec
        options.batchByteCount = 4096
        let producer = Producer(cluster, options: options)
        try await write(0..<20_000, to: try await producer.topic("topic"), of: producer)
        await producer.close()
        check(try await readAll("topic", cluster), count: 20_000)
        cluster.close()
        await broker.remove()
    }

    @Test func aBrokerThatStopsAndStartsAgainLosesAndRepeatsNothing() async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("topic", partitions: 3)
        let failures = Mutex<[String]>([])
        var options = ProducerOptions()
        options.batchByteCount = 2048
        options.bufferByteCountMax = 100_000
        options.onDelivery = { delivery in if case .failure(let error) = delivery.result { failures.withLock { $0.append("\(error)") } } }
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic("topic")
        for round in 0..<3 {
            async let writing: Void = write(round * 20_000..<(round + 1) * 20_000, to: topic, of: producer)
            await broker.stop()
            try await broker.start()
            try await writing
        }
        await producer.close()
        #expect(failures.withLock { $0 } == [])
        check(try await readAll("topic", cluster), count: 60_000)
        cluster.close()
        await broker.remove()
    }

    @Test func topicsAreAdministered() async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        let admin = Admin(cluster)
        try await admin.createTopic("topic", partitions: 2, configs: ["retention.ms": "1000000"])
        await #expect(throws: ClientError.self) { try await admin.createTopic("topic") }
        #expect(try await admin.topic("topic")?.partitions.count == 2)
        #expect(try await admin.topic("other") == nil)
        try await admin.createPartitions(of: "topic", total: 5)
        #expect(try await admin.topics().map(\.name) == ["topic"])
        #expect(try await admin.topic("topic")?.partitions.count == 5)
        try await admin.alterConfigs(.topic("topic"), ["retention.ms": .set("2000000"), "max.message.bytes": .set("5000")])
        let settings = try await admin.describeConfigs(.topic("topic")).filter { $0.configSource == 1 }
        #expect(settings.map { "\($0.name)=\($0.value ?? "")" } == ["max.message.bytes=5000", "retention.ms=2000000"])
        try await admin.alterConfigs(.topic("topic"), ["retention.ms": .delete])
        #expect(try await admin.describeConfigs(.topic("topic")).filter { $0.configSource == 1 }.map(\.name) == ["max.message.bytes"])
        await #expect(throws: ClientError.self) { try await admin.alterConfigs(.topic("topic"), ["no.such.setting": .set("1")]) }
        let cluster2 = try await admin.describeCluster()
        #expect(cluster2.brokers.count == 1)
        try await admin.deleteTopic("topic")
        #expect(try await admin.topic("topic") == nil)
        await #expect(throws: ClientError.self) { try await admin.deleteTopic("topic") }
        cluster.close()
        await broker.remove()
    }

    @Test func placesAreFoundAndRecordsDeleted() async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        let admin = Admin(cluster)
        try await admin.createTopic("topic", partitions: 1)
        let partition = TopicPartition("topic", 0)
        let producer = Producer(cluster)
        for number in 0..<10 {
            let position = try await producer.send(
                key: nil, value: [UInt8(number)], timestampMs: 1_700_000_000_000 + Int64(number) * 1000, to: "topic")
            #expect(position == RecordPosition(partition: partition, offset: Int64(number)))
        }
        await producer.close()
        #expect(try await admin.offsets([partition: .earliest]) == [partition: 0])
        #expect(try await admin.offsets([partition: .latest]) == [partition: 10])
        #expect(try await admin.offsets([partition: .timestamp(1_700_000_003_500)]) == [partition: 4])
        #expect(try await admin.offsets([partition: .timestamp(1_800_000_000_000)]) == [partition: 10])
        #expect(try await admin.offsets([partition: .maxTimestamp]) == [partition: 9])
        #expect(try await admin.deleteRecords(before: [partition: 6]) == [partition: 6])
        #expect(try await admin.offsets([partition: .earliest]) == [partition: 6])
        // An offset that is no more leads to the first that is.
        let consumer = Consumer(cluster)
        try await consumer.assign([partition: .offset(2)])
        let records = try #require(try await consumer.next())
        var first: Int64?
        try records.forEachRecord { record, _ in
            first = record.offset
            return false
        }
        #expect(first == 6)
        consumer.close()
        cluster.close()
        await broker.remove()
    }
}
