import KafkaProtocol
import Testing

@testable import KafkaClient

/// Administration through a front that loses connections and refuses: each operation does what it says.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyAdminTests {
    /// Does what cannot be done twice. Where the answer of the first time was lost, the broker may say of the second that it is done
    /// already, which is all that Kafka's own clients say too; without such a loss it is an error.
    private func once(_ key: ApiKey, _ scene: FlakyScene, orElse isDone: (ClientError) -> Bool, _ operation: () async throws -> Void) async throws {
        let before = scene.front.plan.value.hiddenCount(key)
        do {
            try await operation()
        } catch let error as ClientError where isDone(error) {
            #expect(scene.front.plan.value.hiddenCount(key) > before, "\(key): \(error)")
        }
    }

    @Test(arguments: FlakyScene.seeds(2))
    func topicsAreAdministered(seed: UInt64) async throws {
        let keys: [ApiKey] = [
            .createTopics, .createPartitions, .deleteTopics, .describeConfigs, .incrementalAlterConfigs, .metadata, .describeLogDirs,
        ]
        try await FlakyScene.with(seed: seed, keys: keys, topics: []) { scene in
            let admin = Admin(scene.cluster)
            try await scene.untilSpent(keys) { round in
                let name = "topic-\(round)"
                try await once(.createTopics, scene, orElse: { $0.code == .topicAlreadyExists }) {
                    try await admin.createTopic(name, partitions: 2, configs: ["retention.ms": "1000000"])
                }
                #expect(try await scene.cluster.topic(name).partitions.count == 2)
                try await once(.createPartitions, scene, orElse: { $0.code == .invalidPartitions }) {
                    try await admin.createPartitions(of: name, total: 5)
                }
                #expect(try await admin.topic(name)?.partitions.count == 5)
                #expect(try await admin.topics().map(\.name) == [name])
                try await admin.alterConfigs(.topic(name), ["retention.ms": .set("2000000"), "max.message.bytes": .set("5000")])
                let settings = try await admin.describeConfigs(.topic(name)).filter { $0.configSource == 1 }
                #expect(settings.map { "\($0.name)=\($0.value ?? "")" } == ["max.message.bytes=5000", "retention.ms=2000000"])
                let broker = try #require(try await admin.describeCluster().brokers.keys.first)
                #expect(try await admin.logDirectories(of: broker).count == 1)
                try await once(.deleteTopics, scene, orElse: { if case .invalid = $0 { true } else { false } }) { try await admin.deleteTopic(name) }
                #expect(try await Admin(scene.direct).topic(name) == nil)
            }
        }
    }

    @Test(arguments: FlakyScene.seeds(2))
    func offsetsAndGroupsAreAdministered(seed: UInt64) async throws {
        let keys: [ApiKey] = [
            .listOffsets, .deleteRecords, .offsetCommit, .offsetFetch, .offsetDelete, .describeGroups, .consumerGroupDescribe, .listGroups,
            .deleteGroups, .findCoordinator,
        ]
        try await FlakyScene.with(seed: seed, keys: keys, partitions: 2) { scene in
            let admin = Admin(scene.cluster)
            let (one, two) = (TopicPartition("topic", 0), TopicPartition("topic", 1))
            let producer = Producer(scene.direct)
            for number in 0..<200 { try await producer.send("\(number)", partition: Int32(number % 2)) }
            await producer.close()
            try await scene.untilSpent(keys) { round in
                #expect(try await admin.offsets([one: .latest, two: .earliest]).map(\.value).max() == 100)
                let first = Int64(min(round + 1, 99))
                #expect(try await admin.deleteRecords(before: [one: first, two: first]) == [one: first, two: first])
                #expect(try await admin.offsets([one: .earliest, two: .earliest]) == [one: first, two: first])
                let group = "group-\(round)"
                try await admin.commitOffsets(of: group, [one: OffsetPosition(offset: 50), two: OffsetPosition(offset: 60)])
                #expect(try await admin.committedOffsets(of: group).mapValues(\.offset) == [one: 50, two: 60])
                try await admin.deleteOffsets(of: group, [one])
                #expect(try await admin.committedOffsets(of: group).mapValues(\.offset) == [two: 60])
                #expect(try await admin.describeGroup(group)?.state == "Empty")
                #expect(try await admin.groups().map(\.id) == [group])
                try await once(.deleteGroups, scene, orElse: { if case .invalid = $0 { true } else { false } }) { try await admin.deleteGroup(group) }
                #expect(try await Admin(scene.direct).groups().isEmpty)
            }
        }
    }

    @Test(arguments: FlakyScene.seeds(2))
    func transactionsAreAdministered(seed: UInt64) async throws {
        let keys: [ApiKey] = [.listTransactions, .describeTransactions, .describeProducers, .writeTxnMarkers]
        try await FlakyScene.with(seed: seed, keys: keys, partitions: 1) { scene in
            let admin = Admin(scene.cluster)
            let place = TopicPartition("topic", 0)
            try await scene.untilSpent(keys) { round in
                let id = "stuck-\(round)"
                let delivered = Watch(0)
                var options = ProducerOptions()
                options.onDelivery = { delivery in delivered.change { $0 += delivery.recordCount } }
                let producer = TransactionalProducer(scene.direct, transactionalID: id, options: options)
                try await producer.initialize()
                try producer.begin()
                try await producer.send("hangs", partition: 0)
                await delivered.until { $0 == 1 }
                #expect(try await admin.transactions(states: ["Ongoing"]).map(\.id) == [id])
                let described = try #require(try await admin.describeTransaction(id))
                #expect(described.state == "Ongoing" && described.partitions == [place])
                let open = try #require(try await admin.producers(of: place).first { $0.openSince != nil })
                #expect(open.id == described.producerID)
                // The first abort fences the producer, whose epoch the second finds to be an old one.
                try await once(.writeTxnMarkers, scene, orElse: { $0.code == .invalidProducerEpoch }) {
                    try await admin.abortTransaction(of: open, in: place)
                }
                #expect(try await Admin(scene.direct).describeTransaction(id)?.state == "CompleteAbort")
                await producer.close()
            }
        }
    }
}

extension Producer {
    fileprivate func send(_ text: String, partition: Int32) async throws {
        _ = try await send(key: nil, value: Array(text.utf8), to: "topic", partition: partition)
    }
}
