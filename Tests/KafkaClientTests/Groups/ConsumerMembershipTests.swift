import KafkaProtocol
import Testing

@testable import KafkaClient

/// One member of the protocol of KIP-848, step by step.
@Suite struct ConsumerMembershipTests {
    private let topicID = Uuid(high: 7, low: 8)

    private func start(_ change: (inout GroupSettings) -> Void = { _ in }) -> GroupMembershipTests.Script {
        var script = GroupMembershipTests.Script {
            $0.protocol = .consumer
            change(&$0)
        }
        script.tell(.subscribe(["topic"]))
        script.answer(.coordinator)
        return script
    }

    private func heartbeat(_ script: GroupMembershipTests.Script) throws -> ConsumerGroupHeartbeatRequest {
        guard case .consumerHeartbeat(let request) = script.asked?.request else { throw ClientError.invalid("asked: \(script.question)") }
        return request
    }

    private func response(epoch: Int32, _ partitions: [Int32]?) -> GroupMembership.Response {
        .consumerHeartbeat(
            ConsumerGroupHeartbeatResponse {
                ($0.memberID, $0.memberEpoch, $0.heartbeatIntervalMs) = ("own-id", epoch, 5_000)
                guard let partitions else { return }
                $0.assignment = ConsumerGroupHeartbeatResponse.Assignment {
                    $0.topicPartitions = [ConsumerGroupHeartbeatResponse.TopicPartitions { ($0.topicID, $0.partitions) = (topicID, partitions) }]
                }
            })
    }

    private func refusal(_ code: ErrorCode) -> GroupMembership.Response {
        .consumerHeartbeat(ConsumerGroupHeartbeatResponse { $0.errorCode = code })
    }

    private func tellTopics(_ script: inout GroupMembershipTests.Script) throws {
        let ticket = try #require(script.lookedUp)
        script.lookedUp = nil
        script.tell(.lookedUp(ticket, .success(["topic": GroupMembership.TopicFacts(id: topicID, partitionCount: 8)])))
    }

    private func names(_ numbers: Int32...) -> Set<TopicPartition> { Set(numbers.map { TopicPartition("topic", $0) }) }

    @Test func aMemberTellsEverythingOnceAndThenOnlyChanges() throws {
        var script = start { $0.serverAssignor = "range" }
        let first = try heartbeat(script)
        #expect(first.memberID == "own-id" && first.memberEpoch == 0 && first.subscribedTopicNames == ["topic"])
        #expect(first.topicPartitions?.isEmpty == true && first.rebalanceTimeoutMs == 300_000 && first.serverAssignor == "range")
        script.answer(response(epoch: 1, [0, 1]))
        #expect(script.handed.isEmpty)
        try tellTopics(&script)
        #expect(script.handed == [.assign(names(0, 1))])
        script.tell(.handedOver)
        let acknowledged = try heartbeat(script)
        #expect(acknowledged.memberEpoch == 1 && acknowledged.topicPartitions?.first?.partitions == [0, 1])
        #expect(acknowledged.subscribedTopicNames == nil && acknowledged.rebalanceTimeoutMs == -1)
        script.answer(response(epoch: 1, nil))
        #expect(script.question == "nothing" && script.membership.nextDeadline == script.now + 5_000)
        script.pass(5_000)
        let idle = try heartbeat(script)
        #expect(idle.topicPartitions == nil && idle.subscribedTopicNames == nil && idle.instanceID == nil)
    }

    @Test func whatIsRevokedIsAcknowledgedAfterItWasGivenUp() throws {
        var script = start()
        script.answer(response(epoch: 1, [0, 1]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.answer(response(epoch: 1, nil))
        script.pass(5_000)
        script.answer(response(epoch: 1, [1]))
        #expect(script.handed.last == .revoke(names(0)))
        // Whoever works on records takes its time; heartbeats go on and tell nothing yet.
        script.pass(5_000)
        #expect(try heartbeat(script).topicPartitions == nil)
        script.answer(response(epoch: 1, nil))
        script.tell(.handedOver)
        #expect(try heartbeat(script).topicPartitions?.first?.partitions == [1])
        script.answer(response(epoch: 2, [1, 5]))
        #expect(script.handed.last == .assign(names(5)))
    }

    @Test(arguments: [ErrorCode.fencedMemberEpoch, .unknownMemberID])
    func afterFencingAllIsLostAndTheMemberJoinsAgain(code: ErrorCode) throws {
        var script = start()
        script.answer(response(epoch: 3, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.answer(refusal(code))
        #expect(script.handed.last == .lose(names(0)) && script.question == "nothing")
        script.tell(.handedOver)
        let again = try heartbeat(script)
        #expect(again.memberEpoch == 0 && again.memberID == "own-id" && again.topicPartitions?.isEmpty == true)
        #expect(again.subscribedTopicNames == ["topic"])
    }

    @Test func afterALostAnswerEverythingIsToldAgain() throws {
        var script = start()
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.lose()
        script.pass(1_000)
        script.answer(.coordinator)
        let again = try heartbeat(script)
        #expect(again.memberEpoch == 1 && again.subscribedTopicNames == ["topic"] && again.topicPartitions?.first?.partitions == [0])
        #expect(script.handed.count == 1)
    }

    /// Who is told that it has none of what it was given gives it to another, while the consumer asks where to begin to read it.
    @Test func whatIsBeingTakenOnIsClaimed() throws {
        var script = start()
        script.answer(response(epoch: 1, [0, 1]))
        try tellTopics(&script)
        #expect(script.handed == [.assign(names(0, 1))])
        script.pass(5_000)
        script.lose()
        script.pass(1_000)
        script.answer(.coordinator)
        #expect(try heartbeat(script).topicPartitions?.first?.partitions == [0, 1])
        script.answer(response(epoch: 1, [1]))
        script.tell(.handedOver)
        #expect(script.handed.last == .revoke(names(0)))
    }

    @Test func aTopicMadeAnewIsAnotherTopic() throws {
        var script = start()
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        let other = Uuid(high: 9, low: 9)
        script.answer(
            .consumerHeartbeat(
                ConsumerGroupHeartbeatResponse {
                    ($0.memberEpoch, $0.heartbeatIntervalMs) = (2, 5_000)
                    $0.assignment = ConsumerGroupHeartbeatResponse.Assignment {
                        $0.topicPartitions = [ConsumerGroupHeartbeatResponse.TopicPartitions { ($0.topicID, $0.partitions) = (other, [0]) }]
                    }
                }))
        // Its name is not known yet; what is held is not the coordinator's any more.
        #expect(script.handed.last == .revoke(names(0)))
        script.tell(.handedOver)
        script.tell(.lookedUp(try #require(script.lookedUp), .success(["topic": .init(id: other, partitionCount: 1)])))
        #expect(script.handed.last == .assign(names(0)))
    }

    @Test func leavingIsToldByTheEpoch() throws {
        for instanceID in [nil, "one"] {
            var script = start { $0.instanceID = instanceID }
            script.answer(response(epoch: 1, [0]))
            try tellTopics(&script)
            script.tell(.handedOver)
            script.tell(.leave)
            #expect(script.handed.last == .revoke(names(0)))
            script.tell(.handedOver)
            #expect(try heartbeat(script).memberEpoch == (instanceID == nil ? -1 : -2))
            script.answer(response(epoch: -1, nil))
            #expect(script.hasLeft)
        }
    }

    @Test func whoLeavesHearsTheEpochToCommitInAndWaitsForNothingMore() throws {
        var script = start()
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        // What is held is told, and the answer is on its way.
        #expect(try heartbeat(script).memberEpoch == 1)
        script.tell(.leave)
        #expect(script.handed.last == .revoke(names(0)))
        script.answer(response(epoch: 2, nil))
        #expect(script.membership.identity.generation == 2)
        script.tell(.handedOver)
        #expect(try heartbeat(script).memberEpoch == -1)
    }

    @Test func whoLeavesAndMissedTheEpochToCommitInAsksForIt() throws {
        var script = start()
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.answer(response(epoch: 1, nil))
        script.tell(.leave)
        #expect(script.handed.last == .revoke(names(0)) && script.question == "nothing")
        script.tell(.commitRefused(.staleMemberEpoch, generation: 1))
        #expect(try heartbeat(script).memberEpoch == 1)
        script.answer(response(epoch: 2, nil))
        #expect(script.membership.identity.generation == 2)
        script.tell(.handedOver)
        #expect(try heartbeat(script).memberEpoch == -1)
    }

    @Test func whoComesBackBeforeItsFarewellWasSaidJoinsAgain() throws {
        var script = start { $0.maxPollIntervalMs = 8_000 }
        script.tell(.polling(true))
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.answer(response(epoch: 1, nil))
        script.tell(.polling(false))
        script.pass(7_999)
        #expect(script.question == "consumer heartbeat")
        script.lose()
        script.pass(2)
        #expect(script.handed.last == .lose(names(0)) && script.question == "nothing")
        script.tell(.polling(true))
        script.tell(.handedOver)
        script.pass(200)
        script.answer(.coordinator)
        let again = try heartbeat(script)
        #expect(again.memberEpoch == 0 && again.memberID == "own-id" && again.topicPartitions?.isEmpty == true)
    }

    @Test func aFarewellThatIsRefusedForAMomentIsSaidAgain() throws {
        var script = start()
        script.answer(response(epoch: 1, [0]))
        try tellTopics(&script)
        script.tell(.handedOver)
        script.tell(.leave)
        script.tell(.handedOver)
        script.answer(refusal(.coordinatorLoadInProgress))
        script.pass(200)
        #expect(!script.hasLeft)
        #expect(try heartbeat(script).memberEpoch == -1)
        script.answer(response(epoch: -1, nil))
        #expect(script.hasLeft)
    }

    @Test func anInstanceIdInUseIsWaitedForAndNotForEver() {
        var script = start { $0.instanceID = "one" }
        script.answer(refusal(.unreleasedInstanceID))
        #expect(script.failure == nil)
        var rounds = 0
        while script.failure == nil, rounds < 500 {
            script.pass(1_000)
            script.answer(refusal(.unreleasedInstanceID))
            rounds += 1
        }
        #expect(script.failure?.code == .unreleasedInstanceID && rounds > 60)
    }
}
