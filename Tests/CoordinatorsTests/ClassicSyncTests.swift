import KafkaProtocol
import Testing

@testable import Coordinators

@Suite struct ClassicSyncTests {
    @Test func whoMaySync() {
        let group = GroupHarness.eager
        #expect(group.error(group.sync("m", 1)) == .unknownMemberID)
        let ids = group.settle(2)
        #expect(group.error(group.sync("m", 1)) == .unknownMemberID)
        #expect(group.error(group.sync(ids[0], 1, instance: "i")) == .unknownMemberID)
        #expect(group.error(group.sync(ids[0], 0)) == .illegalGeneration)
        #expect(group.error(group.sync(ids[0], 2)) == .illegalGeneration)
        // KIP-559
        #expect(group.error(group.sync(ids[0], 1, type: "connect", name: "range")) == .inconsistentGroupProtocol)
        #expect(group.error(group.sync(ids[0], 1, type: "consumer", name: "sticky")) == .inconsistentGroupProtocol)
        #expect(group.error(group.sync(ids[0], 1, type: "consumer", name: "range")) == ErrorCode.none)
    }

    @Test func followersWaitForTheLeader() throws {
        let group = GroupHarness.eager
        let ids = group.settle(3)
        for id in ids { _ = group.join { $0.memberID = id } }
        let waiting = group.sync(ids[1], 2, [ids[1]: [99]])
        #expect(group.error(waiting) == nil)
        let leader = group.sync(ids[0], 2, [ids[0]: [10], ids[1]: [11], "made-up": [12]])
        #expect(group.syncAnswer(leader)?.assignment == [10])
        let answer = try #require(group.syncAnswer(waiting))
        #expect(answer.assignment == [11] && answer.protocolType == "consumer" && answer.protocolName == "range")
        // Who comes later is told at once; the leader forgot it.
        #expect(group.syncAnswer(group.sync(ids[2], 2))?.assignment == [])
        #expect(group.memberIDs == ids)
        // The leader's second thoughts come too late.
        #expect(group.syncAnswer(group.sync(ids[0], 2, [ids[2]: [3]]))?.assignment == [10])
        #expect(group.syncAnswer(group.sync(ids[2], 2))?.assignment == [])
    }

    @Test func theLeadersLastWordOnAMemberCounts() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        let waiting = group.sync(ids[1], 2)
        let shares: [(memberID: String, share: [UInt8])] = [(ids[1], [1]), (ids[0], [2]), ("made-up", [3]), (ids[1], [4])]
        let request = SyncGroupRequest {
            ($0.groupID, $0.memberID, $0.generationID) = ("g", ids[0], 2)
            $0.assignments = shares.map { one in SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (one.memberID, one.share) } }
        }
        let leader = group.caller(4)
        group.take(group.coordinator.sync(request, leader, at: group.moment))
        #expect(group.syncAnswer(leader.token)?.assignment == [2])
        #expect(group.syncAnswer(waiting)?.assignment == [4])
        #expect(group.memberIDs == ids)
    }

    @Test func aRebalanceIsToldToWhoSyncs() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        let waiting = group.sync(ids[1], 2)
        _ = group.joinAnew()
        #expect(group.error(waiting) == .rebalanceInProgress)
        #expect(group.error(group.sync(ids[0], 2, [:])) == .rebalanceInProgress)
    }

    @Test func aMemberThatNeverSyncsIsPutOut() {
        let group = GroupHarness.eager
        let ids = group.settle(3) { ($0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (20_000, 60_000) }
        for id in ids { _ = group.join { ($0.memberID, $0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (id, 20_000, 60_000) } }
        let waiting = group.sync(ids[1], 2)
        group.pass(19_999)
        #expect(group.heartbeat(ids[0], 2) == ErrorCode.none)
        #expect(group.error(waiting) == nil)
        group.pass(1)
        #expect(group.error(waiting) == .rebalanceInProgress)
        #expect(group.memberIDs == [ids[1]])
        #expect(group.joinAnswer(group.join { $0.memberID = ids[1] })?.leader == ids[1])
    }

    @Test func aMemberThatNeverSyncsIsPutOutOfAStableGroupToo() {
        let group = GroupHarness.eager
        let ids = group.settle(2) { ($0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (20_000, 60_000) }
        for id in ids { _ = group.join { ($0.memberID, $0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (id, 20_000, 60_000) } }
        _ = group.sync(ids[0], 2, [:])
        #expect(group.state == "Stable")
        group.pass(20_000)
        #expect(group.memberIDs == [ids[0]] && group.state == "PreparingRebalance")
    }

    @Test func whoWaitsForTheLeaderDoesNotExpire() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        let waiting = group.sync(ids[1], 2)
        for _ in 0..<11 {
            group.pass(5_000)
            #expect(group.heartbeat(ids[0], 2) == ErrorCode.none)
        }
        _ = group.sync(ids[0], 2, [ids[1]: [4]])
        #expect(group.syncAnswer(waiting)?.assignment == [4])
        group.pass(9_999)
        #expect(group.memberIDs == ids)
    }

    @Test func anAssignmentOfMegabytesIsRefused() {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        _ = group.join { $0.memberID = ids[0] }
        #expect(group.error(group.sync(ids[0], 2, [ids[0]: [UInt8](repeating: 1, count: (1 << 20) + 1)])) == .invalidRequest)
        #expect(group.syncAnswer(group.sync(ids[0], 2, [ids[0]: [1]]))?.assignment == [1])
    }
}
