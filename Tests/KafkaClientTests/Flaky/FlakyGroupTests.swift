import KafkaProtocol
import NIOCore
import Testing

@testable import KafkaClient

/// Groups through a front that loses connections and refuses: members come and go, each record is read, and whoever comes next goes
/// on where the group has committed.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyGroupTests {
    typealias Kind = LiveGroupTests.Kind

    private static func keys(_ kind: Kind) -> [ApiKey] {
        let own: [ApiKey] = kind == .consumer ? [.consumerGroupHeartbeat] : [.joinGroup, .syncGroup, .heartbeat, .leaveGroup]
        return own + [.findCoordinator, .offsetCommit, .offsetFetch]
    }

    /// What members are told while the group is between two generations, or epochs.
    private static func errors(_ kind: Kind) -> [ApiKey: [ErrorCode]] {
        let commit: [ErrorCode] = kind == .consumer ? [.staleMemberEpoch] : [.rebalanceInProgress]
        let fetch: [ErrorCode] = kind == .consumer ? [.staleMemberEpoch] : []
        return [
            .offsetCommit: RefusableApi.errors(of: .offsetCommit) + commit,
            .offsetFetch: RefusableApi.errors(of: .offsetFetch) + [.unstableOffsetCommit] + fetch,
        ]
    }

    /// A group whose members read what is written around the front: each value says its partition and offset.
    private final class Readers {
        let scene: FlakyScene
        let kind: Kind
        let seen = Watch<[String]>([])
        var members: [RunningMember] = []
        var count = 0

        init(_ scene: FlakyScene, _ kind: Kind) { (self.scene, self.kind) = (scene, kind) }

        /// - Parameter instanceID: of a static member.
        func come(as instanceID: String? = nil) throws {
            let member = RunningMember(scene.cluster, seen: seen) {
                kind.set(&$0)
                $0.instanceID = instanceID
                $0.sessionTimeout = .seconds(2)
                $0.fetching.fetchWait = .milliseconds(20)
            }
            try member.run()
            members.append(member)
        }

        func write(_ more: Int) async throws {
            let producer = Producer(scene.direct)
            let topic = try await producer.topic("topic")
            for offset in count..<(count + more) {
                for partition in 0..<3 {
                    let isTaken = try Array("\(partition)/\(offset)".utf8).withUnsafeBytes {
                        try topic.enqueue(key: nil, value: $0, partition: Int32(partition))
                    }
                    #expect(isTaken)
                }
            }
            await producer.close()
            count += more
        }

        func readAll() async {
            let wanted = Set((0..<count).flatMap { offset in (0..<3).map { "\($0)/\(offset)" } })
            await seen.until { $0.count >= wanted.count && wanted.isSubset(of: $0) }
        }

        /// - Returns: what the group has committed, by partition.
        func allLeave() async throws -> [Int] {
            let leaving = members
            members = []
            for member in leaving { try await member.close() }
            let committed = try await Admin(scene.direct).committedOffsets(of: "group")
            let offsets = (0..<3).map { Int(committed[TopicPartition("topic", $0)]?.offset ?? 0) }
            // A member that was put out, on a machine that stood still, cannot commit any more.
            let hasLost = leaving.contains { $0.view.value.rebalances.contains { if case .lost = $0 { true } else { false } } }
            if !hasLost { #expect(offsets == [count, count, count]) }
            return offsets
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer], FlakyScene.seeds(1))
    func eachRecordIsReadAndWhatIsCommittedIsGoneOnFrom(kind: Kind, seed: UInt64) async throws {
        let keys = Self.keys(kind)
        try await FlakyScene.with(seed: seed, keys: keys + [.fetch, .listOffsets, .metadata], errors: Self.errors(kind)) { scene in
            let readers = Readers(scene, kind)
            try readers.come()
            try await scene.untilSpent(keys) { _ in
                try readers.come()
                try await readers.write(20)
                await readers.readAll()
                try await readers.members.removeFirst().close()
                try await readers.write(20)
                await readers.readAll()
                let committed = try await readers.allLeave()
                try await readers.write(5)
                try readers.come()
                await readers.readAll()
                let first = try #require(readers.members.first).view.value.values
                for partition in 0..<3 { #expect(first.first { $0.hasPrefix("\(partition)/") } == "\(partition)/\(committed[partition])") }
            }
            _ = try await readers.allLeave()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer], FlakyScene.seeds(1))
    func aStaticMemberComesBackToWhatItHadWithoutTheOtherNoticing(kind: Kind, seed: UInt64) async throws {
        let keys = Self.keys(kind).filter { $0 != .leaveGroup }
        try await FlakyScene.with(seed: seed, keys: keys, errors: Self.errors(kind)) { scene in
            let readers = Readers(scene, kind)
            for name in ["one", "two"] { try readers.come(as: name) }
            var (round, quietCount) = (0, 0)
            func goAndComeBack() async throws {
                let name = round % 2 == 0 ? "one" : "two"
                round += 1
                try await readers.write(20)
                await readers.readAll()
                let leaving = readers.members.removeFirst()
                let had = leaving.view.value.reads
                let other = try #require(readers.members.first)
                let rebalances = other.view.value.rebalances
                try await leaving.close()
                let committed = try await Admin(scene.direct).committedOffsets(of: "group")
                try await readers.write(5)
                try readers.come(as: name)
                await readers.readAll()
                // It may have been away for longer than a session lasts, or have had to join again.
                guard other.view.value.rebalances == rebalances else { return }
                let back = try #require(readers.members.last).view.value
                guard back.rebalances.count == 1, !had.isEmpty else { return }
                quietCount += 1
                #expect(back.reads == had)
                for partition in had {
                    let first = back.values.first { $0.hasPrefix("\(partition.partition)/") }
                    #expect(first == "\(partition.partition)/\(committed[partition]?.offset ?? 0)")
                }
            }
            try await scene.untilSpent(keys) { _ in try await goAndComeBack() }
            while quietCount == 0 { try await goAndComeBack() }
            _ = try await readers.allLeave()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer], FlakyScene.seeds(1))
    func aCommitByHandSucceedsInTheEnd(kind: Kind, seed: UInt64) async throws {
        let keys: [ApiKey] = [.offsetCommit, .offsetFetch, .findCoordinator]
        try await FlakyScene.with(seed: seed, keys: keys, errors: Self.errors(kind)) { scene in
            let readers = Readers(scene, kind)
            try await readers.write(1)
            let partition = TopicPartition("topic", 0)
            try await scene.untilSpent(keys) { round in
                var options = GroupConsumerOptions()
                kind.set(&options)
                (options.autoCommitInterval, options.heartbeatInterval) = (nil, .milliseconds(50))
                let consumer = GroupConsumer(scene.cluster, group: "group-\(round)", options: options)
                try consumer.subscribe(["topic"])
                _ = try await consumer.next()
                let position = OffsetPosition(offset: Int64(round), metadata: "by hand")
                try await consumer.commit([partition: position])
                #expect(try await consumer.committed([partition]) == [partition: position])
                await consumer.close()
                #expect(try await Admin(scene.direct).committedOffsets(of: "group-\(round)") == [partition: position])
            }
        }
    }
}
