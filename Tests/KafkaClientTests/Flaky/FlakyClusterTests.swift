import KafkaProtocol
import NIOCore
import Synchronization
import Testing

@testable import KafkaClient
@testable import lmbroker

/// A cluster that changes around its clients: coordinators move, partitions lose their leaders.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyClusterTests {
    typealias Kind = LiveGroupTests.Kind

    private static let partitions = (0..<3).map { TopicPartition("topic", $0) }

    /// Writes so many records to each partition.
    private func write(_ count: Int, _ cluster: Cluster) async throws {
        let producer = Producer(cluster)
        for partition in Self.partitions {
            for number in 0..<count {
                let value = Array("\(partition.partition)/\(number)".utf8)
                _ = try await producer.send(key: nil, value: value, to: partition.topic, partition: partition.partition)
            }
        }
        await producer.close()
    }

    private func committed(_ cluster: Cluster) async throws -> [Int64?] {
        let committed = try await Admin(cluster).committedOffsets(of: "group")
        return Self.partitions.map { committed[$0]?.offset }
    }

    /// The broker that was the coordinator is up, and says that it is none.
    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func aCoordinatorThatHasMovedIsFollowed(kind: Kind) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            let other = try await FlakyFront.start(before: scene.broker, seed: 2, keys: [])
            let member = RunningMember(scene.cluster, change: kind)
            try member.run()
            await member.view.until { $0.reads.count == 3 }
            let rebalances = member.view.value.rebalances
            scene.front.view.withLock { $0.coordinator = other.address }
            let coordinated: [ApiKey] = [.joinGroup, .syncGroup, .heartbeat, .leaveGroup, .consumerGroupHeartbeat, .offsetCommit, .offsetFetch]
            scene.front.plan.change { $0.refusing = Dictionary(uniqueKeysWithValues: coordinated.map { ($0, .notCoordinator) }) }
            let heartbeat: ApiKey = kind == .consumer ? .consumerGroupHeartbeat : .heartbeat
            await other.plan.until { $0.requestCounts[heartbeat, default: 0] >= 3 }
            try await write(10, scene.direct)
            await member.view.until { $0.values.count == 30 }
            #expect(member.view.value.rebalances == rebalances)
            try await member.close()
            #expect(try await committed(scene.direct) == [10, 10, 10])
            await other.stop()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func aPartitionWithoutALeaderKeepsNobodyFromTheOthers(kind: Kind) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            scene.front.view.withLock { $0.leaderless = [1] }
            try await write(10, scene.direct)
            let member = RunningMember(scene.cluster, change: kind)
            try member.run()
            await member.view.until { $0.values.count == 20 }
            #expect(member.view.value.rebalances == [.assigned(Self.partitions)])
            #expect(Set(member.consumer.positions.keys) == [Self.partitions[0], Self.partitions[2]])
            scene.front.view.withLock { $0.leaderless = [] }
            await member.view.until { $0.values.count == 30 }
            #expect(Set(member.view.value.values) == Set((0..<3).flatMap { partition in (0..<10).map { "\(partition)/\($0)" } }))
            try await member.close()
            #expect(try await committed(scene.direct) == [10, 10, 10])
        }
    }

    @Test func aPartitionWithoutALeaderKeepsNoReaderFromTheOthers() async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            scene.front.view.withLock { $0.leaderless = [1] }
            try await write(10, scene.direct)
            let consumer = Consumer(scene.cluster)
            let starts = try await consumer.assign(Dictionary(uniqueKeysWithValues: Self.partitions.map { ($0, PartitionPlace.earliest) }))
            #expect(starts == [Self.partitions[0]: 0, Self.partitions[2]: 0])
            let first = try await readOffsets(through: 9, of: [0, 2]) { try await consumer.next() }
            #expect(first[1] == nil)
            scene.front.view.withLock { $0.leaderless = [] }
            let all = try await readOffsets(through: 9, of: [0, 1, 2], after: first) { try await consumer.next() }
            for partition in Int32(0)..<3 { #expect(all[partition] == Array(0..<10), "partition \(partition)") }
            // What is not there is none without a leader.
            await #expect(throws: ClientError.self) { try await consumer.assign([TopicPartition("topic", 7): .earliest]) }
            consumer.close()
        }
    }

    @Test func whatHasNoKeyGoesWhereThereIsALeader() async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            scene.front.view.withLock { $0.leaderless = [1] }
            var options = ProducerOptions()
            options.metadataRefreshInterval = .milliseconds(20)
            let producer = Producer(scene.cluster, options: options)
            _ = try await producer.send(key: nil, value: nil, to: "topic", partition: 0)
            // Each is a batch of its own.
            for _ in 0..<20 { #expect(try await producer.send(key: nil, value: nil, to: "topic").partition != Self.partitions[1]) }
            scene.front.view.withLock { $0.leaderless = [2] }
            // Who asks a third time has heard the answer to the second.
            let count = scene.front.plan.value.requestCounts[.metadata, default: 0]
            await scene.front.plan.until { $0.requestCounts[.metadata, default: 0] >= count + 3 }
            for _ in 0..<20 { #expect(try await producer.send(key: nil, value: nil, to: "topic").partition != Self.partitions[2]) }
            await producer.close()
        }
    }

    @Test func whatHasNoLeaderIsDescribedWithoutOffsets() async throws {
        try await FlakyScene.with(seed: 1, keys: [], operationTimeout: .seconds(5)) { scene in
            scene.front.view.withLock { $0.leaderless = [1] }
            try await write(10, scene.direct)
            let admin = Admin(scene.cluster)
            let topic = try await TopicDetails(try #require(try await admin.topic("topic")), admin, allConfigs: false)
            let cells = topic.lines.map { $0.split(separator: " ").map(String.init) }
            #expect(cells.contains { $0.first == "0" && $0.suffix(3) == ["0", "10", "10"] })
            #expect(cells.contains { $0.prefix(2) == ["1", "none"] && $0.suffix(3) == ["-", "-", "-"] })
            var json: [UInt8] = []
            topic.writeJSON(to: &json)
            #expect(String(decoding: json, as: UTF8.self).contains(#""first_offset":null,"end_offset":null}"#))

            let three = Dictionary(uniqueKeysWithValues: Self.partitions.map { ($0, OffsetPosition(offset: 3)) })
            try await admin.commitOffsets(of: "group", three)
            let group = try await GroupProgress(try #require(try await admin.describeGroup("group")), admin)
            #expect(group.rows.map(\.end) == [10, nil, 10] && group.rows.map(\.lag) == [7, nil, 7])
            #expect(group.partitionLines.contains { $0.split(separator: " ").map(String.init) == ["topic", "1", "3", "-", "-", "-", "-"] })
        }
    }
}
