import KafkaProtocol
import Synchronization
import Testing

@testable import KafkaClient

/// What a member of a group still has to say when it gives partitions up.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyHandoverTests {
    typealias Kind = LiveGroupTests.Kind

    private func write(_ count: Int, _ cluster: Cluster) async throws {
        let producer = Producer(cluster)
        for number in 0..<count { _ = try await producer.send(key: nil, value: Array("\(number)".utf8), to: "topic", partition: 0) }
        await producer.close()
    }

    /// Where one that is begun while partitions are given up is answered late, it would undo what the next owner commits.
    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func aCommitIsOverBeforeAnotherHasThePartition(kind: Kind) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            let (isReading, isOver) = (Watch(false), Watch(false))
            let member = Mutex<GroupConsumer?>(nil)
            var options = GroupConsumerOptions()
            kind.set(&options)
            (options.heartbeatInterval, options.autoCommitInterval) = (.milliseconds(50), nil)
            options.onRebalance = { rebalance in
                isReading.change { $0 = true }
                guard case .revoked(let partitions) = rebalance, let consumer = member.withLock({ $0 }) else { return }
                let before = consumer.state.withLock { $0.lastCommit }
                Task {
                    try await consumer.commit(Dictionary(uniqueKeysWithValues: partitions.map { ($0, OffsetPosition(offset: 0)) }))
                    isOver.change { $0 = true }
                }
                while consumer.state.withLock({ $0.lastCommit }) == before { await Task.yield() }
            }
            let consumer = GroupConsumer(scene.cluster, group: "group", options: options)
            member.withLock { $0 = consumer }
            try consumer.subscribe(["topic"])
            let reading = Task { while try await consumer.next() != nil {} }
            await isReading.until { $0 }
            let refusal = Fault.refused(.coordinatorLoadInProgress)
            scene.front.plan.change { $0.refusing = [.offsetCommit: .coordinatorLoadInProgress] }
            let next = RunningMember(scene.direct, change: kind)
            try next.run()
            // By then the other would have what it is to have.
            await scene.front.plan.until { $0.count(.offsetCommit, refusal) >= 20 }
            #expect(next.view.value.reads.isEmpty)
            scene.front.plan.change { $0.refusing = [:] }
            await next.view.until { !$0.reads.isEmpty }
            #expect(isOver.value)
            member.withLock { $0 = nil }
            await consumer.close()
            try await reading.value
            try await next.close()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer])
    func closingWaitsNoLongerThanItIsToldForACoordinatorThatDoesNotAnswer(kind: Kind) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            try await write(10, scene.direct)
            let member = RunningMember(scene.cluster) { options in
                kind.set(&options)
                (options.autoCommitInterval, options.closeTimeout) = (.seconds(3600), .seconds(1))
            }
            try member.run()
            await member.view.until { $0.values.count == 10 }
            scene.front.isFrozen.store(true, ordering: .relaxed)
            let begun = ContinuousClock.now
            try await member.close()
            // A request may take half a minute, an operation a whole one.
            #expect(ContinuousClock.now - begun < .seconds(15))
            #expect(member.view.value.rebalances.last == .revoked((0..<3).map { TopicPartition("topic", $0) }))
        }
    }

    /// While `next` asks where to begin, or commits what another is to have.
    @Test(arguments: [Kind.range, .cooperative, .consumer], [ApiKey.offsetFetch, .offsetCommit])
    func closingInTheMiddleOfAHandoverWaitsNoLongerEither(kind: Kind, asked: ApiKey) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            try await write(10, scene.direct)
            scene.front.freezing.withLock { $0 = asked }
            let member = RunningMember(scene.cluster) { options in
                kind.set(&options)
                (options.autoCommitInterval, options.closeTimeout) = (.seconds(3600), .seconds(1))
            }
            try member.run()
            let other = RunningMember(scene.direct, change: kind)
            if asked == .offsetCommit {
                await member.view.until { $0.values.count == 10 }
                try other.run()
            }
            await scene.front.plan.until { $0.requestCounts[asked] != nil }
            let begun = ContinuousClock.now
            try await member.close()
            #expect(ContinuousClock.now - begun < .seconds(15))
            try await other.close()
        }
    }

    @Test(arguments: [Kind.range, .consumer])
    func whoseTaskIsCancelledWhileItAsksWhereToBeginIsToldThatItIsOver(kind: Kind) async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            scene.front.plan.change { $0.refusing = [.offsetFetch: .coordinatorLoadInProgress] }
            var options = GroupConsumerOptions()
            kind.set(&options)
            let consumer = GroupConsumer(scene.cluster, group: "group", options: options)
            try consumer.subscribe(["topic"])
            let reading = Task { try await consumer.next() == nil }
            await scene.front.plan.until { $0.count(.offsetFetch, .refused(.coordinatorLoadInProgress)) >= 3 }
            reading.cancel()
            #expect(try await reading.value)
            // Another task may go on.
            scene.front.plan.change { $0.refusing = [:] }
            try await write(1, scene.direct)
            #expect(try await consumer.next()?.nextOffset == 1)
            await consumer.close()
        }
    }
}
