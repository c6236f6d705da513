import KafkaProtocol
import Synchronization
import Testing

@testable import Coordinators

/// What members are subscribed to, and how often it is looked up.
@Suite struct ConsumerSubscriptionTests {
    /// Counts how often a topic is looked up by its name.
    private final class CountingTopics: TopicDirectory {
        private let topics: ConsumerTopics
        private let lookups = Mutex(0)

        init(_ topics: ConsumerTopics) { self.topics = topics }

        var lookupCount: Int { lookups.withLock { $0 } }

        var version: UInt64 { topics.version }
        func topic(id: Uuid) -> TopicFacts? { topics.topic(id: id) }
        func names() -> [String] { topics.names() }

        func topic(named name: String) -> TopicFacts? {
            lookups.withLock { $0 += 1 }
            return topics.topic(named: name)
        }
    }

    @Test func whilePatternsRestHeartbeatsLookNothingUp() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1]))
        harness.join("a", nil, pattern: "t.*")
        // It is too soon for this one.
        harness.topics.create("t2", 1)
        #expect(harness.beat("a", 1).memberEpoch == 1)
        let counting = CountingTopics(harness.topics)
        harness.coordinator.environment.topics = counting
        for _ in 0..<10 { #expect(harness.beat("a", 1).memberEpoch == 1) }
        #expect(counting.lookupCount == 0)
        harness.wait(1_000)
        #expect(harness.named(harness.beat("a", 1)) == ["t1": [0], "t2": [0]])
        #expect(counting.lookupCount > 0)
        let count = counting.lookupCount
        for _ in 0..<10 { #expect(harness.beat("a", 2).memberEpoch == 2) }
        #expect(counting.lookupCount == count)
    }

    @Test func topicsThatGrowAreSeenWhilePatternsRest() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1]))
        harness.join("a", nil, pattern: "t.*")
        harness.topics.create("t2", 1)
        #expect(harness.beat("a", 1).memberEpoch == 1)
        harness.topics.grow("t1", to: 3)
        #expect(harness.named(harness.beat("a", 1)) == ["t1": [0, 1, 2]])
    }

    /// Each of the patterns takes more than half of the steps that all of them may take at a time.
    @Test func patternsThatDoNotAllHaveTheirTurnAtOnceHaveItLater() throws {
        // What is made ready for a name counts, too.
        let costly = "|" + String(repeating: "z{1000}", count: 9)
        var harness = ConsumerHarness(ConsumerTopics(["a1": 1, "b1": 1]))
        harness.join("a", nil, pattern: "a.*" + costly)
        harness.join("b", nil, pattern: "b.*" + costly)
        #expect(harness.beat("a", 1).memberEpoch == 2)
        var topics = harness.topics
        for number in 0..<6_000 { topics.create("n\(number)", 1) }
        topics.create("a2", 1)
        topics.create("b2", 1)
        harness.topics = topics
        try harness.restart()

        #expect(harness.beat("a", 2).memberEpoch == 2)
        #expect(harness.beat("b", 2).memberEpoch == 2)
        // Who joins meanwhile has the group assign anew.
        #expect(harness.join("c", ["n0"]).memberEpoch == 3)
        #expect(harness.described("a")?.targetAssignment.named == ["a1": [0], "a2": [0]])
        #expect(harness.described("b")?.targetAssignment.named == ["b1": [0]])
        // The longer they took, the longer they rest.
        harness.wait(1_000)
        #expect(harness.beat("b", 2).memberEpoch == 3)
        harness.wait(15_000)
        let last = harness.beat("b", 3)
        #expect(last.memberEpoch == 4)
        #expect(harness.named(last) == ["b1": [0], "b2": [0]])
        #expect(harness.named(harness.beat("a", 2)) == ["a1": [0], "a2": [0]])

        // Topics come in every rest, and each pattern has its turn nevertheless.
        for name in ["b3", "b4"] {
            harness.topics.create(name, 1)
            harness.wait(15_000)
            _ = harness.beat("b", 4)
        }
        #expect(harness.described("b")?.targetAssignment.named == ["b1": [0], "b2": [0], "b3": [0], "b4": [0]])
    }

    /// Topics that come and go must not have each pattern that is new looked up a second time, while all groups wait.
    @Test func topicsThatChangeSinceAPatternWasLookedUpAreSeenWhenItHasRested() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1]))
        let request = ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.rebalanceTimeoutMs) = (ConsumerHarness.groupID, "a", 60_000)
            ($0.subscribedTopicRegex, $0.topicPartitions) = ("t.*", [])
        }
        #expect(harness.coordinator.newPattern(in: request) == "t.*")
        let lookup = PatternLookup("t.*", among: harness.topics)
        harness.topics.create("t2", 1)
        let joined = harness.perform({ $0.consumerHeartbeat(request, $1, lookup, at: $2) }, version: 1)
        #expect(joined?.errorCode == ErrorCode.none)
        #expect(harness.described("a")?.assignment.named == ["t1": [0]])
        #expect(harness.coordinator.newPattern(in: request) == nil)
        harness.wait(1_000)
        #expect(harness.named(harness.beat("a", 1)) == ["t1": [0], "t2": [0]])
    }

    /// Another member's heartbeat has seen the topics that a lookup has not.
    @Test func aLookupOlderThanTheGroupsIsHeldAgainstTheNewTopics() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1, "x1": 1]))
        harness.join("a", [], pattern: "x.*")
        let lookup = PatternLookup("t.*", among: harness.topics)
        harness.topics.create("t2", 1)
        harness.wait(1_000)
        harness.beat("a", 1)
        let request = ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.rebalanceTimeoutMs) = (ConsumerHarness.groupID, "b", 60_000)
            ($0.subscribedTopicRegex, $0.topicPartitions) = ("t.*", [])
        }
        let joined = harness.perform({ $0.consumerHeartbeat(request, $1, lookup, at: $2) }, version: 1)
        #expect(joined?.errorCode == ErrorCode.none)
        harness.wait(1_000)
        harness.beat("b", harness.described("b")?.memberEpoch ?? -1)
        #expect(harness.described("b")?.targetAssignment.named == ["t1": [0], "t2": [0]])
    }

    /// Many groups must not add up: what all of them cost makes the patterns of each rest.
    @Test func patternsRestForWhatThoseOfAllGroupsCost() {
        var topics = ConsumerTopics(["a1": 1, "b1": 1])
        for number in 0..<6_000 { topics.create("n\(number)", 1) }
        var coordinator = GroupCoordinator(options: GroupOptions(), topics: topics, random: .seeded(1))
        var now: Int64 = 1_000
        func beat(_ groupID: String, _ epoch: Int32, pattern: String? = nil) -> Int32? {
            let request = ConsumerGroupHeartbeatRequest {
                ($0.groupID, $0.memberID, $0.memberEpoch, $0.subscribedTopicRegex) = (groupID, "m", epoch, pattern)
                if pattern != nil { ($0.rebalanceTimeoutMs, $0.topicPartitions) = (600_000, []) }
            }
            let lookup = coordinator.newPattern(in: request).map { PatternLookup($0, among: topics) }
            let moment = Moment(monotonicMs: now, wallClockMs: now)
            let caller = Caller(token: RequestToken(rawValue: 1), clientID: "client", clientHost: "/127.0.0.1", version: 1)
            guard case .consumerHeartbeat(let answer)? = coordinator.consumerHeartbeat(request, caller, lookup, at: moment).replies.last?.response
            else { return nil }
            #expect(answer.errorCode == .none)
            return answer.memberEpoch
        }
        func create(_ name: String) {
            topics.create(name, 1)
            coordinator.environment.topics = topics
        }
        #expect(beat("cheap", 0, pattern: "b.*") == 1)
        now += 1_000
        create("b2")
        #expect(beat("cheap", 1) == 2, "6,000 names rest for less than a second")
        let own = coordinator.environment.patternRest.total
        for number in 0..<10 { #expect(beat("costly-\(number)", 0, pattern: "a.*|" + String(repeating: "z{1000}", count: 9)) == 1) }
        let rest = Int64(coordinator.environment.patternRest.total / 10)
        #expect(rest > 3_000 && rest < 30_000)
        create("b3")
        now += 3_000
        #expect(beat("cheap", 2) == 2)
        now += rest - 3_000
        #expect(beat("cheap", 2) == 3)
        // They leave, and what they cost is nobody's.
        for number in 0..<10 { #expect(beat("costly-\(number)", -1) == -1) }
        #expect(coordinator.environment.patternRest.total <= own + 1)
        create("b4")
        now += 1_000
        #expect(beat("cheap", 3) == 4)
    }

    /// Who changes to a costly pattern has changed what its group's rest for.
    @Test func aPatternThatComesLaterCountsAsTheFirstDoes() {
        var topics = ConsumerTopics(["a1": 1])
        for number in 0..<6_000 { topics.create("n\(number)", 1) }
        var harness = ConsumerHarness(topics)
        harness.join("a", nil, pattern: "a.*")
        let cheap = harness.coordinator.environment.patternRest.total
        harness.join("b", nil, pattern: "a.*|" + String(repeating: "z{1000}", count: 9))
        #expect(harness.coordinator.environment.patternRest.total > cheap + 3_000)
        #expect(harness.beat("a", 1).memberEpoch == 2)
        harness.topics.create("a2", 1)
        harness.wait(3_000)
        #expect(harness.beat("a", 2).memberEpoch == 2)
        harness.wait(10_000)
        #expect(harness.beat("a", 2).memberEpoch == 3)
    }

    @Test func aPatternThatNobodyLookedUpIsToBeAskedForAgain() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1]))
        let request = ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.rebalanceTimeoutMs) = (ConsumerHarness.groupID, "a", 60_000)
            ($0.subscribedTopicRegex, $0.topicPartitions) = ("t.*", [])
        }
        for lookup in [nil, PatternLookup("u.*", among: harness.topics)] {
            let refused = harness.perform({ $0.consumerHeartbeat(request, $1, lookup, at: $2) }, version: 1)
            #expect(refused?.errorCode == .coordinatorLoadInProgress)
        }
        #expect(harness.coordinator.groupIDs.isEmpty)
    }

    @Test func namesAndPatternsOfAllMembersCount() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1, "u1": 1, "v1": 1]))
        harness.join("a", ["later"], pattern: "t.*")
        harness.join("b", nil, pattern: "t.*")
        harness.join("c", ["u1"], pattern: "t.*|v.*")
        #expect(harness.coordinator.admitOffsetDelete(groupID: ConsumerHarness.groupID).subscribedTopics == ["later", "t1", "u1", "v1"])
    }
}
