import Store
import Testing

@testable import Broker

@Suite struct ConfigurationDescriptionTests {
    private func layers(_ assignments: String...) throws -> ConfigurationLayers {
        var layers = ConfigurationLayers()
        for assignment in assignments { try layers.set(assignment) }
        return layers
    }

    @Test func aTopicConfigShowsWhatItWouldFallBackOn() throws {
        var layers = try layers("log.retention.hours=2")
        layers.setDynamic(["log.retention.ms": "55"])
        let described = layers.describeTopic(overrides: ["retention.ms": "9"], ["retention.ms"])
        #expect(described.count == 1)
        #expect(described[0].value == "9")
        #expect(described[0].source == .topic)
        #expect(
            described[0].synonyms == [
                .init(name: "retention.ms", value: "9", source: .topic),
                .init(name: "log.retention.ms", value: "55", source: .dynamicDefaultBroker),
                .init(name: "log.retention.hours", value: "2", source: .staticBroker),
                .init(name: "log.retention.hours", value: "168", source: .defaultValue),
            ])
    }

    @Test func aTopicInheritsTheBrokersValueInItsOwnUnit() throws {
        let described = try layers("log.retention.hours=2").describeTopic(overrides: [:], ["retention.ms"])
        #expect(described[0].value == "7200000")
        #expect(described[0].source == .staticBroker)
    }

    @Test func everyTopicConfigIsDescribedWithAValueAndASource() {
        let described = ConfigurationLayers().describeTopic(overrides: [:])
        #expect(described.count == TopicKeys.all.count)
        for config in described {
            #expect(config.value != nil && config.source == .defaultValue && !config.synonyms.isEmpty, "\(config.name)")
        }
        #expect(described.map(\.name).contains("segment.bytes"))
    }

    @Test func brokerConfigsSayWhetherTheyCanBeAltered() throws {
        let described = try layers("num.partitions=6").describeBroker(["num.partitions", "listeners", "nothing"])
        #expect(described.map(\.name) == ["listeners", "num.partitions"])
        #expect(described[0].isReadOnly && described[0].source == .defaultValue)
        #expect(!described[1].isReadOnly && described[1].source == .staticBroker && described[1].value == "6")
    }

    @Test func unknownTopicConfigsAreRefusedWithTheNearestName() {
        #expect(
            throws: ConfigurationRefusal(
                kind: .invalidConfig, message: "Unknown topic config name: retention.m. Did you mean retention.ms?")
        ) {
            try AlterableConfigs.topic.validate(["retention.m": "1"]) { _ in nil }
        }
    }

    @Test(arguments: [
        ("retention.ms", "-2"), ("cleanup.policy", "shred"), ("min.insync.replicas", "0"), ("segment.bytes", "x"),
        ("min.cleanable.dirty.ratio", "1.5"), ("cleanup.policy", "compact, "), ("cleanup.policy", "compact, ,delete"),
        ("compression.gzip.level", "0"), ("compression.gzip.level", "10"),
    ])
    func topicValuesOutsideTheirRangeAreInvalid(_ name: String, _ value: String) {
        do {
            try AlterableConfigs.topic.validate([name: value]) { _ in nil }
            Issue.record("\(name)=\(value) was accepted")
        } catch {
            #expect(error.kind == .invalidConfig)
            #expect(error.message.contains(name) && error.message.contains("accepted is"))
        }
    }

    /// What is accepted of a topic is read as it was meant: the two have parsers of their own.
    @Test(arguments: [
        ("cleanup.policy", ""), ("cleanup.policy", " "), ("cleanup.policy", " delete , compact"), ("retention.ms", "0"),
        ("compression.gzip.level", "-1"), ("compression.gzip.level", " 9 "),
    ])
    func whatIsAcceptedOfATopicCanBeUsed(_ name: String, _ value: String) throws {
        try AlterableConfigs.topic.validate([name: value]) { _ in nil }
        _ = try TopicSettings().overlaid(with: [name: value])
    }

    @Test func alterationsFollowKafkasRulesForLists() throws {
        let inherited: (String) -> String? = { $0 == "cleanup.policy" ? "delete" : nil }
        func altered(_ overrides: [String: String], _ steps: ConfigurationAlteration...) throws(ConfigurationRefusal) -> [String: String] {
            try AlterableConfigs.topic.altered(overrides, by: steps, inherited: inherited)
        }
        #expect(try altered([:], .init(.append, "cleanup.policy", "compact")) == ["cleanup.policy": "delete,compact"])
        #expect(try altered([:], .init(.append, "cleanup.policy", "delete")) == ["cleanup.policy": "delete"])
        #expect(
            try altered(["cleanup.policy": "delete,compact"], .init(.subtract, "cleanup.policy", "delete")) == ["cleanup.policy": "compact"]
        )
        #expect(try altered(["retention.ms": "4"], .init(.delete, "retention.ms"), .init(.set, "flush.ms", "3")) == ["flush.ms": "3"])
        #expect(try altered(["flush.ms": "3"], .init(.delete, "no.such.config"), .init(.set, "retention.ms", "4")) == ["flush.ms": "3", "retention.ms": "4"])
        #expect(throws: ConfigurationRefusal.self) { try altered([:], .init(.set, "no.such.config", "4")) }
        #expect(throws: ConfigurationRefusal.self) { try altered([:], .init(.append, "retention.ms", "1")) }
        #expect(throws: ConfigurationRefusal.self) { try altered([:], .init(.append, "cleanup.policy", "shred")) }
        #expect(throws: ConfigurationRefusal.self) { try altered([:], .init(.set, "retention.ms", nil)) }
        #expect(throws: ConfigurationRefusal.self) { try altered([:], .init(.set, "flush.ms", "1"), .init(.delete, "flush.ms")) }
    }

    @Test func onlyDynamicBrokerConfigsCanBeAltered() throws {
        #expect(
            try AlterableConfigs.broker.altered([:], by: [.init(.set, "num.partitions", "3")], inherited: { _ in nil }) == [
                "num.partitions": "3"
            ])
        #expect(throws: ConfigurationRefusal.self) {
            try AlterableConfigs.broker.altered([:], by: [.init(.set, "node.id", "3")], inherited: { _ in nil })
        }
        #expect(throws: ConfigurationRefusal.self) {
            try AlterableConfigs.broker.altered([:], by: [.init(.set, "controller.quorum.voters", "4096")], inherited: { _ in nil })
        }
    }
}
