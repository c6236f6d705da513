import KafkaProtocol
import Testing

@testable import Coordinators

@Suite struct ClassicJoinTests {
    @Test(arguments: ["", String(repeating: "x", count: 256), String(repeating: "é", count: 128)])
    func groupIDsHave1To255Bytes(groupID: String) {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.groupID = groupID }) == .invalidGroupID)
        #expect(group.error(group.sync("m", 1, group: groupID)) == .invalidGroupID)
        #expect(group.heartbeat("m", 1, group: groupID) == .invalidGroupID)
        #expect(group.leave([("m", nil)], group: groupID)?.errorCode == .invalidGroupID)
        #expect(group.coordinator.groupIDs.isEmpty)
        // Offsets may be committed under the empty id.
        #expect(group.commit("", -1, group: groupID) == (groupID.isEmpty ? .none : .invalidGroupID))
    }

    @Test(arguments: [Int32.min, -1, 0, 5_999, 1_800_001, .max])
    func sessionTimeoutsHaveBounds(timeoutMs: Int32) {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.sessionTimeoutMs = timeoutMs }) == .invalidSessionTimeout)
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    @Test func aMemberIDThatNobodyGaveOutIsUnknown() {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.memberID = "made-up" }) == .unknownMemberID)
        #expect(group.coordinator.groupIDs.isEmpty)
        _ = group.settle(1)
        #expect(group.error(group.join { $0.memberID = "made-up" }) == .unknownMemberID)
    }

    @Test func aNewMemberIsToldItsIDAndComesBackWithIt() throws {
        let group = GroupHarness.eager
        let first = try #require(group.joinAnswer(group.join()))
        #expect(first.errorCode == .memberIDRequired)
        #expect(first.memberID.hasPrefix("client-") && first.memberID.utf8.count == 7 + 36)
        let second = try #require(group.joinAnswer(group.join { $0.memberID = first.memberID }))
        #expect(second.errorCode == .none)
        #expect(second.memberID == first.memberID && second.leader == first.memberID && second.generationID == 1)
        #expect(second.members.map(\.memberID) == [first.memberID] && second.members.first?.metadata == [1])
        #expect(second.protocolName == "range" && second.protocolType == "consumer" && !second.skipAssignment)
    }

    @Test(arguments: Int16(0)...3) func anOlderClientIsLetInAtOnce(version: Int16) throws {
        let group = GroupHarness.eager
        let token = group.join {
            $0.version = version
            $0.rebalanceTimeoutMs = version == 0 ? -1 : 60_000
        }
        #expect(group.error(token) == ErrorCode.none)
        #expect(group.memberIDs == [try #require(group.joinAnswer(token)).memberID])
    }

    @Test func longClientIDsAreCutInMemberIDs() throws {
        let group = GroupHarness.eager
        let answer = try #require(group.joinAnswer(group.join { $0.clientID = String(repeating: "é", count: 500) }))
        #expect(answer.memberID.utf8.count <= 200)
        #expect(answer.memberID.hasPrefix(String(repeating: "é", count: 81) + "-"))
    }

    /// By scalars: how many of them make up one character is the client's choice.
    @Test(arguments: [("x", 163), ("é", 81), ("語", 54), ("\u{1F1E9}", 40), ("\u{301}", 81)])
    func memberIDsBeginWithWholeScalars(scalar: String, keptCount: Int) throws {
        let group = GroupHarness.eager
        let answer = try #require(group.joinAnswer(group.join { $0.clientID = String(repeating: scalar, count: 500) }))
        #expect(Array(answer.memberID.utf8.dropLast(37)) == Array(String(repeating: scalar, count: keptCount).utf8))
    }

    @Test func anIDThatIsNotUsedExpiresAndTheGroupWithIt() throws {
        let group = GroupHarness.eager
        let answer = try #require(group.joinAnswer(group.join { $0.sessionTimeoutMs = 10_000 }))
        #expect(group.state == "Empty")
        group.pass(9_999)
        #expect(group.coordinator.groupIDs == ["g"])
        group.pass(1)
        #expect(group.coordinator.groupIDs.isEmpty)
        #expect(group.coordinator.nextDeadline == nil)
        #expect(group.error(group.join { $0.memberID = answer.memberID }) == .unknownMemberID)
        #expect(group.disk.isEmpty)
    }

    /// Thousands of them, each of which expires a millisecond after the one before: not all are looked at each time.
    @Test func idsThatExpireOneByOneAreLookedAtTogether() {
        let group = GroupHarness.eager
        for _ in 0..<5_000 {
            _ = group.join()
            group.monotonicMs += 1
        }
        var lookCount = 0
        while lookCount < 10_000, let deadline = group.coordinator.nextDeadline {
            group.monotonicMs = max(group.monotonicMs, deadline)
            for effects in group.coordinator.advance(to: group.moment) { group.take(effects) }
            lookCount += 1
        }
        #expect(lookCount < 1_000)
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    /// They are forgotten in turn; who asks is never turned away for those who do not come back.
    @Test func asManyIDsAreKeptForThoseToComeBackAsThereIsRoomFor() throws {
        let group = GroupHarness.eager
        let ids = try (0..<(ClassicGroup.pendingMembersMax + 100)).map { _ in try #require(group.joinAnswer(group.join())).memberID }
        #expect(Set(ids).count == ids.count)
        let kept = ids.filter { group.leave([($0, nil)])?.members.map(\.errorCode) == [.none] }
        #expect(kept.count == ClassicGroup.pendingMembersMax)
        let next = try #require(group.joinAnswer(group.join())).memberID
        #expect(group.error(group.join { $0.memberID = next }) == ErrorCode.none)
    }

    @Test func aPendingIDIsWaitedForInARebalance() throws {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        let pending = try #require(group.joinAnswer(group.join())).memberID
        let token = group.join { $0.memberID = ids[0] }
        #expect(group.error(token) == nil)
        #expect(group.leave([(pending, nil)])?.members.map(\.errorCode) == [.none])
        #expect(group.joinAnswer(token)?.generationID == 2)
    }

    // MARK: - The initial delay

    @Test func anEmptyGroupWaitsForMoreMembers() {
        let group = GroupHarness()
        let first = group.joinAnew()
        group.pass(2_999)
        #expect(group.error(first.token) == nil && group.state == "PreparingRebalance")
        group.pass(1)
        #expect(group.joinAnswer(first.token)?.generationID == 1)
        #expect(group.state == "CompletingRebalance")
    }

    @Test func theWaitIsExtendedWhileMembersCome() {
        let group = GroupHarness()
        let first = group.joinAnew()
        group.pass(2_000)
        let second = group.joinAnew()
        group.pass(1_000)
        #expect(group.error(first.token) == nil)
        group.pass(2_999)
        #expect(group.error(first.token) == nil)
        group.pass(1)
        #expect(group.joinAnswer(first.token)?.generationID == 1)
        #expect(group.joinAnswer(first.token)?.members.map(\.memberID) == [first.memberID, second.memberID])
        #expect(group.joinAnswer(second.token)?.members.isEmpty == true)
    }

    @Test func theWaitEndsAtTheRebalanceTimeout() {
        let group = GroupHarness()
        let first = group.joinAnew { $0.rebalanceTimeoutMs = 7_000 }
        for _ in 0..<6 {
            group.pass(1_000)
            _ = group.joinAnew { $0.rebalanceTimeoutMs = 7_000 }
        }
        #expect(group.error(first.token) == nil)
        group.pass(1_000)
        #expect(group.joinAnswer(first.token)?.members.count == 7)
    }

    @Test func withoutADelayTheFirstOneGoesAhead() {
        let group = GroupHarness.eager
        // Somebody asked for an id, and is not waited for.
        _ = group.join()
        let first = group.joinAnew()
        #expect(group.joinAnswer(first.token)?.generationID == 1)
    }

    @Test func aGroupThatNobodyStaysInLeavesNoTrace() {
        let group = GroupHarness()
        for _ in 0..<50 {
            let member = group.joinAnew()
            #expect(group.leave([(member.memberID, nil)])?.members.map(\.errorCode) == [.none])
            #expect(group.error(member.token) == .unknownMemberID)
        }
        #expect(group.coordinator.groupIDs.isEmpty && group.disk.isEmpty)
    }

    // MARK: - Protocols

    @Test func protocolsMustFit() {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.protocols = [] }) == .inconsistentGroupProtocol)
        #expect(group.error(group.join { $0.type = "" }) == .inconsistentGroupProtocol)
        #expect(group.coordinator.groupIDs.isEmpty)
        let ids = group.settle(2) { $0.protocols = [("range", []), ("roundrobin", [])] }
        #expect(group.error(group.join { $0.type = "connect" }) == .inconsistentGroupProtocol)
        #expect(group.error(group.join { $0.protocols = [("sticky", [])] }) == .inconsistentGroupProtocol)
        let rejoin = group.join {
            $0.memberID = ids[1]
            $0.protocols = [("sticky", [])]
        }
        #expect(group.error(rejoin) == .inconsistentGroupProtocol)
        #expect(group.joinAnswer(rejoin)?.memberID == ids[1])
        #expect(group.state == "Stable")
    }

    @Test func theProtocolThatMostLikeBestIsTaken() {
        let group = GroupHarness()
        let tokens = [["a", "b", "c"], ["b", "c", "a"], ["c", "b"]].map { names in
            group.joinAnew { $0.protocols = names.map { ($0, Array($0.utf8)) } }.token
        }
        group.pass(10_000)
        // "a" is not spoken by all; of the others "b" has two votes.
        #expect(tokens.map { group.joinAnswer($0)?.protocolName } == ["b", "b", "b"])
        #expect(group.joinAnswer(tokens[0])?.members.map(\.metadata) == [[98], [98], [98]])
    }

    @Test func aProtocolNamedTwiceCountsOnce() {
        let group = GroupHarness.eager
        let ids = group.settle(1) { $0.protocols = [("x", [1]), ("x", [2])] }
        #expect(group.error(group.join { $0.protocols = [("y", [])] }) == .inconsistentGroupProtocol)
        #expect(group.error(group.join { ($0.memberID, $0.protocols) = (ids[0], [("x", [3])]) }) == ErrorCode.none)
    }

    @Test(arguments: [(1_000, ErrorCode.memberIDRequired), (1_001, .invalidRequest)])
    func aMemberOffersAtMostAThousand(count: Int, expected: ErrorCode) {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.protocols = (0..<count).map { ("p\($0)", []) } }) == expected)
    }

    @Test func metadataOfMegabytesIsRefused() {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.protocols = [("range", [UInt8](repeating: 0, count: 1 << 20))] }) == .invalidRequest)
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    // MARK: - Size

    @Test func aFullGroupTakesNobodyElse() {
        var options = GroupOptions()
        options.initialRebalanceDelayMs = 0
        options.sizeMax = 2
        let group = GroupHarness(options)
        let ids = group.settle(2)
        let refused = group.join()
        #expect(group.error(refused) == .groupMaxSizeReached && group.joinAnswer(refused)?.memberID == "")
        #expect(group.heartbeat(ids[0], 1) == ErrorCode.none)
        let leader = group.join { $0.memberID = ids[0] }
        #expect(group.error(leader) == nil)
        _ = group.join { $0.memberID = ids[1] }
        #expect(group.joinAnswer(leader)?.members.count == 2)
    }

    @Test func aGroupAboveItsLimitShrinksToIt() throws {
        let group = GroupHarness.eager
        let ids = group.settle(3)
        group.options.sizeMax = 2
        try group.restart()
        let tokens = [ids[2], ids[0], ids[1]].map { id in
            group.join {
                $0.memberID = id
                $0.protocols = [("range", [2])]
            }
        }
        #expect(tokens.map { group.error($0) } == [ErrorCode.none, ErrorCode.none, .groupMaxSizeReached])
        #expect(Set(group.memberIDs) == [ids[0], ids[2]])
    }
}
