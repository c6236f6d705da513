import KafkaProtocol
import Testing

@testable import Coordinators

/// Heartbeats, sessions, leaving, commits.
@Suite struct ClassicMembershipTests {
    /// Brings a group of two into the state, in generation 2.
    private func group(in state: String) -> (GroupHarness, ids: [String]) {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        if state != "CompletingRebalance" { group.syncAll(ids, 2) }
        if state == "PreparingRebalance" { _ = group.joinAnew() }
        if state == "Empty" { _ = group.leave(ids.map { ($0, nil) }) }
        #expect(group.state == state)
        return (group, ids)
    }

    // MARK: - Heartbeats

    @Test(arguments: [
        ("Stable", ErrorCode.none), ("CompletingRebalance", .none), ("PreparingRebalance", .rebalanceInProgress), ("Empty", .unknownMemberID),
    ])
    func heartbeatsByState(state: String, expected: ErrorCode) {
        let (group, ids) = group(in: state)
        #expect(group.heartbeat(ids[1], 2) == expected)
        #expect(group.heartbeat(ids[1], 1) == (state == "Empty" ? .unknownMemberID : .illegalGeneration))
        #expect(group.heartbeat("m", 2) == .unknownMemberID)
    }

    @Test func aGroupThatIsNotThereKnowsNobody() throws {
        let group = GroupHarness.eager
        #expect(group.heartbeat("m", 1) == .unknownMemberID)
        #expect(group.error(group.sync("m", 1)) == .unknownMemberID)
        #expect(group.leave([("m", nil)], version: 2)?.errorCode == .unknownMemberID)
        let response = try #require(group.leave([("m", nil), ("", "i")]))
        #expect(response.errorCode == .none && response.members.map(\.errorCode) == [.unknownMemberID, .unknownMemberID])
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    // MARK: - Sessions

    @Test func aSilentMemberIsOutAfterItsSessionTimeout() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        group.pass(6_000)
        #expect(group.heartbeat(ids[0], 1) == ErrorCode.none)
        group.pass(3_999)
        #expect(group.state == "Stable")
        group.pass(1)
        #expect(group.state == "PreparingRebalance" && group.memberIDs == [ids[0]])
        #expect(group.heartbeat(ids[0], 1) == .rebalanceInProgress)
        #expect(group.heartbeat(ids[1], 1) == .unknownMemberID)
        let token = group.join { $0.memberID = ids[0] }
        #expect(group.joinAnswer(token)?.generationID == 2)
    }

    @Test func whenAllFallSilentTheGroupIsEmpty() {
        let group = GroupHarness.eager
        _ = group.settle(3)
        group.pass(10_000)
        #expect(group.state == "Empty")
        #expect(group.coordinator.nextDeadline == nil)
        #expect(group.coordinator.offsetsExpiry(of: "g") == .sinceEmpty(wallClockMs: group.moment.wallClockMs))
        // Its generations go on from where they were.
        #expect(group.joinAnswer(group.joinAnew().token)?.generationID == 3)
    }

    @Test func aGroupThatEmptiesStepByStepIsEmptySinceTheLastOne() {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        // One asks for an id, another waits to be let in, and in the end nobody stays.
        _ = group.join { $0.sessionTimeoutMs = 20_000 }
        let new = group.joinAnew()
        _ = group.leave([(ids[0], nil)])
        #expect(group.state == "PreparingRebalance")
        _ = group.leave([(new.memberID, nil)])
        group.pass(20_000)
        #expect(group.state == "Empty")
        #expect(group.coordinator.offsetsExpiry(of: "g") == .sinceEmpty(wallClockMs: group.moment.wallClockMs))
        #expect(group.records(of: "g").count == 1)
    }

    @Test func everySignOfLifeCounts() {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        for _ in 0..<3 {
            group.pass(9_000)
            #expect(group.heartbeat(ids[0], 1) == ErrorCode.none)
            group.pass(9_000)
            #expect(group.commit(ids[0], 1) == .none)
            group.pass(9_000)
            #expect(group.error(group.sync(ids[0], 1)) == ErrorCode.none)
        }
        #expect(group.memberIDs == ids)
    }

    @Test func aWallClockThatJumpsChangesNothing() {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        var coordinator = group.coordinator
        let far = Moment(monotonicMs: group.monotonicMs + 5_000, wallClockMs: group.moment.wallClockMs + 1_000_000_000_000)
        #expect(coordinator.advance(to: far).isEmpty)
        let back = Moment(monotonicMs: group.monotonicMs + 6_000, wallClockMs: 0)
        #expect(coordinator.advance(to: back).isEmpty)
        #expect(coordinator.describe("g", version: 5).members.map(\.memberID) == ids)
    }

    @Test func heartbeatsOfManyGroupsLeaveTheTimersAlone() {
        let group = GroupHarness.eager
        let ids = (0..<1_000).map { number in
            let pending = group.joinAnswer(group.join { $0.groupID = "g\(number)" })?.memberID ?? ""
            _ = group.join { ($0.groupID, $0.memberID) = ("g\(number)", pending) }
            _ = group.sync(pending, 1, group: "g\(number)", [:])
            return pending
        }
        let deadline = group.coordinator.nextDeadline
        for _ in 0..<3 {
            group.monotonicMs += 3_000
            for (number, id) in ids.enumerated() { #expect(group.heartbeat(id, 1, group: "g\(number)") == ErrorCode.none) }
            #expect(group.coordinator.nextDeadline == deadline)
        }
        group.pass(5_000)
        #expect(group.coordinator.list(states: ["stable"], types: []).count == 1_000)
    }

    // MARK: - Leaving

    @Test(arguments: Int16(0)...2) func anOlderClientLeavesAlone(version: Int16) throws {
        let (group, ids) = group(in: "Stable")
        let response = try #require(group.leave([(ids[1], nil)], version: version))
        #expect(response.errorCode == .none && response.members.isEmpty)
        #expect(group.leave([(ids[1], nil)], version: version)?.errorCode == .unknownMemberID)
        #expect(group.heartbeat(ids[0], 2) == .rebalanceInProgress)
    }

    @Test func severalLeaveAndEachIsAnswered() throws {
        let (group, ids) = group(in: "Stable")
        let response = try #require(group.leave([(ids[0], nil), ("m", nil), (ids[1], "i"), (ids[1], nil), (ids[1], nil)]))
        #expect(response.members.map(\.errorCode) == [.none, .unknownMemberID, .unknownMemberID, .none, .unknownMemberID])
        #expect(response.members.map(\.memberID) == [ids[0], "m", ids[1], ids[1], ids[1]])
        #expect(group.state == "Empty")
    }

    @Test func whoLeavesInARebalanceIsNotWaitedFor() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let token = group.join { $0.memberID = ids[0] }
        #expect(group.error(token) == nil)
        _ = group.leave([(ids[1], nil)])
        #expect(group.joinAnswer(token)?.generationID == 2)
    }

    @Test func whoLeavesWhileItWaitsIsAnsweredFirst() {
        let (group, ids) = group(in: "CompletingRebalance")
        let waiting = group.sync(ids[1], 2)
        _ = group.leave([(ids[1], nil)])
        #expect(group.error(waiting) == .unknownMemberID)
        let joining = group.join { $0.memberID = ids[0] }
        #expect(group.joinAnswer(joining)?.generationID == 3)
        let other = group.joinAnew()
        _ = group.leave([(other.memberID, nil)])
        #expect(group.error(other.token) == .unknownMemberID)
    }

    // MARK: - Commits

    @Test(arguments: [
        ("Stable", ErrorCode.none), ("PreparingRebalance", .none), ("CompletingRebalance", .rebalanceInProgress), ("Empty", .unknownMemberID),
    ])
    func commitsOfMembersByState(state: String, expected: ErrorCode) {
        let (group, ids) = group(in: state)
        #expect(group.commit(ids[0], 2) == expected)
        #expect(group.commit(ids[0], 2, transactional: true) == (state == "CompletingRebalance" ? .none : expected))
        #expect(group.commit(ids[0], 1) == (state == "Empty" ? .unknownMemberID : .illegalGeneration))
        #expect(group.commit(ids[0], 3) == (state == "Empty" ? .unknownMemberID : .illegalGeneration))
        #expect(group.commit("m", 2) == .unknownMemberID)
        #expect(group.commit(ids[0], 2, instance: "i") == .unknownMemberID)
    }

    @Test(arguments: ["Stable", "PreparingRebalance", "CompletingRebalance"]) func commitsFromOutsideNeedAnEmptyGroup(state: String) {
        let (group, ids) = group(in: state)
        #expect(group.commit("", -1) == .unknownMemberID)
        #expect(group.commit(ids[0], -1) == .illegalGeneration)
        // Older transactional producers do not say who they are.
        #expect(group.commit("", -1, transactional: true) == .none)
    }

    @Test func aCommitFromOutsideBeginsAGroup() {
        let group = GroupHarness.eager
        #expect(group.commit("", -1) == .none)
        #expect(group.state == "Empty" && group.coordinator.groupIDs == ["g"])
        #expect(group.coordinator.offsetsExpiry(of: "g") == .byCommit)
        #expect(group.commit("", -1) == .none)
        // A member of a group that is not there.
        #expect(group.commit("m", 1, group: "other") == .illegalGeneration)
        #expect(group.commit("m", 1, version: 9, group: "other") == .groupIDNotFound)
        #expect(group.commit("m", 1, version: 9, transactional: true, group: "other") == .illegalGeneration)
        #expect(group.coordinator.groupIDs == ["g"])
    }

    /// Offsets of a transaction, or of a member, that came while the group prepared its first generation.
    @Test(arguments: [true, false]) func offsetsKeepAGroupThatNobodyStaysIn(transactional: Bool) {
        let group = GroupHarness()
        let member = group.joinAnew()
        let code = transactional ? group.commit("", -1, transactional: true) : group.commit(member.memberID, 0)
        #expect(code == .none && group.state == "PreparingRebalance")
        _ = group.leave([(member.memberID, nil)])
        #expect(group.coordinator.groupIDs == ["g"] && group.state == "Empty")
        #expect(group.coordinator.offsetsExpiry(of: "g") == .byCommit)
        group.coordinator.letGoOfCommits(of: "g")
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    @Test func aGroupThatOnceHadMembersTakesCommitsFromOutside() {
        let (group, _) = group(in: "Empty")
        #expect(group.commit("", -1) == .none)
    }
}
