import KafkaProtocol
import Testing

@testable import Coordinators

/// What groups hold of their members has a limit, and who is in does not pay for strangers.
@Suite struct HeldBytesTests {
    private static var options: GroupOptions {
        var options = GroupOptions()
        options.heldBytesMax = 100_000
        return options
    }

    /// Each connects, joins and is never seen again, as clients may without an id of their own before version 4.
    private func joinStrangers(_ harness: GroupHarness) -> [ErrorCode?] {
        (0..<50).map { number in
            harness.error(harness.join { ($0.groupID, $0.version, $0.protocols) = ("g\(number)", 3, [("range", [UInt8](repeating: 1, count: 10_000))]) })
        }
    }

    @Test func strangersAreRefusedPastTheLimitUntilOthersAreGone() {
        let harness = GroupHarness(Self.options)
        let answers = joinStrangers(harness)
        let count = answers.count { $0 == nil }
        #expect((8...10).contains(count))
        #expect(answers.dropFirst(count).allSatisfy { $0 == .coordinatorNotAvailable })
        #expect(harness.coordinator.groupIDs.count == count)
        #expect(harness.coordinator.environment.held.total < Self.options.heldBytesMax + 12_000)
        // Nor is an id given out that would have to be remembered.
        #expect(harness.error(harness.join { $0.groupID = "other" }) == .coordinatorNotAvailable)
        harness.pass(400_000)
        #expect(harness.coordinator.environment.held.total == 0)
        #expect(harness.error(harness.join { $0.groupID = "other" }) == .memberIDRequired)
    }

    @Test func whoIsInMaySayAsMuchAsBefore() {
        let harness = GroupHarness(Self.options)
        let memberID = harness.settle(1) { $0.protocols = [("range", [1, 2, 3])] }[0]
        #expect(joinStrangers(harness).contains(.coordinatorNotAvailable))
        let longer = harness.join { ($0.memberID, $0.protocols) = (memberID, [("range", [4, 5, 6, 7])]) }
        #expect(harness.error(longer) == .coordinatorNotAvailable)
        #expect(harness.heartbeat(memberID, 1) == ErrorCode.none)
        let asLong = harness.join { ($0.memberID, $0.protocols) = (memberID, [("range", [4, 5, 6])]) }
        #expect(harness.joinAnswer(asLong)?.generationID == 2)
        #expect(harness.error(harness.sync(memberID, 2, [memberID: [1, 2]])) == .coordinatorNotAvailable)
        #expect(harness.error(harness.sync(memberID, 2, [memberID: [1]])) == ErrorCode.none)
    }

    /// However little room others have left, there is some for what the one who has gone was assigned.
    @Test func whoIsLeftTakesOverFromWhoHasGone() {
        let harness = GroupHarness(Self.options)
        let ids = harness.settle(2)
        #expect(harness.leave([(ids[1], nil)])?.members.map(\.errorCode) == [ErrorCode.none])
        #expect(joinStrangers(harness).contains(.coordinatorNotAvailable))
        #expect(harness.joinAnswer(harness.join { $0.memberID = ids[0] })?.generationID == 2)
        #expect(harness.error(harness.sync(ids[0], 2, [ids[0]: [0, 1]])) == ErrorCode.none)
        #expect(harness.coordinator.environment.held.total == harness.coordinator.recountedBytes)
    }

    @Test func aStaticMemberThatLostItsIDIsIn() {
        let harness = GroupHarness(Self.options)
        let first = harness.join { $0.instance = "i" }
        harness.pass(5_000)
        let memberID = harness.joinAnswer(first)?.memberID ?? ""
        #expect(harness.error(harness.sync(memberID, 1, [memberID: [1]])) == ErrorCode.none)
        #expect(joinStrangers(harness).contains(.coordinatorNotAvailable))
        #expect(harness.error(harness.join { $0.instance = "i" }) == ErrorCode.none)
        #expect(harness.error(harness.join { $0.instance = "another" }) == .coordinatorNotAvailable)
        // Who is out is told that, and not to come again as who it was.
        #expect(harness.error(harness.join { $0.memberID = "expired" }) == .unknownMemberID)
        #expect(harness.error(harness.join { ($0.instance, $0.memberID) = ("i", memberID) }) == .fencedInstanceID)
    }

    /// Nor do the others wait for it.
    @Test func whoWasGivenAnIDAndFindsNoRoomIsForgotten() {
        let harness = GroupHarness(Self.options)
        let memberID = harness.joinAnswer(harness.join { $0.groupID = "g" })?.memberID ?? ""
        #expect(!memberID.isEmpty)
        #expect(joinStrangers(harness).contains(.coordinatorNotAvailable))
        #expect(harness.error(harness.join { $0.memberID = memberID }) == .coordinatorNotAvailable)
        #expect(harness.error(harness.join { $0.memberID = memberID }) == .unknownMemberID)
    }

    /// What is known of their patterns is lost with the broker; what they have said is not.
    @Test func membersWithPatternsComeBackToAFullBroker() throws {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 1]), options: Self.options)
        harness.join("a", [], pattern: "t.*")
        for number in 0..<1_000 where harness.coordinator.environment.isFull == false {
            harness.join("s\(number)", (0..<100).map { "u\(number).\($0)" })
        }
        try harness.restart()
        #expect(harness.coordinator.environment.isFull)
        #expect(harness.join("a", [], pattern: "t.*").errorCode == .none)
        #expect(harness.join("a", [], pattern: "u.*").errorCode == .coordinatorNotAvailable)
    }

    @Test func membersOfTheConsumerProtocolCount() {
        var harness = ConsumerHarness(ConsumerTopics(["t1": 10, "t2": 10]), options: Self.options)
        harness.join("a", ["t1"])
        let before = harness.coordinator.environment.held.total
        #expect(before >= HeldBytes.perGroup + HeldBytes.perMember + 10 * HeldBytes.perPartition)
        for number in 0..<1_000 where harness.coordinator.environment.isFull == false { harness.join("s\(number)", nil, pattern: "u\(number)") }
        #expect(harness.coordinator.environment.isFull)
        #expect(harness.join("late", ["t1"]).errorCode == .coordinatorNotAvailable)
        #expect(harness.classicJoin("later", owned: nil).errorCode == .coordinatorNotAvailable)
        // Who is in goes on: as before, with as much, but not with more.
        let epoch = harness.described("a")?.memberEpoch ?? -1
        #expect(harness.beat("a", epoch).errorCode == .none)
        #expect(harness.join("a", ["t2"]).errorCode == .none)
        #expect(harness.join("a", ["t1", "t2"]).errorCode == .coordinatorNotAvailable)
        #expect(harness.join("a", [], pattern: "t").errorCode == .coordinatorNotAvailable)
        harness.wait(60_000)
        #expect(harness.coordinator.environment.held.total == 0)
        #expect(harness.join("late", ["t1"]).errorCode == .none)
    }

    @Test func whatIsLoadedOrLetGoOfIsCounted() throws {
        let harness = GroupHarness()
        _ = harness.settle(2)
        let held = harness.coordinator.environment.held.total
        #expect(held == harness.coordinator.recountedBytes)
        try harness.restart()
        #expect(harness.coordinator.environment.held.total == held)
        _ = harness.coordinator.unload("g", answering: .coordinatorNotAvailable)
        #expect(harness.coordinator.environment.held.total == 0)
    }
}

extension GroupCoordinator {
    /// What groups hold, counted anew.
    var recountedBytes: Int { groups.values.reduce(0) { $0 + $1.recountedBytes } }

    /// How long patterns rest, counted anew.
    var recountedPatternRest: Int { groups.values.reduce(0) { $0 + $1.patternRestMs } }
}

extension GroupKind {
    fileprivate var recountedBytes: Int {
        switch self {
        case .classic(let group):
            let pendingCount = group.pendingMembers.count
            let members = group.members.values.reduce(0) { $0 + $1.byteCount }
            return group.members.isEmpty && pendingCount == 0 ? 0 : HeldBytes.perGroup + pendingCount * HeldBytes.perMember + members + group.assignedBytes
        case .consumer(let group):
            let members = group.members.values.reduce(0) { sum, member in
                let partitionCount = member.holding.assigned.count + member.holding.pendingRevocation.count
                return sum + HeldBytes.perMember + partitionCount * HeldBytes.perPartition + member.profile.byteCount
            }
            return group.members.isEmpty ? 0 : HeldBytes.perGroup + members + group.subscriptions.byteCount
        }
    }
}
