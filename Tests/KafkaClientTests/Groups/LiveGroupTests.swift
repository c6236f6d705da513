import ArgumentParser
import KafkaClient
import KafkaProtocol
import Synchronization
import Testing

@testable import lmbroker

/// What a member of a group has seen.
struct MemberView: Sendable {
    var values: [String] = []
    var rebalances: [Rebalance] = []
    var reads: Set<TopicPartition> = []
}

/// A consumer that reads in a task of its own, and what it sees.
final class RunningMember: Sendable {
    let consumer: GroupConsumer
    let view = Watch(MemberView())
    /// What all members that share it have read.
    let seen: Watch<[String]>
    private let task = Mutex<Task<Void, any Error>?>(nil)

    init(
        _ cluster: Cluster, _ group: String = "group", seen: Watch<[String]> = Watch([]), _ change: (inout GroupConsumerOptions) -> Void = { _ in }
    ) {
        self.seen = seen
        var options = GroupConsumerOptions()
        options.heartbeatInterval = .milliseconds(50)
        options.autoCommitInterval = .milliseconds(100)
        options.metadataRefreshInterval = .milliseconds(200)
        change(&options)
        let view = view
        options.onRebalance = { rebalance in
            view.change { view in
                view.rebalances.append(rebalance)
                switch rebalance {
                case .assigned(let partitions): view.reads.formUnion(partitions)
                case .revoked(let partitions), .lost(let partitions): view.reads.subtract(partitions)
                }
            }
        }
        consumer = GroupConsumer(cluster, group: group, options: options)
    }

    func run(_ topics: [String] = ["topic"]) throws {
        try consumer.subscribe(topics)
        let (consumer, view, seen) = (consumer, view, seen)
        task.withLock { task in
            task = Task {
                while let records = try await consumer.next() {
                    var values: [String] = []
                    try records.forEachRecord { record, reader in
                        values.append(String(decoding: reader.array(record.value) ?? [], as: UTF8.self))
                        return true
                    }
                    view.change { [values] in $0.values += values }
                    seen.change { [values] in $0 += values }
                }
            }
        }
    }

    func close() async throws {
        await consumer.close()
        try await task.withLock { $0 }?.value
    }
}

@Suite(.timeLimit(.minutes(2)), .serialized)
struct LiveGroupTests {
    enum Kind: String, CaseIterable, Sendable {
        case range, roundRobin, sticky, cooperative, consumer

        func set(_ options: inout GroupConsumerOptions) {
            switch self {
            case .range: options.assignors = [.range]
            case .roundRobin: options.assignors = [.roundRobin]
            case .sticky: options.assignors = [.sticky]
            case .cooperative: options.assignors = [.cooperativeSticky]
            case .consumer: options.groupProtocol = .consumer
            }
        }
    }

    private static let settings = [
        "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000", "group.consumer.min.heartbeat.interval.ms=50",
        "group.consumer.heartbeat.interval.ms=50",
    ]

    private func withBroker(partitions: Int32 = 4, _ body: (LiveBroker, Cluster) async throws -> Void) async throws {
        let broker = LiveBroker()
        try await broker.start(Self.settings)
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("topic", partitions: partitions)
        do {
            try await body(broker, cluster)
        } catch {
            cluster.close()
            await broker.remove()
            throw error
        }
        cluster.close()
        await broker.remove()
    }

    private func write(_ range: Range<Int>, _ cluster: Cluster, to topic: String = "topic") async throws {
        let producer = Producer(cluster)
        try await withThrowingTaskGroup { group in
            for number in range {
                group.addTask { _ = try await producer.send(key: Array("key \(number)".utf8), value: Array("\(number)".utf8), to: topic) }
            }
            try await group.waitForAll()
        }
        await producer.close()
    }

    private func numbers(_ range: Range<Int>) -> Set<String> { Set(range.map(String.init)) }

    @Test(arguments: Kind.allCases)
    func twoShareAndWhenOneLeavesTheOtherHasAll(kind: Kind) async throws {
        try await withBroker { _, cluster in
            let seen = Watch<[String]>([])
            let one = RunningMember(cluster, seen: seen, change: kind)
            try one.run()
            await one.view.until { $0.reads.count == 4 }
            let two = RunningMember(cluster, seen: seen, change: kind)
            try two.run()
            await two.view.until { $0.reads.count == 2 }
            await one.view.until { $0.reads.count == 2 }
            #expect(one.view.value.reads.isDisjoint(with: two.view.value.reads))
            try await write(0..<200, cluster)
            let wanted = numbers(0..<200)
            await one.view.until { !$0.values.isEmpty }
            await two.view.until { !$0.values.isEmpty }
            await seen.until { Set($0) == wanted }
            try await two.close()
            await one.view.until { $0.reads.count == 4 }
            try await write(200..<300, cluster)
            let more = numbers(200..<300)
            await one.view.until { more.isSubset(of: $0.values) }
            // Nothing failed, so nothing came twice.
            #expect(one.view.value.values.count + two.view.value.values.count == 300)
            try await one.close()
            #expect(!one.view.value.rebalances.contains { if case .lost = $0 { true } else { false } })
        }
    }

    @Test func aCooperativeMemberKeepsReadingWhatItKeeps() async throws {
        for kind in [Kind.cooperative, .consumer] {
            try await withBroker { _, cluster in
                let one = RunningMember(cluster, change: kind)
                try one.run()
                await one.view.until { $0.reads.count == 4 }
                let two = RunningMember(cluster, change: kind)
                try two.run()
                await two.view.until { $0.reads.count == 2 }
                let revoked = one.view.value.rebalances.compactMap { if case .revoked(let partitions) = $0 { partitions } else { nil } }
                #expect(revoked.flatMap { $0 }.count == 2, "\(kind): \(revoked)")
                try await two.close()
                try await one.close()
            }
        }
    }

    @Test(arguments: [Kind.range, .consumer])
    func theNextMemberGoesOnWhereTheLastLeftOff(kind: Kind) async throws {
        try await withBroker(partitions: 1) { _, cluster in
            try await write(0..<100, cluster)
            var options = GroupConsumerOptions()
            kind.set(&options)
            options.autoCommitInterval = .seconds(3600)
            let first = GroupConsumer(cluster, group: "group", options: options)
            try first.subscribe(["topic"])
            var seen = 0
            while seen < 100, let records = try await first.next() {
                try records.forEachRecord { _, _ in
                    seen += 1
                    return true
                }
            }
            // Of the last batch, the caller says that only so much was done.
            first.done(before: 70)
            await first.close()
            let position = try await Admin(cluster).committedOffsets(of: "group")[TopicPartition("topic", 0)]
            #expect(position?.offset == 70 && position?.leaderEpoch == 0)
            let second = RunningMember(cluster, change: kind)
            try second.run()
            await second.view.until { $0.values.count >= 30 }
            try await second.close()
            #expect(second.view.value.values.count == 30)
        }
    }

    @Test func commitsByHandAreKeptAndAutomaticOnesComeByThemselves() async throws {
        try await withBroker(partitions: 1) { _, cluster in
            try await write(0..<10, cluster)
            let partition = TopicPartition("topic", 0)
            var options = GroupConsumerOptions()
            options.autoCommitInterval = nil
            let consumer = GroupConsumer(cluster, group: "by hand", options: options)
            try consumer.subscribe(["topic"])
            _ = try await consumer.next()
            #expect(try await consumer.committed([partition]).isEmpty)
            try await consumer.commit([partition: OffsetPosition(offset: 3, metadata: "mine")])
            #expect(try await consumer.committed([partition]) == [partition: OffsetPosition(offset: 3, metadata: "mine")])
            await consumer.close()
            #expect(try await Admin(cluster).committedOffsets(of: "by hand") == [partition: OffsetPosition(offset: 3, metadata: "mine")])
            let member = RunningMember(cluster, "automatic")
            try member.run()
            await member.view.until { $0.values.count == 10 }
            while try await Admin(cluster).committedOffsets(of: "automatic")[partition]?.offset != 10 {}
            try await member.close()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func aStaticMemberComesBackWithoutARebalance(kind: Kind) async throws {
        try await withBroker { _, cluster in
            func member(_ instance: String) -> RunningMember {
                RunningMember(cluster) {
                    kind.set(&$0)
                    $0.instanceID = instance
                }
            }
            let (one, two) = (member("one"), member("two"))
            try one.run()
            try two.run()
            await one.view.until { $0.reads.count == 2 }
            await two.view.until { $0.reads.count == 2 }
            let (reads, generation, rebalances) = (two.view.value.reads, one.consumer.generation, one.view.value.rebalances.count)
            try await two.close()
            let again = member("two")
            try again.run()
            await again.view.until { $0.reads.count == 2 }
            #expect(again.view.value.reads == reads)
            #expect(one.consumer.generation == generation && one.view.value.rebalances.count == rebalances)
            try await again.close()
            try await one.close()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func aRestartOfTheBrokerIsNoRebalance(kind: Kind) async throws {
        try await withBroker { broker, cluster in
            let seen = Watch<[String]>([])
            let (one, two) = (RunningMember(cluster, seen: seen, change: kind), RunningMember(cluster, seen: seen, change: kind))
            try one.run()
            try two.run()
            await one.view.until { $0.reads.count == 2 }
            await two.view.until { $0.reads.count == 2 }
            let generations = [one.consumer.generation, two.consumer.generation]
            let rebalances = [one.view.value.rebalances, two.view.value.rebalances]
            await broker.stop()
            try await broker.start(Self.settings)
            try await write(0..<100, cluster)
            let wanted = numbers(0..<100)
            await seen.until { Set($0) == wanted }
            #expect([one.consumer.generation, two.consumer.generation] == generations)
            #expect([one.view.value.rebalances, two.view.value.rebalances] == rebalances)
            try await one.close()
            try await two.close()
        }
    }

    @Test(arguments: [Kind.range, .consumer])
    func newPartitionsAreRead(kind: Kind) async throws {
        try await withBroker(partitions: 1) { _, cluster in
            let member = RunningMember(cluster, change: kind)
            try member.run()
            await member.view.until { $0.reads.count == 1 }
            try await Admin(cluster).createPartitions(of: "topic", total: 3)
            await member.view.until { $0.reads.count == 3 }
            try await member.close()
        }
    }

    @Test(arguments: [Kind.range, .consumer])
    func whatComesToAnEmptyPartitionWhileNobodyReadsIsNotSkipped(kind: Kind) async throws {
        try await withBroker { _, cluster in
            func member() -> RunningMember {
                RunningMember(cluster) {
                    kind.set(&$0)
                    $0.offsetReset = .latest
                }
            }
            let first = member()
            try first.run()
            await first.view.until { $0.reads.count == 4 }
            try await first.close()
            try await write(0..<50, cluster)
            let second = member()
            try second.run()
            await second.view.until { $0.values.count == 50 }
            try await second.close()
        }
    }

    @Test func withoutACommitAndWithoutAResetThereIsAnErrorEachTime() async throws {
        try await withBroker { _, cluster in
            var options = GroupConsumerOptions()
            options.offsetReset = .none
            let consumer = GroupConsumer(cluster, group: "group", options: options)
            try consumer.subscribe(["topic"])
            for _ in 0..<2 { await #expect(throws: ClientError.self) { try await consumer.next() } }
            await consumer.close()
        }
    }

    @Test(arguments: [Kind.range, .consumer])
    func groupsAreAdministered(kind: Kind) async throws {
        try await withBroker { _, cluster in
            let admin = Admin(cluster)
            #expect(try await admin.describeGroup("group") == nil)
            let member = RunningMember(cluster, change: kind)
            try member.run()
            await member.view.until { $0.reads.count == 4 }
            let isConsumer = kind == .consumer
            #expect(try await admin.groups().map { [$0.id, $0.type] } == [["group", isConsumer ? "consumer" : "classic"]])
            #expect(try await admin.groups(states: ["stable"]).map(\.state) == ["Stable"])
            #expect(try await admin.groups(types: [isConsumer ? "classic" : "consumer"]).isEmpty)
            let group = try #require(try await admin.describeGroup("group"))
            #expect(group.assignor == (isConsumer ? "uniform" : "range"))
            #expect(group.members.map(\.id) == [member.consumer.memberID])
            #expect(Set(group.members[0].assignment) == member.view.value.reads)
            await #expect(throws: ClientError.self) { try await admin.deleteGroup("group") }
            await #expect(throws: ClientError.self) { try await admin.commitOffsets(of: "group", [TopicPartition("topic", 0): .init(offset: 0)]) }
            try await member.close()
            let one = TopicPartition("topic", 1)
            try await admin.commitOffsets(of: "group", [TopicPartition("topic", 0): OffsetPosition(offset: 0), one: OffsetPosition(offset: 0)])
            try await admin.deleteOffsets(of: "group", [one])
            #expect(try await admin.committedOffsets(of: "group").keys.contains(one) == false)
            try await admin.deleteGroup("group")
            #expect(try await admin.groups().isEmpty)
            await #expect(throws: ClientError.self) { try await admin.deleteGroup("group") }
        }
    }

    @Test func aGroupIsResetByTheCommand() async throws {
        try await withBroker(partitions: 2) { broker, cluster in
            try await write(0..<50, cluster)
            let member = RunningMember(cluster)
            try member.run()
            await member.view.until { $0.values.count == 50 }
            let address = ["--broker", "127.0.0.1:\(broker.port)"]
            // With members it is refused.
            await #expect(throws: (any Error).self) { try await GroupReset.asyncParse(["group", "--all-topics", "--to-earliest"] + address).run() }
            try await member.close()
            let before = try await Admin(cluster).committedOffsets(of: "group").mapValues(\.offset)
            #expect(before.values.reduce(0, +) == 50)
            try await GroupReset.asyncParse(["group", "--all-topics", "--to-earliest", "--dry-run"] + address).run()
            #expect(try await Admin(cluster).committedOffsets(of: "group").mapValues(\.offset) == before)
            try await GroupReset.asyncParse(["group", "--all-topics", "--shift-by", "-1"] + address).run()
            #expect(try await Admin(cluster).committedOffsets(of: "group").mapValues(\.offset) == before.mapValues { max($0 - 1, 0) })
            try await GroupReset.asyncParse(["group", "--topic", "topic:0", "--to-offset", "2"] + address).run()
            #expect(try await Admin(cluster).committedOffsets(of: "group")[TopicPartition("topic", 0)]?.offset == 2)
            try await GroupReset.asyncParse(["group", "--topic", "topic", "--by-duration", "1d"] + address).run()
            let again = RunningMember(cluster)
            try again.run()
            await again.view.until { $0.values.count == 50 }
            try await again.close()
        }
    }
}

extension RunningMember {
    convenience init(_ cluster: Cluster, seen: Watch<[String]> = Watch([]), change kind: LiveGroupTests.Kind) {
        self.init(cluster, seen: seen) { kind.set(&$0) }
    }
}
