import KafkaClient
import KafkaProtocol
import Testing

/// Moving about in what is read: seeking, pausing, resuming, against a real broker.
@Suite(.timeLimit(.minutes(2)))
struct ConsumerFlowTests {
    private static let count = 200

    /// A topic of three partitions, each with values 0 to 199, read from the beginning; small fetches, so that there are many.
    private func withConsumer(_ body: (Consumer) async throws -> Void) async throws {
        try await withConsumer { consumer, _ in try await body(consumer) }
    }

    private func withConsumer(_ body: (Consumer, LiveBroker) async throws -> Void) async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        try await writeNumbers(Self.count, to: "t", partitions: 3, cluster)
        var reading = ConsumerOptions()
        reading.bufferByteCountMax = 2_000
        reading.partitionByteCountMax = 600
        let consumer = Consumer(cluster, options: reading)
        try await consumer.assign(Dictionary(uniqueKeysWithValues: (Int32(0)..<3).map { (TopicPartition("t", $0), .earliest) }))
        try await body(consumer, broker)
        consumer.close()
        cluster.close()
        await broker.remove()
    }

    /// Reads until each of these partitions has come to its end; returns all offsets, by partition, in the order in which they came.
    private func readToTheEnd(_ consumer: Consumer, _ partitions: Set<Int32>, after first: [Int32: [Int64]] = [:]) async throws -> [Int32: [Int64]] {
        try await readOffsets(through: Int64(Self.count - 1), of: partitions, after: first) { try await consumer.next() }
    }

    @Test func aPausedPartitionRestsWhileOthersGoOnAndLosesNothing() async throws {
        try await withConsumer { consumer in
            let paused = TopicPartition("t", 0)
            var offsets: [Int32: [Int64]] = [:]
            while offsets[0] == nil, let fetched = try await consumer.next() {
                for record in try fetched.records() { offsets[record.partition.partition, default: []].append(record.offset) }
            }
            try await consumer.pause([paused])
            #expect(consumer.paused == [paused])
            let before = offsets[0]
            offsets = try await readToTheEnd(consumer, [1, 2], after: offsets)
            #expect(offsets[0] == before)
            try await consumer.resume([paused])
            #expect(consumer.paused.isEmpty)
            offsets = try await readToTheEnd(consumer, [0], after: offsets)
            for partition in Int32(0)..<3 { #expect(offsets[partition] == Array(0..<Int64(Self.count)), "partition \(partition)") }
        }
    }

    @Test func aSeekGoesOnElsewhereAndLeavesOthersAlone() async throws {
        try await withConsumer { consumer in
            _ = try await readToTheEnd(consumer, [0, 1, 2])
            #expect(try await consumer.seek(TopicPartition("t", 1), to: .offset(150)) == 150)
            let again = try await readToTheEnd(consumer, [1])
            #expect(again == [1: Array(150..<Int64(Self.count))])

            // One that is paused is moved and stays paused.
            let resting = TopicPartition("t", 2)
            try await consumer.pause([resting])
            #expect(try await consumer.seek(resting, to: .earliest) == 0)
            #expect(consumer.paused == [resting])
            try await consumer.resume([resting])
            #expect(try await readToTheEnd(consumer, [2]) == [2: Array(0..<Int64(Self.count))])
        }
    }

    /// Whoever resumes reading, or goes on at an offset, reads on as soon as the broker is back.
    @Test func aBrokerThatIsAwayCostsNoPartition() async throws {
        try await withConsumer { consumer, broker in
            let first = TopicPartition("t", 0)
            _ = try await readToTheEnd(consumer, [1, 2])
            try await consumer.pause([first])
            #expect(try await consumer.seek(first, to: .offset(100)) == 100)
            await broker.stop()
            try await consumer.resume([first])
            // What has an offset needs no question.
            #expect(try await consumer.seek(TopicPartition("t", 2), to: .offset(190)) == 190)
            try await broker.start()
            let cluster = broker.cluster()
            let producer = Producer(cluster)
            for partition in Int32(0)..<3 { _ = try await producer.send(key: nil, value: [1], to: "t", partition: partition) }
            await producer.close()
            cluster.close()
            let end = Int64(Self.count)
            let read = try await readOffsets(through: end, of: [0, 1, 2]) { try await consumer.next() }
            #expect(read == [0: Array(100...end), 1: [end], 2: Array(190...end)])
        }
    }

    @Test func recordsAreASequence() async throws {
        try await withConsumer { consumer in
            var values: [Int32: [String]] = [:]
            for try await record in consumer.records {
                values[record.partition.partition, default: []].append(String(decoding: record.value ?? [], as: UTF8.self))
                if values.values.map(\.count).reduce(0, +) == 3 * Self.count { break }
            }
            for partition in Int32(0)..<3 { #expect(values[partition] == (0..<Self.count).map(String.init)) }
        }
    }

    @Test func whatLoopsThatAreLeftHaveNotHandedOutComesToOthers() async throws {
        try await withConsumer { consumer in
            var offsets: [Int32: [Int64]] = [:]
            for number in 0..<3 * Self.count {
                // Left at its first record, or after a few of them.
                var left = number % 4
                for try await record in consumer.records {
                    offsets[record.partition.partition, default: []].append(record.offset)
                    left -= 1
                    if left < 0 { break }
                }
                if offsets.values.map(\.count).reduce(0, +) >= 2 * Self.count { break }
            }
            // What is left of the last one comes first to who reads otherwise.
            offsets = try await readToTheEnd(consumer, [0, 1, 2], after: offsets)
            for partition in Int32(0)..<3 { #expect(offsets[partition] == Array(0..<Int64(Self.count)), "partition \(partition)") }
        }
    }

    @Test func aLoopOverRecordsEndsWithItsConsumer() async throws {
        try await withConsumer { consumer in
            var records = consumer.records.makeAsyncIterator()
            _ = try await records.next()
            consumer.close()
            let record = try await records.next()
            #expect(record == nil)
        }
    }

    @Test func aLoopOverRecordsHandsOutNothingOfWhatIsPausedOrReadFromElsewhere() async throws {
        try await withConsumer { consumer in
            let (first, second, end) = (TopicPartition("t", 0), TopicPartition("t", 1), Int64(Self.count - 1))
            var records = consumer.records.makeAsyncIterator()
            var offsets: [Int32: [Int64]] = [:]
            while offsets[0] == nil, let record = try await records.next() {
                offsets[record.partition.partition, default: []].append(record.offset)
            }
            try await consumer.pause([first])
            while offsets[1]?.last != end || offsets[2]?.last != end, let record = try await records.next() {
                offsets[record.partition.partition, default: []].append(record.offset)
            }
            #expect(offsets[0] == [0])
            try await consumer.resume([first])
            while offsets[0]?.last != end, let record = try await records.next() {
                offsets[record.partition.partition, default: []].append(record.offset)
            }
            for partition in Int32(0)..<3 { #expect(offsets[partition] == Array(0..<Int64(Self.count)), "partition \(partition)") }
            var sought: [Int64?] = []
            for offset in [Int64(100), 150] {
                try await consumer.seek(second, to: .offset(offset))
                sought.append(try await records.next()?.offset)
            }
            #expect(sought == [100, 150])
        }
    }

    @Test func whatIsNotAssignedIsNotReadForBeingSought() async throws {
        try await withConsumer { consumer in
            let (first, second) = (TopicPartition("t", 0), TopicPartition("t", 1))
            try await consumer.assign([first: .earliest])
            let refusal = ClientError.invalid("t-1 is not assigned to this consumer")
            await #expect(throws: refusal) { try await consumer.seek(second, to: .earliest) }
            try await consumer.seek(first, to: .offset(190))
            let read = try await readToTheEnd(consumer, [0])
            #expect(read == [0: Array(190..<Int64(Self.count))])
        }
    }
}
