import KafkaProtocol
import Store
import Testing

@testable import Broker

@Suite struct MetadataTests {
    @Test(arguments: Array(MetadataRequest.versions))
    func aTopicIsFoundByNameInEveryVersion(_ version: Int16) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("found", partitions: 3)
            let response = try broker.connect().ask(MetadataRequest(["found", "missing"]), version: version)
            #expect(response.brokers.map(\.port) == [Int32(broker.port)])
            #expect(response.brokers.map(\.host) == ["127.0.0.1"])
            #expect(response.topics.map(\.name) == ["found", "missing"])
            #expect(response.topics[0].partitions.map(\.partitionIndex) == [0, 1, 2])
            #expect(response.topics[0].partitions.allSatisfy { $0.leaderID == 1 && $0.replicaNodes == [1] && $0.isrNodes == [1] })
            #expect(response.topics[0].topicAuthorizedOperations == .min)
            if version >= 1 { #expect(response.controllerID == 1) }
            if version >= 2 { #expect(response.clusterID == broker.store.clusterID) }
            if version >= 7 { #expect(response.topics[0].partitions[0].leaderEpoch == 0) }
            if version >= 10 { #expect(response.topics[0].topicID == topic.id) }
            // Versions before 4 cannot say that they would rather not have the topic created.
            #expect(response.topics[1].errorCode == (version >= 4 ? .unknownTopicOrPartition : .none))
        }
    }

    @Test func nullTopicsAreAllAndEmptyOnesNone() async throws {
        try await TestBroker.with { broker in
            for name in ["b", "a"] { try await broker.createTopic(name) }
            let client = try broker.connect()
            #expect(try client.ask(MetadataRequest(nil)).topics.map(\.name) == ["a", "b"])
            #expect(try client.ask(MetadataRequest([])).topics.isEmpty)
            #expect(try client.ask(MetadataRequest([]), version: 0).topics.map(\.name) == ["a", "b"])
        }
    }

    @Test func aMissingTopicIsCreatedOnlyWhenBothAgree() async throws {
        try await TestBroker.with(["num.partitions=5"]) { broker in
            let client = try broker.connect()
            #expect(try client.ask(MetadataRequest(["one"], create: false)).topics[0].errorCode == .unknownTopicOrPartition)
            let created = try client.ask(MetadataRequest(["one"], create: true)).topics[0]
            #expect(created.errorCode == .none && created.partitions.count == 5)
            #expect(broker.store.topic(named: "one")?.id == created.topicID)
        }
        try await TestBroker.with(["auto.create.topics.enable=false"]) { broker in
            let client = try broker.connect()
            #expect(try client.ask(MetadataRequest(["one"], create: true)).topics[0].errorCode == .unknownTopicOrPartition)
            #expect(broker.store.topics().isEmpty)
        }
    }

    @Test func anIllegalNameSpoilsNothingElse() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("a.b")
            let names = ["ok", "not ok", "", "..", String(repeating: "n", count: 250), "a_b", "ok"]
            let topics = try broker.connect().ask(MetadataRequest(names, create: true)).topics
            #expect(topics.map(\.errorCode) == [.none] + Array(repeating: .invalidTopicException, count: 5))
            #expect(broker.store.topics().map(\.name) == ["a.b", "ok"])
        }
    }

    @Test func topicsAreFoundByIdAndUnknownIdsSaySo() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("t")
            let unknown = Uuid.random()
            let topics = try broker.connect().ask(MetadataRequest(ids: [topic.id, unknown]), version: 12).topics
            #expect(topics[0].name == "t" && topics[0].errorCode == .none)
            #expect(topics[1].name == nil && topics[1].topicID == unknown && topics[1].errorCode == .unknownTopicID)
        }
    }

    /// Java's client asks by id with an empty name beside it, as Kafka's brokers take no notice of names then.
    @Test func aRequestWithAnIdIsOneByIdsWhateverNamesItHas() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("t")
            try await broker.createTopic("named")
            let unknown = Uuid.random()
            var request = MetadataRequest(ids: [topic.id, topic.id, unknown, Uuid()])
            for (index, name) in ["", "else", "", "named"].enumerated() { request.topics?[index].name = name }
            request.allowAutoTopicCreation = true
            let topics = try broker.connect().ask(request, version: 12).topics
            #expect(topics.map(\.name) == ["t", nil])
            #expect(topics.map(\.topicID) == [topic.id, unknown])
            #expect(topics.map(\.errorCode) == [.none, .unknownTopicID])
            #expect(broker.store.topics().map(\.name) == ["named", "t"])
        }
    }

    @Test func aCatalogTooLargeForTheLoopIsAnsweredWhole() async throws {
        try await TestBroker.with { broker in
            for index in 0..<3 { try await broker.createTopic("wide\(index)", partitions: 2000) }
            var request = MetadataRequest(nil)
            request.includeTopicAuthorizedOperations = true
            let topics = try broker.connect().ask(request).topics
            #expect(topics.map(\.partitions.count) == [2000, 2000, 2000])
            #expect(topics[0].topicAuthorizedOperations == 3576)
        }
    }
}

@Suite struct CreateTopicsTests {
    typealias Topic = CreateTopicsRequest.Topic

    @Test(arguments: Array(CreateTopicsRequest.versions))
    func topicsAreCreatedInEveryVersion(_ version: Int16) async throws {
        try await TestBroker.with(["num.partitions=4"]) { broker in
            let response = try broker.connect().ask(
                CreateTopicsRequest([Topic("one", partitions: 2, replicas: 1, configs: ["retention.ms": "1000"]), Topic("two")]),
                version: version)
            #expect(response.topics.map(\.errorCode) == [.none, .none])
            #expect(broker.store.topic(named: "one")?.partitions.count == 2)
            #expect(broker.store.topic(named: "one")?.settings.retentionMs == 1000)
            #expect(broker.store.topic(named: "two")?.partitions.count == 4)
            guard version >= 5 else { return }
            #expect(response.topics.map(\.numPartitions) == [2, 4])
            #expect(response.topics.map(\.replicationFactor) == [1, 1])
            let configs = try #require(response.topics[0].configs)
            #expect(configs.contains { $0.name == "retention.ms" && $0.value == "1000" && $0.configSource == 1 })
            #expect(configs.allSatisfy { (1...5).contains($0.configSource) })
            if version >= 7 { #expect(response.topics[0].topicID == broker.store.topic(named: "one")?.id) }
        }
    }

    @Test func eachRefusalHasItsCodeAndSpoilsNothingElse() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("taken")
            try await broker.createTopic("a.b")
            let cases: [(Topic, ErrorCode)] = [
                (Topic("good"), .none),
                (Topic("taken"), .topicAlreadyExists),
                (Topic("bad name"), .invalidTopicException),
                (Topic("a_b"), .invalidTopicException),
                (Topic("replicas", replicas: 3), .invalidReplicationFactor),
                (Topic("no-replicas", replicas: 0), .invalidReplicationFactor),
                (Topic("no-partitions", partitions: 0), .invalidPartitions),
                (Topic("too-many", partitions: 2_000_000_000), .invalidPartitions),
                (Topic("assigned", assignments: [[1], [1]]), .none),
                (Topic("assigned-elsewhere", assignments: [[7]]), .invalidReplicaAssignment),
                (Topic("assigned-twice", assignments: [[1, 1]]), .invalidReplicaAssignment),
                (Topic("assigned-nowhere", assignments: [[]]), .invalidReplicaAssignment),
                (Topic("assigned-and-counted", partitions: 1, assignments: [[1]]), .invalidRequest),
                (Topic("config-name", configs: ["retention": "1"]), .invalidConfig),
                (Topic("config-value", configs: ["retention.ms": "soon"]), .invalidConfig),
                (Topic("config-null", configs: ["retention.ms": nil]), .invalidConfig),
                (Topic("x.y"), .none),
                (Topic("x_y"), .invalidTopicException),
            ]
            let response = try broker.connect().ask(CreateTopicsRequest(cases.map(\.0)))
            for (answer, (topic, code)) in zip(response.topics, cases) {
                #expect(answer.name == topic.name)
                #expect(answer.errorCode == code, "\(topic.name): \(answer.errorMessage ?? "")")
                #expect((answer.errorMessage == nil) == (code == .none), "\(topic.name)")
                if code == .none { #expect(answer.configs != nil, "Java's admin client throws without them") }
            }
            #expect(response.topics.count == cases.count)
            #expect(broker.store.topics().map(\.name) == ["a.b", "assigned", "good", "taken", "x.y"])
        }
    }

    @Test func aNameAskedForTwiceIsAnsweredOnceAndNotCreated() async throws {
        try await TestBroker.with { broker in
            let response = try broker.connect().ask(CreateTopicsRequest([Topic("twice"), Topic("once"), Topic("twice")]))
            #expect(response.topics.map(\.name) == ["twice", "once"])
            #expect(response.topics.map(\.errorCode) == [.invalidRequest, .none])
            #expect(broker.store.topics().map(\.name) == ["once"])
        }
    }

    @Test func validatingCreatesNothing() async throws {
        try await TestBroker.with { broker in
            let response = try broker.connect().ask(
                CreateTopicsRequest([Topic("t", partitions: 3), Topic("u", replicas: 2)], validateOnly: true))
            #expect(response.topics.map(\.errorCode) == [.none, .invalidReplicationFactor])
            #expect(response.topics[0].numPartitions == 3 && response.topics[0].topicID.isZero)
            #expect(broker.store.topics().isEmpty)
        }
    }

    @Test func theBrokersLimitOnPartitionsHolds() async throws {
        try await TestBroker.with(["lmbroker.partitions.max=10"]) { broker in
            let client = try broker.connect()
            let codes = try client.ask(
                CreateTopicsRequest([Topic("a", partitions: 6), Topic("b", partitions: 5), Topic("c", partitions: 4)])
            ).topics.map(\.errorCode)
            #expect(codes == [.none, .invalidPartitions, .none])
            #expect(try client.ask(CreatePartitionsRequest("a", total: 7)).results[0].errorCode == .invalidPartitions)
        }
    }
}

@Suite struct TopicChangeTests {
    @Test func topicsAreDeletedByNameAndById() async throws {
        try await TestBroker.with { broker in
            for name in ["a", "b", "c"] { try await broker.createTopic(name) }
            let id = try #require(broker.store.topic(named: "b")).id
            let client = try broker.connect()
            let response = try client.ask(DeleteTopicsRequest(names: ["a", "none"], ids: [id, Uuid.random()]))
            #expect(response.responses.map(\.errorCode) == [.none, .unknownTopicOrPartition, .none, .unknownTopicID])
            #expect(response.responses[2].name == "b")
            #expect(broker.store.topics().map(\.name) == ["c"])
            #expect(try client.ask(DeleteTopicsRequest(names: ["c"]), version: 1).responses.map(\.errorCode) == [.none])
            #expect(broker.store.topics().isEmpty)
        }
    }

    @Test func aTopicNamedTwiceIsNotDeleted() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("a")
            let response = try broker.connect().ask(DeleteTopicsRequest(names: ["a"], ids: [topic.id]))
            #expect(response.responses.map(\.errorCode) == [.invalidRequest, .invalidRequest])
            #expect(broker.store.topic(named: "a") != nil)
        }
    }

    @Test func deletionCanBeSwitchedOff() async throws {
        try await TestBroker.with(["delete.topic.enable=false"]) { broker in
            try await broker.createTopic("a")
            let client = try broker.connect()
            #expect(try client.ask(DeleteTopicsRequest(names: ["a"])).responses[0].errorCode == .topicDeletionDisabled)
            #expect(try client.ask(DeleteTopicsRequest(names: ["a"]), version: 1).responses[0].errorCode == .invalidRequest)
            #expect(broker.store.topics().count == 1)
        }
    }

    @Test func aTopicMadeAgainHasAnotherIdAndNoRecords() async throws {
        try await TestBroker.with { broker in
            let first = try await broker.createTopic("a")
            try await broker.append([1], to: first.partitions[0], timestamp: 5)
            let client = try broker.connect()
            _ = try client.ask(DeleteTopicsRequest(names: ["a"]))
            let made = try client.ask(CreateTopicsRequest([CreateTopicsRequest.Topic("a")])).topics[0]
            #expect(made.errorCode == .none && made.topicID != first.id)
            #expect(broker.store.topic(named: "a")?.partitions[0].highWatermark == 0)
        }
    }

    @Test func partitionsAreAddedAndNeverTakenAway() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("a", partitions: 2)
            let client = try broker.connect()
            func code(_ request: CreatePartitionsRequest) throws -> ErrorCode { try client.ask(request).results[0].errorCode }
            #expect(try code(CreatePartitionsRequest("a", total: 5, validateOnly: true)) == .none)
            #expect(broker.store.topic(named: "a")?.partitions.count == 2)
            #expect(try code(CreatePartitionsRequest("a", total: 3)) == .none)
            #expect(try code(CreatePartitionsRequest("a", total: 5, assignments: [[1], [1]])) == .none)
            #expect(broker.store.topic(named: "a")?.partitions.map(\.index) == [0, 1, 2, 3, 4])
            #expect(try code(CreatePartitionsRequest("a", total: 5)) == .invalidPartitions)
            #expect(try code(CreatePartitionsRequest("a", total: 1)) == .invalidPartitions)
            #expect(try code(CreatePartitionsRequest("a", total: -1)) == .invalidPartitions)
            #expect(try code(CreatePartitionsRequest("a", total: 7, assignments: [[1]])) == .invalidReplicaAssignment)
            #expect(try code(CreatePartitionsRequest("a", total: 6, assignments: [[2]])) == .invalidReplicaAssignment)
            #expect(try code(CreatePartitionsRequest("none", total: 6)) == .unknownTopicOrPartition)
        }
    }

    /// A monitor that looks for groups in them is told so, not shown an empty one.
    @Test func theTopicsThatKafkaKeepsItsStateInAreNotMade() async throws {
        try await TestBroker.with { broker in
            let names = ["__consumer_offsets", "__transaction_state", "other"]
            let answer = try broker.connect().ask(MetadataRequest(names, create: true))
            #expect(answer.topics.map(\.errorCode) == [.unknownTopicOrPartition, .unknownTopicOrPartition, .none])
        }
    }

    @Test func recordsAreDeletedUpToAnOffsetOrTheHighWatermark() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("a", partitions: 2)
            for index in 0..<5 {
                for partition in topic.partitions { try await broker.append([UInt8(index)], to: partition, timestamp: 5) }
            }
            let client = try broker.connect()
            let first = try client.ask(DeleteRecordsRequest("a", [(0, 3), (1, 6), (2, 0)])).topics[0].partitions
            #expect(first.map(\.errorCode) == [.none, .offsetOutOfRange, .unknownTopicOrPartition])
            #expect(first.map(\.lowWatermark) == [3, -1, -1])
            let negative = try client.ask(DeleteRecordsRequest("a", [(1, -2)])).topics[0].partitions
            #expect(negative.map(\.errorCode) == [.offsetOutOfRange] && negative.map(\.lowWatermark) == [-1])
            // What is said last of a partition counts, and is answered once.
            let twice = try client.ask(DeleteRecordsRequest("a", [(1, 6), (0, 1), (1, 2)])).topics[0].partitions
            #expect(twice.map(\.partitionIndex) == [1, 0] && twice.map(\.lowWatermark) == [2, 3])
            // Going back changes nothing and says where the log begins.
            let second = try client.ask(DeleteRecordsRequest("a", [(0, 1), (1, -1)]), version: 0).topics[0].partitions
            #expect(second.map(\.lowWatermark) == [3, 5])
            #expect(topic.partitions.map(\.logStartOffset) == [3, 5])
        }
    }

    @Test(arguments: ["compact", ""])
    func recordsThatNoPolicyDeletesAreNotDeletedByOffset(policy: String) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("a", configs: ["cleanup.policy": policy])
            try await broker.append([1], to: topic.partitions[0], timestamp: 5)
            let answer = try broker.connect().ask(DeleteRecordsRequest("a", [(0, -1)])).topics[0].partitions
            #expect(answer.map(\.errorCode) == [.policyViolation])
            #expect(topic.partitions[0].logStartOffset == 0)
        }
    }
}
