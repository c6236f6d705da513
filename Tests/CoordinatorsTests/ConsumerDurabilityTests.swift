import KafkaProtocol
import Testing

@testable import Coordinators

/// A restart of the broker, and what offsets may be committed and read.
@Suite struct ConsumerDurabilityTests {
    private static let group = ConsumerHarness.groupID

    @Test func aRestartChangesNothing() throws {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        harness.join("a", instanceID: "i")
        harness.join("b", nil, pattern: "t+")
        harness.beat("a", 1)
        harness.join("c")
        let before = harness.described
        try harness.restart()
        let after = harness.described
        #expect(after.groupState == before.groupState)
        #expect(after.groupEpoch == before.groupEpoch)
        #expect(after.assignmentEpoch == before.assignmentEpoch)
        #expect(after.members.map { "\($0)" } == before.members.map { "\($0)" })
        // What was under way goes on.
        #expect(harness.beat("b", 2).memberEpoch == 3)
        harness.beat("a", 1, owned: harness.described("a")?.assignment.named)
        #expect(harness.beat("a", 1, owned: harness.described("a")?.assignment.named).memberEpoch == 3)
        #expect(harness.described.groupEpoch == 3)
    }

    @Test func membersGetTheirWholeSessionAfterARestart() throws {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        harness.join("a")
        harness.wait(44_000)
        try harness.restart()
        harness.wait(44_999)
        #expect(harness.described.members.count == 1)
        harness.wait(1)
        #expect(harness.described.members.isEmpty)
        #expect(harness.described.groupState == "Empty")
    }

    @Test func everyStepIsWrittenBeforeItIsTold() throws {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        let first = harness.join("a").memberEpoch
        try harness.restart()
        #expect(harness.described("a")?.memberEpoch == first)
        let second = harness.join("b").memberEpoch
        try harness.restart()
        #expect(harness.described("b")?.memberEpoch == second)
        let kept = harness.named(harness.beat("a", first)) ?? [:]
        try harness.restart()
        #expect(harness.described("a")?.assignment.named == kept)
        #expect(harness.beat("a", first, owned: kept).memberEpoch == second)
        try harness.restart()
        #expect(harness.described("a")?.memberEpoch == second)
        harness.beat("a", -1)
        try harness.restart()
        #expect(harness.beat("a", second).errorCode == .unknownMemberID)
        #expect(harness.described.groupEpoch == second + 1)
    }

    @Test func whatIsDamagedIsNotTakenIn() throws {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        harness.join("a")
        harness.join("b")
        let good = harness.durable
        for key in good.keys {
            harness.durable = good
            harness.durable[key] = [9, 9]
            #expect(throws: GroupStateError.unreadable(key: key)) { try harness.restart() }
            harness.durable = good
            harness.durable[key] = nil
            // A target may be missing: it is computed with the next epoch.
            if key.starts(with: Array("KT".utf8)) { continue }
            #expect(throws: GroupStateError.self) { try harness.restart() }
        }
        // Two members with one partition.
        harness.durable = good
        harness.durable[Array("KCb".utf8)] = good[Array("KCa".utf8)]
        #expect(throws: GroupStateError.incomplete) { try harness.restart() }
    }

    @Test func aDeletedGroupLeavesNothing() {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        harness.join("a")
        #expect(harness.coordinator.delete(Self.group).0 == .nonEmptyGroup)
        harness.beat("a", -1)
        let (code, effects) = harness.coordinator.delete(Self.group)
        #expect(code == .none)
        harness.write(effects)
        #expect(harness.durable.isEmpty)
        #expect(harness.described.errorCode == .groupIDNotFound)
    }

    @Test func offsetsAreCommittedByMembersOfTheEpoch() {
        var harness = ConsumerHarness(ConsumerTopics(["t": 5]))
        harness.join("a")
        func commit(_ memberID: String, _ epoch: Int32, version: Int16 = 9, isTransactional: Bool = false) -> ErrorCode {
            harness.coordinator.admitCommit(
                groupID: Self.group, memberID: memberID, groupInstanceID: nil, generationIDOrMemberEpoch: epoch, version: version,
                isTransactional: isTransactional, at: harness.moment)
        }
        #expect(commit("a", 1) == .none)
        #expect(commit("a", 0) == .staleMemberEpoch)
        #expect(commit("a", 2) == .staleMemberEpoch)
        #expect(commit("b", 1) == .unknownMemberID)
        #expect(commit("", -1) == .unknownMemberID)
        #expect(commit("a", 1, version: 8) == .unsupportedVersion)
        #expect(commit("", -1, isTransactional: true) == .none)
        #expect(commit("a", 1, version: 3, isTransactional: true) == .none)
        // STALE_MEMBER_EPOCH would be the end of the producer.
        #expect(commit("a", 0, version: 5, isTransactional: true) == .illegalGeneration)
        #expect(harness.coordinator.admitFetch(groupID: Self.group, memberID: nil, memberEpoch: -1) == .none)
        #expect(harness.coordinator.admitFetch(groupID: Self.group, memberID: "a", memberEpoch: 1) == .none)
        #expect(harness.coordinator.admitFetch(groupID: Self.group, memberID: "a", memberEpoch: 0) == .staleMemberEpoch)
        #expect(harness.coordinator.admitFetch(groupID: Self.group, memberID: "b", memberEpoch: 1) == .unknownMemberID)
        harness.beat("a", -1)
        #expect(commit("", -1) == .none)
        #expect(commit("a", 1) == .unknownMemberID)
    }

    @Test func listsAndDescriptionsTellTheProtocolsApart() {
        var harness = ConsumerHarness(ConsumerTopics(["t": 2]))
        harness.join("a", pattern: "x")
        #expect(harness.coordinator.list(states: ["stable"], types: ["CONSUMER"]).map(\.groupID) == [Self.group])
        #expect(harness.coordinator.list(states: [], types: ["classic"]).isEmpty)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "Dead")
        #expect(harness.coordinator.describe(Self.group, version: 6).errorCode == .groupIDNotFound)
        let member = harness.described("a")
        #expect(member?.memberType == 1)
        #expect(member?.subscribedTopicNames == ["t"])
        #expect(member?.subscribedTopicRegex == "x")
        #expect(member?.assignment.named == ["t": [0, 1]])
        #expect(member?.targetAssignment.named == ["t": [0, 1]])
        #expect(member?.clientHost == "/127.0.0.1")
    }
}
