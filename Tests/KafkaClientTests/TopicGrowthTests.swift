import KafkaClient
import KafkaProtocol
import NIOCore
import Testing

/// Topics that change under a producer.
@Suite(.timeLimit(.minutes(1)))
struct TopicGrowthTests {
    private func withProducer(
        lookingEvery interval: TimeAmount = .milliseconds(20), _ body: (Producer, ProducerTopic, Admin) async throws -> Void
    ) async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("topic", partitions: 2)
        var options = ProducerOptions()
        options.metadataRefreshInterval = interval
        let producer = Producer(cluster, options: options)
        try await body(producer, try await producer.topic("topic"), Admin(cluster))
        await producer.close()
        cluster.close()
        await broker.remove()
    }

    /// Each key lies where every other client would put it and look for it.
    private func write(_ count: Int, _ producer: Producer, partitions: Int) async throws {
        for number in 0..<count {
            let key = Array("key \(number)".utf8)
            let position = try await producer.send(key: key, value: nil, to: "topic")
            #expect(Int(position.partition.partition) == key.withUnsafeBytes { Murmur2.partition(of: $0, partitionCount: partitions) })
        }
    }

    @Test func keysAreSpreadOverPartitionsThatWereAdded() async throws {
        try await withProducer { producer, topic, admin in
            try await write(20, producer, partitions: 2)
            await #expect(throws: ClientError.self) { try await producer.send(key: nil, value: nil, to: "topic", partition: 4) }
            try await admin.createPartitions(of: "topic", total: 5)
            try await wait(for: 5, in: topic)
            try await write(20, producer, partitions: 5)
            #expect(try await producer.send(key: nil, value: nil, to: "topic", partition: 4).partition.partition == 4)
        }
    }

    @Test func aPartitionThatWasAddedIsWrittenToAtOnce() async throws {
        try await withProducer(lookingEvery: .hours(1)) { producer, _, admin in
            let transactional = TransactionalProducer(producer.cluster, transactionalID: "id")
            try await transactional.initialize()
            try transactional.begin()
            try await transactional.send(key: nil, value: nil, to: "topic", partition: 1)
            try await admin.createPartitions(of: "topic", total: 5)
            #expect(try await producer.send(key: nil, value: nil, to: "topic", partition: 4).partition.partition == 4)
            try await transactional.send(key: nil, value: nil, to: "topic", partition: 4)
            try await transactional.commit()
            await transactional.close()
            await #expect(throws: ClientError.invalid("the topic topic has no partition 5, only 0 to 4")) {
                try await producer.send(key: nil, value: nil, to: "topic", partition: 5)
            }
        }
    }

    @Test func aTopicThatWasMadeAnewWithFewerIsWrittenTo() async throws {
        try await withProducer { producer, topic, admin in
            try await write(20, producer, partitions: 2)
            try await admin.deleteTopic("topic")
            try await admin.createTopic("topic", partitions: 1)
            try await wait(for: 1, in: topic)
            try await write(20, producer, partitions: 1)
            _ = try await producer.send(key: nil, value: nil, to: "topic")
        }
    }

    /// The producer learns of it when it looks, or the suite's time is over.
    private func wait(for partitionCount: Int, in topic: ProducerTopic) async throws {
        while topic.partitionCount != partitionCount {
            try Task.checkCancellation()
            await Task.yield()
        }
    }
}
