import Foundation
import KafkaClient
import KafkaProtocol
import Synchronization
import Testing

// The examples of KafkaClient.docc/GettingStarted.md: each function stands there as it stands here.
func writeReadings(_ cluster: Cluster, sensors: Int) async throws {
    let producer = Producer(cluster)
    try await withThrowingTaskGroup { group in
        for sensor in 0..<sensors {
            group.addTask {
                let position = try await producer.send(
                    key: Array("sensor-\(sensor)".utf8), value: Array("21.\(sensor) degrees".utf8), to: "readings")
                precondition(position.offset >= 0)
            }
        }
        try await group.waitForAll()
    }
    await producer.close()
}

func firstReadings(_ cluster: Cluster, count: Int) async throws -> [String] {
    let consumer = Consumer(cluster)
    defer { consumer.close() }
    let partitions = try await cluster.topic("readings").partitions.map { TopicPartition("readings", $0.index) }
    try await consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, PartitionPlace.earliest) }))
    var found: [String] = []
    for try await record in consumer.records {
        found.append(String(decoding: record.value ?? [], as: UTF8.self))
        if found.count == count { break }
    }
    return found
}

func shareReadings(_ cluster: Cluster, until isEnough: @escaping @Sendable (ConsumedRecord) -> Bool) async throws {
    let consumer = GroupConsumer(cluster, group: "dashboards")
    try consumer.subscribe(["readings"])
    for try await record in consumer.records {
        if isEnough(record) { break }
    }
    await consumer.close()
}

@Suite(.timeLimit(.minutes(2)))
struct GettingStartedTests {
    @Test func theTutorialDoesWhatItSays() async throws {
        let broker = LiveBroker()
        try await broker.start(["group.initial.rebalance.delay.ms=0"])
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("readings", partitions: 4, configs: ["retention.ms": "86400000"])
        try await writeReadings(cluster, sensors: 40)
        let expected = Set((0..<40).map { "21.\($0) degrees" })
        #expect(Set(try await firstReadings(cluster, count: 40)) == expected)

        let seen = Mutex<Set<String>>([])
        try await shareReadings(cluster) { record in
            seen.withLock { seen in
                seen.insert(String(decoding: record.value ?? [], as: UTF8.self))
                return seen.count == expected.count
            }
        }
        #expect(seen.withLock { $0 } == expected)
        cluster.close()
        await broker.remove()
    }

    @Test func theTutorialShowsThisCode() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let article = try String(contentsOf: root.appending(path: "Sources/KafkaClient/KafkaClient.docc/GettingStarted.md"), encoding: .utf8)
        let code = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8)
        let examples = article.components(separatedBy: "```swift\n").dropFirst().compactMap { $0.components(separatedBy: "```").first }
        #expect(examples.count == 4)
        for example in examples where example.hasPrefix("func ") { #expect(code.contains(example), "\(example)") }
    }
}
