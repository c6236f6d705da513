import KafkaProtocol
import Store
import Testing

@testable import Broker

private let topicResource: Int8 = 2
private let brokerResource: Int8 = 4
private let loggerResource: Int8 = 8

@Suite struct ConfigHandlerTests {
    private func configs(_ client: WireClient, _ type: Int8, _ name: String, keys: [String]? = nil) throws -> [String:
        DescribeConfigsResponse.Config]
    {
        let result = try client.ask(DescribeConfigsRequest([(type, name)], keys: keys)).results[0]
        #expect(result.errorCode == .none, "\(result.errorMessage ?? "")")
        return Dictionary(uniqueKeysWithValues: result.configs.map { ($0.name, $0) })
    }

    private func alter(_ client: WireClient, _ request: IncrementalAlterConfigsRequest) throws -> ErrorCode {
        let answer = try client.ask(request).responses[0]
        #expect((answer.errorMessage == nil) == (answer.errorCode == .none))
        return answer.errorCode
    }

    @Test func everyVersionDescribesTopicsAndBrokers() async throws {
        try await TestBroker.with(["log.retention.hours=1"]) { broker in
            try await broker.createTopic("t", configs: ["segment.index.bytes": "1000"])
            let client = try broker.connect()
            for version in DescribeConfigsRequest.versions {
                let response = try client.ask(DescribeConfigsRequest([(topicResource, "t"), (brokerResource, "1")]), version: version)
                let topic = Dictionary(uniqueKeysWithValues: response.results[0].configs.map { ($0.name, $0) })
                #expect(topic["segment.index.bytes"]?.value == "1000" && topic["segment.index.bytes"]?.configSource == 1)
                #expect(topic["retention.ms"]?.value == "3600000" && topic["retention.ms"]?.configSource == 4)
                #expect(topic["cleanup.policy"]?.configSource == 5)
                #expect(topic["retention.ms"]?.synonyms.map(\.name) == ["log.retention.hours", "log.retention.hours"])
                if version >= 3 {
                    #expect(topic["retention.ms"]?.configType == 5)
                    #expect(topic["segment.index.bytes"]?.documentation?.contains("Without effect here") == true)
                }
                #expect(response.results[1].configs.contains { $0.name == "listeners" && $0.readOnly })
            }
        }
    }

    @Test func onlyTheKeysAskedForAreDescribed() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t")
            let client = try broker.connect()
            #expect(try configs(client, topicResource, "t", keys: ["retention.ms", "nonsense"]).keys.sorted() == ["retention.ms"])
            #expect(try configs(client, topicResource, "t", keys: []).count == TopicKeys.all.count)
        }
    }

    @Test func resourcesThatAreNotThereAreRefusedOneByOne() async throws {
        try await TestBroker.with { broker in
            let asked: [(Int8, String)] = [
                (topicResource, "none"), (topicResource, "a b"), (topicResource, ""), (brokerResource, "9"), (brokerResource, ""),
                (loggerResource, "1"), (99, "x"), (brokerResource, "01"),
            ]
            let results = try broker.connect().ask(DescribeConfigsRequest(asked + asked)).results
            #expect(results.count == asked.count, "what is asked for twice is answered once")
            #expect(
                results.map(\.errorCode) == [
                    .unknownTopicOrPartition, .invalidTopicException, .invalidRequest, .invalidRequest, .none, .none, .invalidRequest, .invalidRequest,
                ])
            #expect(results[5].configs.map(\.value) == ["INFO"])
        }
    }

    @Test func alteringIncrementallyTouchesOnlyWhatIsNamed() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", configs: ["flush.ms": "7", "retention.ms": "9"])
            let client = try broker.connect()
            let steps: [(Int8, String, String?)] = [
                (0, "max.message.bytes", "2000"), (1, "retention.ms", nil), (2, "cleanup.policy", "compact"),
            ]
            #expect(try alter(client, IncrementalAlterConfigsRequest(topicResource, "t", steps, validateOnly: true)) == .none)
            #expect(broker.store.topic(named: "t")?.configs == ["flush.ms": "7", "retention.ms": "9"])
            #expect(try alter(client, IncrementalAlterConfigsRequest(topicResource, "t", steps)) == .none)
            let topic = try #require(broker.store.topic(named: "t"))
            #expect(topic.configs == ["flush.ms": "7", "max.message.bytes": "2000", "cleanup.policy": "delete,compact"])
            #expect(topic.settings.maxMessageBytes == 2000 && topic.settings.retentionMs == 604_800_000)
            #expect(topic.settings.cleanupPolicy == [.delete, .compact])
        }
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        let type: Int8, name: String, operation: Int8, key: String, value: String?, code: ErrorCode
        var testDescription: String { "\(operation) \(key)=\(value ?? "null") of \(type) \(name)" }

        init(_ type: Int8, _ name: String, _ operation: Int8, _ key: String, _ value: String?, _ code: ErrorCode) {
            (self.type, self.name, self.operation, self.key, self.value, self.code) = (type, name, operation, key, value, code)
        }
    }

    @Test(arguments: [
        Refused(topicResource, "t", 0, "no.such.config", "1", .invalidConfig),
        Refused(topicResource, "t", 0, "retention.ms", "never", .invalidConfig),
        Refused(topicResource, "t", 0, "leader.replication.throttled.replicas", String(repeating: "1:1,", count: 2000), .invalidConfig),
        Refused(topicResource, "t", 0, String(repeating: "x", count: 30_000), "1", .invalidConfig),
        Refused(topicResource, "t", 2, "retention.ms", "5", .invalidConfig),
        Refused(topicResource, "t", 0, "retention.ms", nil, .invalidRequest),
        Refused(topicResource, "t", 9, "retention.ms", "5", .invalidRequest),
        Refused(topicResource, "none", 0, "retention.ms", "5", .unknownTopicOrPartition),
        Refused(topicResource, "", 0, "retention.ms", "5", .invalidRequest),
        Refused(brokerResource, "1", 0, "listeners", "x", .invalidRequest),
        Refused(brokerResource, "1", 0, "message.max.bytes", "-1", .invalidConfig),
        Refused(brokerResource, "", 0, "log.retention.ms", "0", .invalidConfig),
        Refused(topicResource, "t", 0, "cleanup.policy", "compact, ", .invalidConfig),
        Refused(brokerResource, "1", 0, "no.such.config", "0", .invalidConfig),
        Refused(brokerResource, "2", 0, "message.max.bytes", "2", .invalidRequest),
        Refused(loggerResource, "1", 0, "root", "DEBUG", .invalidRequest),
    ])
    func whatCannotBeAlteredIsRefusedWhole(_ refused: Refused) async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", configs: ["flush.ms": "7"])
            let client = try broker.connect()
            let bad = (refused.operation, refused.key, refused.value)
            let good: (Int8, String, String?) = (0, refused.type == topicResource ? "segment.ms" : "num.partitions", "3")
            #expect(try alter(client, IncrementalAlterConfigsRequest(refused.type, refused.name, [good, bad])) == refused.code)
            #expect(broker.store.topic(named: "t")?.configs == ["flush.ms": "7"])
            #expect(broker.store.brokerConfigs().isEmpty)
        }
    }

    @Test func whatHasNoEffectOnABrokerIsKeptAndDescribed() async throws {
        for key in KeptKeys.all {
            #expect(BrokerKeys.named[key.name] == nil && IgnoredKeys.reason(for: key.name) != nil, "\(key.name)")
        }
        try await TestBroker.with { broker in
            let client = try broker.connect()
            let steps: [(Int8, String, String?)] = [(0, "log.cleaner.threads", "2"), (0, "log.cleanup.policy", "compact")]
            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "1", steps)) == .none)
            #expect(broker.store.brokerConfigs() == ["1/log.cleaner.threads": "2", "1/log.cleanup.policy": "compact"])
            let described = try configs(client, brokerResource, "1")["log.cleaner.threads"]
            #expect(described?.value == "2" && described?.configSource == 2 && described?.readOnly == false)
            #expect(broker.configuration.apply(dynamic: broker.store.brokerConfigs()) == [])
            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "1", [(0, "log.cleaner.threads", "x")])) == .invalidConfig)
            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "1", [(1, "log.cleaner.threads", nil)])) == .none)
            #expect(try configs(client, brokerResource, "1")["log.cleaner.threads"] == nil)
            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "", [(0, "background.threads", "9")])) == .none)
            #expect(try configs(client, brokerResource, "")["background.threads"]?.configSource == 3)
        }
    }

    @Test func whatMustBeCompactedByThenMayBe() async throws {
        try await TestBroker.with(["log.cleaner.min.compaction.lag.ms=100"]) { broker in
            try await broker.createTopic("t")
            let client = try broker.connect()
            func create(_ name: String, _ configs: [String: String?]) throws -> ErrorCode {
                try client.ask(CreateTopicsRequest([.init(name, configs: configs)])).topics[0].errorCode
            }
            #expect(try create("a", ["min.compaction.lag.ms": "60000", "max.compaction.lag.ms": "1"]) == .invalidConfig)
            #expect(try create("a", ["max.compaction.lag.ms": "99"]) == .invalidConfig)
            #expect(try create("a", ["max.compaction.lag.ms": "100"]) == .none)
            func set(_ name: String, _ value: String?) throws -> ErrorCode {
                try alter(client, IncrementalAlterConfigsRequest(topicResource, "t", [(value == nil ? 1 : 0, name, value)]))
            }
            #expect(try set("max.compaction.lag.ms", "200") == .none)
            #expect(try set("min.compaction.lag.ms", "201") == .invalidConfig)
            #expect(try set("min.compaction.lag.ms", "200") == .none)
            #expect(try set("max.compaction.lag.ms", nil) == .none)
            let older = AlterConfigsRequest(topicResource, "t", ["max.compaction.lag.ms": "99"])
            #expect(try client.ask(older).responses[0].errorCode == .invalidConfig)
        }
    }

    @Test func theOlderCallReplacesAllOverrides() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", configs: ["flush.ms": "7"])
            let client = try broker.connect()
            for version in AlterConfigsRequest.versions {
                let answer = try client.ask(AlterConfigsRequest(topicResource, "t", ["retention.ms": "\(version)"]), version: version)
                #expect(answer.responses.map(\.errorCode) == [.none])
                #expect(broker.store.topic(named: "t")?.configs == ["retention.ms": "\(version)"])
            }
            #expect(
                try client.ask(AlterConfigsRequest(topicResource, "t", ["retention.ms": nil])).responses[0].errorCode == .invalidRequest)
            #expect(try client.ask(AlterConfigsRequest(topicResource, "t", [:], validateOnly: true)).responses[0].errorCode == .none)
            #expect(broker.store.topic(named: "t")?.configs == ["retention.ms": "2"])
            #expect(try client.ask(AlterConfigsRequest(topicResource, "t", [:])).responses[0].errorCode == .none)
            #expect(broker.store.topic(named: "t")?.configs == [:])
        }
    }

    @Test func aDynamicBrokerConfigTakesEffectAtOnceAndShowsItsSource() async throws {
        try await TestBroker.with(["num.partitions=2", "message.max.bytes=5000"]) { broker in
            try await broker.createTopic("t")
            let client = try broker.connect()
            #expect(
                try alter(
                    client,
                    IncrementalAlterConfigsRequest(brokerResource, "", [(0, "message.max.bytes", "6000"), (0, "num.partitions", "3")]))
                    == .none)
            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "1", [(0, "num.partitions", "4")])) == .none)
            #expect(broker.store.topic(named: "t")?.settings.maxMessageBytes == 6000)
            #expect(try client.ask(MetadataRequest(["new"], create: true)).topics[0].partitions.count == 4)
            let partitions = try #require(try configs(client, brokerResource, "1")["num.partitions"])
            #expect(partitions.value == "4" && partitions.configSource == 2)
            #expect(partitions.synonyms.map(\.source) == [2, 3, 4, 5])
            #expect(try configs(client, brokerResource, "").mapValues(\.value) == ["message.max.bytes": "6000", "num.partitions": "3"])
            #expect(try configs(client, topicResource, "t")["max.message.bytes"]?.configSource == 3)

            #expect(try alter(client, IncrementalAlterConfigsRequest(brokerResource, "", [(1, "message.max.bytes", nil)])) == .none)
            #expect(broker.store.topic(named: "t")?.settings.maxMessageBytes == 5000)
            #expect(broker.store.brokerConfigs() == ["num.partitions": "3", "1/num.partitions": "4"])
        }
    }

    @Test func alterationsAtOneTimeAreAllKept() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t")
            let names = ["retention.ms", "flush.ms", "segment.ms", "max.message.bytes", "retention.bytes", "file.delete.delay.ms"]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for name in names {
                    group.addTask {
                        let answer = try broker.connect().ask(IncrementalAlterConfigsRequest(topicResource, "t", [(0, name, "1000")]))
                        #expect(answer.responses[0].errorCode == .none)
                    }
                }
                try await group.waitForAll()
            }
            #expect(broker.store.topic(named: "t")?.configs.keys.sorted() == names.sorted())
        }
    }
}
