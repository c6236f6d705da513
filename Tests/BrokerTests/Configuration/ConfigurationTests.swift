import Logging
import Store
import Testing

@testable import Broker

@Suite struct ConfigurationTests {
    private func layers(_ text: String) throws -> ConfigurationLayers {
        var layers = ConfigurationLayers()
        try layers.read(text, path: "broker.properties")
        return layers
    }

    private func message(_ body: () throws -> some Any) -> String {
        do {
            _ = try body()
            return "nothing was refused"
        } catch {
            return "\(error)"
        }
    }

    @Test func theDefaultsAreUsable() throws {
        let configuration = try BrokerConfiguration.standard
        #expect(configuration.listeners == [Listener(name: "PLAINTEXT", host: "127.0.0.1", port: 9092)])
        #expect(configuration.topicDefaults == TopicSettings())
        #expect(configuration.queuedRequestBytesMax == 64 << 20)
        #expect(configuration.eventLoopCount == nil)
        #expect(configuration.storeBytesMax == nil)
    }

    @Test func everyDefaultIsAcceptedByItsOwnType() {
        for key in BrokerKeys.all {
            if let value = key.defaultValue { #expect(key.type.accepts(value), "\(key.name)=\(value)") }
            #expect(key.documentation.hasSuffix("."), "\(key.name)")
        }
        for key in TopicKeys.all { #expect(key.type.accepts(key.defaultValue), "\(key.name)=\(key.defaultValue)") }
    }

    @Test func theTopicDefaultsOfTableAndStoreAgree() throws {
        let table = Dictionary(uniqueKeysWithValues: TopicKeys.all.map { ($0.name, $0.defaultValue) })
        #expect(try TopicSettings().overlaid(with: table) == TopicSettings())
    }

    @Test func propertiesAreReadAsKafkaReadsThem() throws {
        let text =
            "# a comment\n! another\n\n num.partitions = 3\nnode.id:7\nlisteners=PLAINTEXT://:9092,\\\n   B://[::1]:0\nbroker.rack zone\\u0020a"
        let properties = try PropertiesFile.parse(text, path: "f")
        #expect(
            properties == [
                .init(name: "num.partitions", value: "3", line: 4), .init(name: "node.id", value: "7", line: 5),
                .init(name: "listeners", value: "PLAINTEXT://:9092,B://[::1]:0", line: 6),
                .init(name: "broker.rack", value: "zone a", line: 8),
            ])
    }

    @Test func twoEscapesAreOneCharacterBeyondTheFirst65536() throws {
        let properties = try PropertiesFile.parse("broker.rack=a\\ud83d\\ude00b", path: "f")
        #expect(properties == [.init(name: "broker.rack", value: "a\u{1F600}b", line: 1)])
    }

    @Test(arguments: ["\\ud83d", "\\ude00", "\\ud83dx", "\\ud83d\\u0041", "\\ude00\\ud83d", "\\u+041", "\\u12"])
    func escapesThatAreNoCharacterAreRefused(_ escape: String) {
        #expect(throws: ConfigurationError.self) { try PropertiesFile.parse("broker.rack=\(escape)", path: "f") }
    }

    @Test func aBadValueIsRefusedWithFileLineKeyAndWhatIsAccepted() {
        let text = message { try layers("\nnum.partitions=many") }
        #expect(text == "broker.properties, line 2: num.partitions=many cannot be used; accepted is an integer of at least 1.")
    }

    @Test(arguments: [
        "num.partitions=0", "compression.type=rar", "auto.create.topics.enable=yes", "message.max.bytes=4294967296",
        "log.cleanup.policy=delete,shred", "log.cleanup.policy=compact, ", "log.cleanup.policy=compact,,delete",
        "log.retention.ms=0", "log.retention.minutes=0", "log.retention.hours=0", "log.retention.hours=-2", "compression.gzip.level=0",
    ])
    func valuesOutsideTheirTypeAreRefused(_ assignment: String) {
        #expect(throws: ConfigurationError.self) {
            var layers = ConfigurationLayers()
            try layers.set(assignment)
        }
    }

    @Test func unknownAndIgnoredKeysAreNamedInWarnings() throws {
        let warnings = try layers("num.partition=3\nlog.index.interval.bytes=1\nwholly.unheard.of=1").warnings
        #expect(warnings.count == 3)
        #expect(warnings[0].contains("did you mean num.partitions?"))
        #expect(warnings[1].contains("log.index.interval.bytes has no effect. Partitions have no segment files"))
        #expect(warnings[2] == "broker.properties, line 3: wholly.unheard.of is not a known key and is ignored.")
    }

    @Test func aliasesAndLaterValuesWin() throws {
        var layers = try layers("broker.id=4\nlog.dir=/a")
        try layers.set("node.id=5")
        let configuration = try BrokerConfiguration(layers)
        #expect(configuration.nodeID == 5)
        #expect(configuration.dataDirectory == "/a")
        #expect(layers.warnings.isEmpty)
    }

    @Test func retentionFallsBackFromMillisecondsToHours() throws {
        func retention(_ text: String) throws -> Int64 { try BrokerConfiguration(layers(text)).topicDefaults.retentionMs }
        #expect(try retention("") == 604_800_000)
        #expect(try retention("log.retention.hours=1") == 3_600_000)
        #expect(try retention("log.retention.hours=1\nlog.retention.minutes=5") == 300_000)
        #expect(try retention("log.retention.minutes=5\nlog.retention.ms=77") == 77)
        #expect(try retention("log.retention.hours=-1") == -1)
        #expect(try retention("log.retention.ms=1") == 1)
    }

    @Test(arguments: [
        ("listeners=127.0.0.1:9092", "is not an address; write NAME://HOST:PORT"),
        ("listeners=SSL://:9092", "is not PLAINTEXT"),
        ("listeners=A://:1,A://:2\nlistener.security.protocol.map=A:PLAINTEXT", "two listeners named A"),
        ("listeners=", "cannot be used"),
        ("advertised.listeners=OTHER://h:1", "names no listener"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:1", "name a host they can reach"),
        ("log.dirs=/a,/b", "names several directories"),
        ("group.max.session.timeout.ms=5000", "group.max.session.timeout.ms=5000 is less than group.min.session.timeout.ms=6000"),
        (
            "group.consumer.max.heartbeat.interval.ms=60000\ngroup.consumer.heartbeat.interval.ms=45000",
            "group.consumer.session.timeout.ms=45000 is not more than group.consumer.heartbeat.interval.ms=45000"
        ),
    ])
    func contradictionsAreRefusedWithAdvice(_ text: String, _ advice: String) {
        #expect(
            message { try BrokerConfiguration(layers(text)) }.contains(advice)
                || (text == "listeners=" && message { try BrokerConfiguration(layers(text)) }.contains("listeners is empty")))
    }

    @Test func clientsAreToldAnAddressTheyCanUse() throws {
        let configuration = try BrokerConfiguration(
            layers(
                "listeners=PLAINTEXT://:0,OUT://0.0.0.0:9093\nlistener.security.protocol.map=OUT:PLAINTEXT\nadvertised.listeners=OUT://broker.example:19093"
            ))
        let first = configuration.advertised(for: configuration.listeners[0], boundPort: 4242, hostName: "here")
        let second = configuration.advertised(for: configuration.listeners[1], boundPort: 9093, hostName: "here")
        #expect(first == Listener(name: "PLAINTEXT", host: "here", port: 4242))
        #expect(second == Listener(name: "OUT", host: "broker.example", port: 19093))
    }

    @Test func dynamicValuesLieOverTheFileAndUnusableOnesAreReported() throws {
        let live = LiveConfiguration(try BrokerConfiguration(layers("num.partitions=2\nnode.id=3")))
        let complaints = live.apply(dynamic: [
            "num.partitions": "4", "3/message.max.bytes": "99", "9/num.partitions": "5", "listeners": "x", "num.partitions2": "1",
        ])
        #expect(live.current.partitionCount == 4)
        #expect(live.current.topicDefaults.maxMessageBytes == 99)
        #expect(complaints.count == 2)
        live.apply(dynamic: [:])
        #expect(live.current.partitionCount == 2)
    }

    @Test func aStoredValueThatCannotBeUsedCostsItsKeyOnly() throws {
        let live = LiveConfiguration(try BrokerConfiguration(layers("log.retention.hours=1")))
        let complaints = live.apply(dynamic: ["log.cleanup.policy": "compact, ,delete", "log.retention.ms": "0", "num.partitions": "4"])
        #expect(complaints.count == 2)
        #expect(complaints.contains { $0.contains("log.cleanup.policy") } && complaints.contains { $0.contains("log.retention.ms=0") })
        #expect(live.current.partitionCount == 4)
        #expect(live.current.topicDefaults.retentionMs == 3_600_000)
        #expect(live.current.topicDefaults.cleanupPolicy == .delete)
    }

    @Test func theLogLevelCanBeAlteredWhileTheBrokerRuns() throws {
        let live = LiveConfiguration(try BrokerConfiguration(layers("lmbroker.log.level=warning")))
        let logger = Logger(label: "test") { _ in ThresholdLogHandler(SwiftLogNoOpLogHandler(), live) }
        #expect(logger.logLevel == .warning)
        live.apply(dynamic: ["lmbroker.log.level": "trace"])
        #expect(logger.logLevel == .trace)
        live.apply(dynamic: [:])
        #expect(logger.logLevel == .warning)
    }

    @Test func storedOverridesOfBrokerAndClusterStayApart() throws {
        let layers = try layers("node.id=3")
        let stored = layers.stored(["a": "1", "3/b": "2", "9/c": "3"], replacing: ["x": "8"], ofBroker: true)
        #expect(stored == ["a": "1", "3/x": "8", "9/c": "3"])
        #expect(layers.stored(stored, replacing: ["y": "9"], ofBroker: false) == ["y": "9", "3/x": "8", "9/c": "3"])
    }
}
