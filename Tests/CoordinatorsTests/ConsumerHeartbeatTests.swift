import KafkaProtocol
import Testing

@testable import Coordinators

/// The rules of ConsumerGroupHeartbeat, one by one.
@Suite struct ConsumerHeartbeatTests {
    private func harness(_ count: Int32 = 6) -> ConsumerHarness { ConsumerHarness(ConsumerTopics(["t": count])) }

    // MARK: - What a request has to say

    @Test func aJoinHasToBeComplete() {
        var harness = harness()
        func refused(_ message: String, version: Int16 = 1, _ set: (inout ConsumerGroupHeartbeatRequest) -> Void) {
            let response = harness.heartbeat(version: version) {
                $0.memberID = "a"
                $0.rebalanceTimeoutMs = 1_000
                $0.subscribedTopicNames = ["t"]
                $0.topicPartitions = []
                set(&$0)
            }
            #expect(response.errorCode == .invalidRequest)
            #expect(response.errorMessage == message)
        }
        refused("MemberId can't be empty.") { $0.memberID = "" }
        refused("GroupId can't be empty.") { $0.groupID = " " }
        refused("InstanceId can't be empty.") { $0.instanceID = "" }
        refused("RackId can't be empty.") { $0.rackID = "" }
        refused("RebalanceTimeoutMs must be provided in first request.") { $0.rebalanceTimeoutMs = -1 }
        refused("TopicPartitions must be empty when (re-)joining.") { $0.topicPartitions = nil }
        refused("TopicPartitions must be empty when (re-)joining.") { $0.topicPartitions = [.init { $0.partitions = [1] }] }
        refused("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.") { $0.subscribedTopicNames = nil }
        refused("MemberEpoch is invalid.") { $0.memberEpoch = -3 }
        refused("InstanceId can't be null.") { $0.memberEpoch = -2 }
        refused("MemberId can't be empty.", version: 0) { ($0.memberID, $0.memberEpoch) = ("", -1) }
        refused("MemberId can't be longer than 200 bytes.") { $0.memberID = String(repeating: "x", count: 201) }
        refused("InstanceId can't be longer than 249 bytes.") { $0.instanceID = String(repeating: "x", count: 250) }
        refused("TopicPartitions can't name more than 262144 topics and partitions.") {
            ($0.memberEpoch, $0.topicPartitions) = (1, [.init { $0.partitions = Array(repeating: 0, count: 1 << 18) }])
        }
        #expect(harness.coordinator.groupIDs.isEmpty)
        #expect(harness.durable.isEmpty)
    }

    @Test func longGroupIDsAndUnknownAssignorsAreRefused() {
        var harness = harness()
        let long = harness.heartbeat {
            ($0.groupID, $0.memberID, $0.rebalanceTimeoutMs) = (String(repeating: "g", count: 256), "a", 1)
            ($0.subscribedTopicNames, $0.topicPartitions) = ([], [])
        }
        #expect(long.errorCode == .invalidGroupID)
        let assignor = harness.heartbeat {
            ($0.memberID, $0.rebalanceTimeoutMs, $0.serverAssignor) = ("a", 1, "lottery")
            ($0.subscribedTopicNames, $0.topicPartitions) = ([], [])
        }
        #expect(assignor.errorCode == .unsupportedAssignor)
        #expect(harness.coordinator.groupIDs.isEmpty)
    }

    /// A client that has lost an answer says everything anew, and is told everything.
    @Test(arguments: [true, false]) func aWholeRequestIsAnsweredInFull(byPattern: Bool) {
        var harness = harness()
        let (names, pattern): ([String]?, String?) = byPattern ? (nil, "t") : (["t"], nil)
        let epoch = harness.join("a", names, pattern: pattern).memberEpoch
        #expect(harness.beat("a", epoch, owned: ["t": [0, 1, 2, 3, 4, 5]]).assignment == nil)
        let topicID = harness.topics.id("t")
        let whole = harness.heartbeat {
            ($0.memberID, $0.memberEpoch, $0.rebalanceTimeoutMs) = ("a", epoch, 60_000)
            ($0.subscribedTopicNames, $0.subscribedTopicRegex) = (names, pattern)
            $0.topicPartitions = [.init { ($0.topicID, $0.partitions) = (topicID, [0, 1, 2, 3, 4, 5]) }]
        }
        #expect(harness.named(whole) == ["t": [0, 1, 2, 3, 4, 5]])
    }

    @Test func theFirstVersionLetsTheBrokerMakeTheMemberID() {
        var harness = harness()
        let response = harness.heartbeat(version: 0) {
            $0.rebalanceTimeoutMs = 1_000
            $0.subscribedTopicNames = ["t"]
            $0.topicPartitions = []
        }
        #expect(response.errorCode == .none)
        let memberID = response.memberID ?? ""
        #expect(memberID.utf8.count > 20)
        #expect(harness.beat(memberID, response.memberEpoch).errorCode == .none)
    }

    // MARK: - Joining and leaving

    @Test func theFirstMemberGetsEverything() {
        var harness = harness()
        let response = harness.join("a")
        #expect(response.errorCode == .none)
        #expect(response.memberID == "a")
        #expect(response.memberEpoch == 1)
        #expect(response.heartbeatIntervalMs == 5_000)
        #expect(harness.named(response) == ["t": [0, 1, 2, 3, 4, 5]])
        #expect(harness.described.groupState == "Stable")
        let next = harness.beat("a", 1)
        #expect(next.memberEpoch == 1)
        #expect(next.assignment == nil)
    }

    @Test func strangersAreToldSo() {
        var harness = harness()
        #expect(harness.beat("a", 1).errorCode == .groupIDNotFound)
        harness.join("a")
        #expect(harness.beat("b", 1).errorCode == .unknownMemberID)
        #expect(harness.beat("b", -1).errorCode == .unknownMemberID)
        #expect(harness.beat("a", 2).errorCode == .fencedMemberEpoch)
        #expect(harness.heartbeat { ($0.memberID, $0.memberEpoch, $0.instanceID) = ("a", 1, "i") }.errorCode == .unknownMemberID)
    }

    @Test func aPartitionGoesToItsNewOwnerWhenTheOldOneHasGivenItUp() {
        var harness = harness()
        harness.join("a")
        let second = harness.join("b")
        #expect(second.memberEpoch == 2)
        #expect(harness.named(second) == [:])
        #expect(harness.described.groupState == "Reconciling")

        // The first is told what it may keep, and stays at its epoch until it says that the rest is gone.
        let told = harness.beat("a", 1)
        #expect(told.memberEpoch == 1)
        let kept = harness.named(told) ?? [:]
        #expect(kept["t"]?.count == 3)
        #expect(harness.beat("a", 1).assignment == nil)
        #expect(harness.beat("a", 1, owned: ["t": [0, 1, 2, 3, 4, 5]]).memberEpoch == 1)
        #expect(harness.beat("b", 2).assignment == nil)

        let moved = harness.beat("a", 1, owned: kept)
        #expect(moved.memberEpoch == 2)
        #expect(moved.assignment == nil)
        let given = harness.named(harness.beat("b", 2)) ?? [:]
        #expect(Set(given["t"] ?? []) == Set(0..<6).subtracting(kept["t"] ?? []))
        #expect(harness.described.groupState == "Stable")
    }

    @Test func whoLeavesFreesItsPartitionsAtOnce() {
        var harness = harness()
        harness.join("a")
        harness.join("b")
        let left = harness.beat("a", -1)
        #expect(left.errorCode == .none)
        #expect(left.memberEpoch == -1)
        #expect(harness.described.groupState == "Assigning")
        #expect(harness.named(harness.beat("b", 2)) == ["t": [0, 1, 2, 3, 4, 5]])
        #expect(harness.beat("b", -1).errorCode == .none)
        #expect(harness.described.groupState == "Empty")
        #expect(harness.coordinator.offsetsExpiry(of: ConsumerHarness.groupID) == .sinceEmpty(wallClockMs: harness.moment.wallClockMs))
    }

    @Test func aFullGroupTakesNoMore() {
        var options = GroupOptions()
        options.consumerSizeMax = 2
        var harness = ConsumerHarness(ConsumerTopics(["t": 4]), options: options)
        harness.join("a", instanceID: "i")
        harness.join("b")
        #expect(harness.join("c").errorCode == .groupMaxSizeReached)
        #expect(harness.join("b").errorCode == .none)
        #expect(harness.heartbeat { ($0.memberID, $0.memberEpoch, $0.instanceID) = ("a", -2, "i") }.errorCode == .none)
        #expect(harness.join("a2", instanceID: "i").errorCode == .none)
        #expect(harness.described.members.count == 2)
    }

    // MARK: - Answers that get lost

    @Test func theEpochBeforeIsGoodWithASubsetOfTheAssignment() {
        var harness = harness()
        harness.join("a")
        harness.join("b")
        let kept = harness.named(harness.beat("a", 1)) ?? [:]
        #expect(harness.beat("a", 1, owned: kept).memberEpoch == 2)
        // The answer is lost: it comes again, and again.
        for _ in 0..<3 {
            let again = harness.beat("a", 1, owned: kept)
            #expect(again.errorCode == .none)
            #expect(again.memberEpoch == 2)
            #expect(harness.named(again) == kept)
        }
        // With something that it does not have any more, or without saying what, it is fenced.
        #expect(harness.beat("a", 1, owned: ["t": [0, 1, 2, 3, 4, 5]]).errorCode == .fencedMemberEpoch)
        #expect(harness.beat("a", 1).errorCode == .fencedMemberEpoch)
        #expect(harness.beat("a", 2).errorCode == .none)
    }

    @Test func whoJoinsAgainBeginsAnew() {
        var harness = harness()
        harness.join("a")
        harness.join("b")
        harness.beat("a", 1)
        // It was to give up three partitions. By joining it says that it has none.
        let again = harness.join("a")
        #expect(again.errorCode == .none)
        #expect(again.memberEpoch == 2)
        #expect(harness.named(again)?["t"]?.count == 3)
        #expect(harness.named(harness.beat("b", 2))?["t"]?.count == 3)
        #expect(harness.described.members.count == 2)
    }

    // MARK: - Time

    @Test func silenceEndsAMembership() {
        var harness = harness()
        harness.join("a")
        harness.join("b")
        for _ in 0..<8 {
            harness.wait(5_000)
            #expect(harness.beat("b", 2).errorCode == .none)
        }
        harness.wait(4_999)
        #expect(harness.described("a") != nil)
        harness.wait(1)
        #expect(harness.beat("a", 1).errorCode == .unknownMemberID)
        #expect(harness.named(harness.beat("b", 2)) == ["t": [0, 1, 2, 3, 4, 5]])
    }

    @Test func whoDoesNotGiveUpInTimeIsFenced() {
        var harness = harness()
        harness.join("a", rebalanceTimeoutMs: 7_000)
        harness.join("b")
        harness.beat("a", 1)
        harness.wait(6_999)
        #expect(harness.beat("a", 1).errorCode == .none)
        harness.wait(1)
        #expect(harness.beat("a", 1).errorCode == .unknownMemberID)
        #expect(harness.named(harness.beat("b", 2))?["t"]?.count == 6)
    }

    @Test func whoGaveUpInTimeIsNotFenced() {
        var harness = harness()
        harness.join("a", rebalanceTimeoutMs: 7_000)
        harness.join("b")
        let kept = harness.named(harness.beat("a", 1)) ?? [:]
        harness.wait(6_000)
        #expect(harness.beat("a", 1, owned: kept).memberEpoch == 2)
        harness.wait(6_000)
        #expect(harness.beat("a", 2).errorCode == .none)
    }

    /// So that a heartbeat does not have all the other members looked at.
    @Test func heartbeatsDoNotMoveTheNextLookAtTheMembers() {
        func nextDeadline(_ harness: ConsumerHarness) -> Int64? {
            if case .consumer(let group) = harness.coordinator.groups[ConsumerHarness.groupID] { group.nextDeadline } else { nil }
        }
        var harness = harness()
        harness.join("a")
        #expect(nextDeadline(harness) == harness.now + 45_000)
        let first = nextDeadline(harness)
        harness.wait(5_000)
        harness.beat("a", 1)
        #expect(nextDeadline(harness) == first)
        harness.wait(40_000)
        #expect(nextDeadline(harness) == harness.now + 5_000)
        harness.wait(4_999)
        #expect(harness.described("a") != nil)
        harness.wait(1)
        #expect(harness.described("a") == nil)
        #expect(nextDeadline(harness) == nil)
    }

    // MARK: - Topics

    @Test func topicsThatChangeAreSeenWithTheNextHeartbeat() {
        var harness = harness()
        harness.join("a", ["t", "later"])
        harness.topics.grow("t", to: 8)
        #expect(harness.named(harness.beat("a", 1)) == ["t": [0, 1, 2, 3, 4, 5, 6, 7]])
        harness.topics.create("later", 1)
        let later = harness.beat("a", 2)
        #expect(later.memberEpoch == 3)
        #expect(harness.named(later)?["later"] == [0])
        harness.topics.create("unrelated", 1)
        #expect(harness.beat("a", 3).memberEpoch == 3)
        let old = harness.topics.id("t")
        harness.topics.delete("t")
        let shrunk = harness.beat("a", 3)
        #expect(harness.named(shrunk) == ["later": [0]])
        #expect(shrunk.memberEpoch == 3)
        #expect(harness.beat("a", 3, owned: ["later": [0]]).memberEpoch == 4)
        harness.topics.create("t", 2)
        let anew = harness.beat("a", 4)
        #expect(anew.assignment?.topicPartitions.contains { $0.topicID == old } == false)
        #expect(harness.named(anew)?["t"] == [0, 1])
    }

    @Test func aSubscriptionCanChange() {
        var harness = ConsumerHarness(ConsumerTopics(["t": 2, "u": 2]))
        harness.join("a", ["t"])
        let changed = harness.heartbeat { ($0.memberID, $0.memberEpoch, $0.subscribedTopicNames) = ("a", 1, ["u"]) }
        #expect(changed.memberEpoch == 1)
        #expect(harness.named(changed) == [:])
        let moved = harness.beat("a", 1, owned: [:])
        #expect(moved.memberEpoch == 2)
        #expect(harness.named(moved) == ["u": [0, 1]])
        #expect(harness.coordinator.admitOffsetDelete(groupID: ConsumerHarness.groupID).subscribedTopics == ["u"])
    }

    @Test func patternsFollowTheTopics() throws {
        var harness = ConsumerHarness(ConsumerTopics(["orders-1": 1, "orders-2": 1, "other": 1]))
        let joined = harness.join("a", nil, pattern: "orders-.*")
        #expect(harness.named(joined) == ["orders-1": [0], "orders-2": [0]])
        harness.topics.create("orders-3", 1)
        harness.topics.create("more-orders-4", 1)
        harness.wait(1_000)
        let grown = harness.beat("a", 1)
        #expect(harness.named(grown)?.keys.sorted() == ["orders-1", "orders-2", "orders-3"])
        try harness.restart()
        #expect(harness.coordinator.admitOffsetDelete(groupID: ConsumerHarness.groupID).subscribedTopics == ["orders-1", "orders-2", "orders-3"])
        #expect(harness.beat("a", grown.memberEpoch).memberEpoch == grown.memberEpoch)
        let none = harness.heartbeat { ($0.memberID, $0.memberEpoch, $0.subscribedTopicRegex, $0.subscribedTopicNames) = ("a", 2, "", ["other"]) }
        #expect(harness.named(none) == [:])
        #expect(harness.named(harness.beat("a", 2, owned: [:])) == ["other": [0]])
        let bad = harness.join("b", nil, pattern: "(")
        #expect(bad.errorCode == .invalidRegularExpression)
        #expect(harness.described.members.count == 1)
    }

    @Test func theMajorityChoosesTheAssignor() {
        var harness = ConsumerHarness(ConsumerTopics(["t": 4]))
        func join(_ memberID: String, _ assignor: String?) {
            harness.heartbeat {
                ($0.memberID, $0.rebalanceTimeoutMs, $0.serverAssignor) = (memberID, 1_000, assignor)
                ($0.subscribedTopicNames, $0.topicPartitions) = (["t"], [])
            }
        }
        join("a", nil)
        #expect(harness.described.assignorName == "uniform")
        join("b", "range")
        #expect(harness.described.assignorName == "range")
        join("c", "uniform")
        #expect(harness.described.assignorName == "uniform")
    }
}
