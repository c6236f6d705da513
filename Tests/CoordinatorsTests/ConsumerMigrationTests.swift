import KafkaProtocol
import Testing

@testable import Coordinators

/// Groups that move between the protocols, and members of the classic one in a group of the new one.
@Suite struct ConsumerMigrationTests {
    private static let group = ConsumerHarness.groupID

    private func harness(_ policy: GroupOptions.MigrationPolicy = .bidirectional) -> ConsumerHarness {
        var options = GroupOptions()
        options.initialRebalanceDelayMs = 0
        options.consumerMigrationPolicy = policy
        return ConsumerHarness(ConsumerTopics(["t": 4]), options: options)
    }

    /// A classic group of one member, which has all partitions in generation 1.
    private func classicGroup(_ policy: GroupOptions.MigrationPolicy = .bidirectional) -> (ConsumerHarness, memberID: String) {
        var harness = harness(policy)
        let memberID = harness.classicJoin("", owned: [:]).memberID
        let joined = harness.classicJoin(memberID, owned: [:])
        #expect(joined.generationID == 1)
        #expect(harness.classicSync(memberID, 1, dividing: [memberID: ["t": [0, 1, 2, 3]]]).owned == ["t": [0, 1, 2, 3]])
        return (harness, memberID)
    }

    @Test func aClassicGroupMovesOverAndItsMemberIsServed() throws {
        var (harness, old) = classicGroup()
        let joined = harness.join("new")
        #expect(joined.errorCode == .none)
        #expect(joined.memberEpoch == 2)
        #expect(harness.named(joined) == [:])
        #expect(harness.durable.keys.allSatisfy { $0.first == UInt8(ascii: "K") })
        #expect(harness.described(old)?.memberType == 0)
        #expect(harness.described(old)?.assignment.named == ["t": [0, 1, 2, 3]])
        try harness.restart()

        // Offsets may still be committed in the generation that it knows.
        let commit = harness.coordinator.admitCommit(
            groupID: Self.group, memberID: old, groupInstanceID: nil, generationIDOrMemberEpoch: 1, version: 8, isTransactional: false, at: harness.moment)
        #expect(commit == .none)
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        // A cooperative member says what it has, and is told what to keep.
        let first = harness.classicJoin(old, owned: ["t": [0, 1, 2, 3]])
        #expect(first.errorCode == .none)
        #expect(first.generationID == 1)
        #expect(first.leader == "")
        #expect(first.members.isEmpty)
        let kept = harness.classicSync(old, 1).owned ?? [:]
        #expect(kept["t"]?.count == 2)
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        let second = harness.classicJoin(old, owned: kept)
        #expect(second.generationID == 2)
        #expect(harness.classicSync(old, 2).owned == kept)
        #expect(harness.classicBeat(old, 2) == .none)
        #expect(harness.named(harness.beat("new", 2))?["t"]?.count == 2)
        #expect(harness.described.groupState == "Stable")
    }

    @Test func anEagerMemberGivesUpEverythingWhenItRejoins() {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        let joined = harness.classicJoin(old, owned: nil)
        #expect(joined.generationID == 2)
        #expect(harness.classicSync(old, 2).owned?["t"]?.count == 2)
        #expect(harness.named(harness.beat("new", 2))?["t"]?.count == 2)
    }

    @Test func whoWaitsInARebalanceIsToldToRejoin() {
        var (harness, old) = classicGroup()
        // A second member makes the group rebalance, and waits for the first.
        let waiting = harness.classicJoin("", owned: [:]).memberID
        let isParked = harness.classicJoinParks(waiting)
        #expect(isParked)
        let joined = harness.join("new")
        #expect(joined.errorCode == .none)
        #expect(harness.lastReplies.contains { $0.errorCode == .rebalanceInProgress })
        #expect(harness.described.members.map(\.memberID).sorted() == [old, "new"].sorted())
        #expect(harness.classicJoin(waiting, owned: [:]).errorCode == .none)
        #expect(harness.described.members.count == 3)
    }

    @Test func theGroupGoesBackWhenOnlyClassicMembersAreLeft() throws {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.beat("new", -1).errorCode == .none)
        #expect(harness.described.errorCode == .groupIDNotFound)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "PreparingRebalance")
        #expect(harness.durable.keys.allSatisfy { $0.first == UInt8(ascii: "C") })
        try harness.restart()
        let joined = harness.classicJoin(old, owned: ["t": [0, 1, 2, 3]])
        #expect(joined.leader == old)
        #expect(joined.generationID > 2)
    }

    @Test func theGroupGoesBackWhenTheLastNewMemberIsFenced() {
        var (harness, old) = classicGroup()
        harness.join("new")
        for _ in 0..<4 {
            harness.wait(10_000)
            harness.classicBeat(old, 1)
            let joined = harness.classicJoin(old, owned: nil)
            harness.classicSync(old, joined.generationID)
        }
        harness.wait(5_000)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "PreparingRebalance")
        #expect(harness.classicBeat(old, 2) == .rebalanceInProgress)
    }

    @Test(arguments: [(GroupOptions.MigrationPolicy.disabled, false, false), (.upgrade, true, false), (.downgrade, false, true)])
    func thePolicySaysWhichWay(policy: GroupOptions.MigrationPolicy, goesUp: Bool, goesDown: Bool) {
        var (harness, _) = classicGroup(policy)
        #expect(harness.join("new").errorCode == (goesUp ? .none : .groupIDNotFound))
        #expect(harness.described.errorCode == (goesUp ? .none : .groupIDNotFound))

        // A group of the new protocol lets classic members in under any policy, and keeps them.
        var other = self.harness(policy)
        other.join("new")
        let memberID = other.classicJoin("", owned: [:]).memberID
        #expect(other.classicJoin(memberID, owned: [:]).errorCode == .none)
        other.beat("new", -1)
        #expect(other.described.errorCode == (goesDown ? .groupIDNotFound : .none))
    }

    @Test func aGroupThatIsNoGroupOfConsumersStaysWhatItIs() {
        var harness = harness()
        let memberID = harness.classicJoin("", owned: [:], type: "connect").memberID
        #expect(harness.classicJoin(memberID, owned: [:], type: "connect").errorCode == .none)
        #expect(harness.join("new").errorCode == .groupIDNotFound)
        #expect(harness.beat("new", 1).errorCode == .groupIDNotFound)
        #expect(harness.beat("new", -1).errorCode == .groupIDNotFound)
    }

    /// What a leader may give that only its own assignor understands.
    enum Opaque: CaseIterable, Sendable {
        /// As Kafka Streams does.
        case userData
        case unreadable

        var assignment: [UInt8] {
            guard self == .userData else { return [0, 1, 0] }
            let assignment = ConsumerProtocol.Assignment {
                $0.assignedPartitions = [ConsumerProtocol.TopicPartitions { ($0.topic, $0.partitions) = ("t", [0, 1, 2, 3]) }]
                $0.userData = [7]
            }
            return ConsumerProtocol.encode(assignment, version: 1)
        }
    }

    @Test(arguments: Opaque.allCases)
    func aGroupWhoseAssignorGivesMoreThanPartitionsStaysWhatItIs(opaque: Opaque) throws {
        var harness = harness()
        let memberID = harness.classicJoin("", owned: [:]).memberID
        #expect(harness.classicJoin(memberID, owned: [:]).generationID == 1)
        let request = SyncGroupRequest {
            ($0.groupID, $0.memberID, $0.generationID) = (Self.group, memberID, 1)
            $0.assignments = [SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (memberID, opaque.assignment) }]
        }
        guard case .sync(let given) = harness.perform({ $0.sync(request, $1, at: $2) }, version: 5) else {
            Issue.record("SyncGroup was not answered")
            return
        }
        #expect(given.assignment == opaque.assignment)
        let durable = harness.durable
        #expect(harness.join("new").errorCode == .groupIDNotFound)
        #expect(harness.durable == durable)
        #expect(harness.classicBeat(memberID, 1) == .none)
        try harness.restart()
        #expect(harness.join("new").errorCode == .groupIDNotFound)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "Stable")
    }

    /// In the next generation nobody has an assignment yet.
    @Test(arguments: Opaque.allCases)
    func itStaysSoUntilItsLeaderGivesPartitionsAndNothingElse(opaque: Opaque) {
        var harness = harness()
        let memberID = harness.classicJoin("", owned: [:]).memberID
        #expect(harness.classicJoin(memberID, owned: [:]).generationID == 1)
        let request = SyncGroupRequest {
            ($0.groupID, $0.memberID, $0.generationID) = (Self.group, memberID, 1)
            $0.assignments = [SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (memberID, opaque.assignment) }]
        }
        let given = harness.perform({ $0.sync(request, $1, at: $2) }, version: 5)
        #expect(given?.errorCode == ErrorCode.none)
        #expect(harness.classicJoin(memberID, owned: ["t": [0, 1, 2, 3]]).generationID == 2)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "CompletingRebalance")
        #expect(harness.join("new").errorCode == .groupIDNotFound)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "CompletingRebalance")
        #expect(harness.classicSync(memberID, 2, dividing: [memberID: ["t": [0, 1, 2, 3]]]).owned == ["t": [0, 1, 2, 3]])
        #expect(harness.join("new").errorCode == .none)
        #expect(harness.described.errorCode == .none)
    }

    @Test func aMemberThatIsNotLetInDoesNotMoveTheGroup() {
        var (harness, old) = classicGroup()
        let durable = harness.durable
        #expect(harness.join("new", nil, pattern: "(").errorCode == .invalidRegularExpression)
        #expect(harness.durable == durable)
        #expect(harness.classicBeat(old, 1) == .none)
    }

    @Test func emptyGroupsChangeTheirProtocolFreely() throws {
        var harness = harness(.disabled)
        harness.join("a")
        harness.beat("a", -1)
        let epoch = harness.described.groupEpoch
        let memberID = harness.classicJoin("", owned: [:]).memberID
        let joined = harness.classicJoin(memberID, owned: [:])
        #expect(joined.generationID > epoch)
        #expect(harness.durable.keys.allSatisfy { $0.first == UInt8(ascii: "C") })
        #expect(harness.classicSync(memberID, joined.generationID, dividing: [memberID: ["t": [0]]]).owned == ["t": [0]])
        harness.classicLeave(memberID)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "Empty")
        #expect(harness.beat("a", 3).errorCode == .groupIDNotFound)
        let back = harness.join("a")
        #expect(back.memberEpoch > joined.generationID)
        #expect(harness.named(back) == ["t": [0, 1, 2, 3]])
        #expect(harness.durable.keys.allSatisfy { $0.first == UInt8(ascii: "K") })
        try harness.restart()
        #expect(harness.beat("a", back.memberEpoch).errorCode == .none)
    }

    @Test func classicMembersAreHeldToTheirRules() {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.classicJoin("", owned: [:], type: "connect").errorCode == .inconsistentGroupProtocol)
        #expect(harness.classicJoin("", owned: [:], name: "sticky").errorCode == .inconsistentGroupProtocol)
        #expect(harness.classicBeat("nobody", 1) == .unknownMemberID)
        #expect(harness.classicBeat(old, 7) == .illegalGeneration)
        #expect(harness.classicBeat("new", 2) == .unknownMemberID)
        #expect(harness.classicSync(old, 1).errorCode == .rebalanceInProgress)
        #expect(harness.classicSync(old, 9).errorCode == .illegalGeneration)
        #expect(harness.classicLeave("nobody") == .unknownMemberID)
        #expect(harness.classicLeave(old) == .none)
        #expect(harness.classicBeat(old, 1) == .unknownMemberID)
        #expect(harness.named(harness.beat("new", 2))?["t"]?.count == 4)
    }

    @Test func whoChangesItsProtocolIsNotWaitedForInTheOldOne() {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        let moved = harness.join(old)
        #expect(moved.errorCode == .none)
        for _ in 0..<3 {
            harness.wait(10_000)
            harness.beat("new", harness.described("new")?.memberEpoch ?? 0)
            #expect(harness.beat(old, harness.described(old)?.memberEpoch ?? 0).errorCode == .none)
        }
    }

    /// What an administrator is answered who puts these members out.
    private func putOut(_ members: [LeaveGroupRequest.Member], of harness: inout ConsumerHarness) throws -> LeaveGroupResponse {
        let request = LeaveGroupRequest { ($0.groupID, $0.members) = (Self.group, members) }
        let answer = harness.perform({ $0.leave(request, $1, at: $2) }, version: 5)
        guard case .leave(let response) = answer else { throw Unanswered() }
        return response
    }

    private struct Unanswered: Error {}

    @Test func anAdministratorPutsOutByInstanceIDAndIsAnsweredInItsWords() throws {
        var harness = harness()
        harness.join("new")
        _ = harness.classicJoin("", owned: [:], instanceID: "i")
        let response = try putOut([.init { $0.groupInstanceID = "i" }, .init { $0.groupInstanceID = "j" }], of: &harness)
        #expect(response.members.map(\.memberID) == ["", ""] && response.members.map(\.groupInstanceID) == ["i", "j"])
        #expect(response.members.map(\.errorCode) == [.none, .unknownMemberID])
        #expect(harness.described.members.map(\.memberID) == ["new"])
    }

    @Test func membersOfTheNewProtocolArePutOutByEitherID() throws {
        var harness = harness()
        harness.join("a")
        harness.join("b", instanceID: "i")
        harness.join("c")
        let epoch = harness.described.groupEpoch
        let response = try putOut([.init { $0.memberID = "a" }, .init { $0.groupInstanceID = "i" }], of: &harness)
        #expect(response.errorCode == .none)
        #expect(response.members.map(\.errorCode) == [.none, .none])
        #expect(harness.described.members.map(\.memberID) == ["c"])
        #expect(harness.described.groupEpoch == epoch + 1)
        #expect(harness.beat("a", 1).errorCode == .unknownMemberID)
    }

    @Test func theGroupGoesBackWhenTheLastNewMemberIsPutOut() {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.classicLeave("new") == .none)
        #expect(harness.described.errorCode == .groupIDNotFound)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "PreparingRebalance")
        #expect(harness.durable.keys.allSatisfy { $0.first == UInt8(ascii: "C") })
        #expect(harness.classicJoin(old, owned: ["t": [0, 1, 2, 3]]).leader == old)
    }

    @Test func whoDoesNotRejoinInTimeIsFenced() {
        var (harness, old) = classicGroup()
        harness.join("new")
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        harness.wait(9_999)
        #expect(harness.classicBeat(old, 1) == .rebalanceInProgress)
        harness.wait(1)
        #expect(harness.classicBeat(old, 1) == .unknownMemberID)
    }

    @Test func aStaticMemberMovesOverByItself() {
        var harness = harness()
        let first = harness.classicJoin("", owned: [:], instanceID: "i")
        harness.classicSync(first.memberID, first.generationID, dividing: [first.memberID: ["t": [0, 1, 2, 3]]])
        // Restarted with the new protocol, and then again with the old one.
        let moved = harness.join("new", instanceID: "i")
        #expect(moved.errorCode == .none)
        #expect(harness.named(moved) == ["t": [0, 1, 2, 3]])
        #expect(harness.classicBeat(first.memberID, first.generationID) == .unknownMemberID)
        let back = harness.classicJoin("", owned: [:], instanceID: "i")
        #expect(back.errorCode == .none)
        #expect(harness.coordinator.describe(Self.group, version: 5).groupState == "PreparingRebalance")
        #expect(harness.beat("new", moved.memberEpoch).errorCode == .groupIDNotFound)
        #expect(harness.classicSync(back.memberID, back.generationID).errorCode == .rebalanceInProgress)
    }
}
