import Synchronization
import Testing

@testable import Store

@Suite struct TopicSettingsTests {
    /// A store may hold what an earlier version accepted. It costs the key that it is the value of, and the operator is told.
    @Test func aValueThatCannotBeUsedCostsItsKeyOnlyAndIsTold() throws {
        let directory = try TemporaryDirectory()
        let warnings = Warnings()
        var options = smallOptions()
        options.onEvent = { warnings.add($0) }
        let configs = ["cleanup.policy": "compact, ", "max.message.bytes": "many", "retention.ms": "-1", "segment.ms": "soon"]
        func check(_ topic: Topic) {
            #expect(topic.settings.cleanupPolicy == .compact)
            #expect(topic.settings.retentionMs == -1)
            #expect(topic.settings.maxMessageBytes == TopicSettings().maxMessageBytes)
            #expect(topic.configs == configs)
            let told = warnings.take()
            #expect(told.count == 2)
            #expect(told.contains { $0.contains("topic 't'") && $0.contains("max.message.bytes") && $0.contains("many") })
            #expect(told.contains { $0.contains("segment.ms") })
        }
        var store = try Store.open(directory: directory.path, options: options)
        check(try store.makeTopic("t", configs: configs))
        store.close()
        store = try Store.open(directory: directory.path, options: options)
        check(try #require(store.topic(named: "t")))
        store.close()
    }

    @Test(
        arguments: [
            ("", []), (" ", []), ("compact", .compact), ("compact, ", .compact), (" delete,, compact", [.delete, .compact]),
        ] as [(String, TopicSettings.CleanupPolicy)])
    func blanksInAPolicyNameNothing(_ value: String, _ policy: TopicSettings.CleanupPolicy) throws {
        #expect(try TopicSettings().overlaid(with: ["cleanup.policy": value]).cleanupPolicy == policy)
    }

    @Test func whatIsNoPolicyIsRefused() {
        #expect(throws: InvalidSetting.self) { try TopicSettings().overlaid(with: ["cleanup.policy": "compact,shred"]) }
    }
}

private final class Warnings: Sendable {
    private let messages = Mutex<[String]>([])

    func add(_ event: StoreEvent) {
        if event.severity == .warning { messages.withLock { $0.append(event.message) } }
    }

    /// Those since the last call.
    func take() -> [String] {
        messages.withLock { messages in
            defer { messages = [] }
            return messages
        }
    }
}
