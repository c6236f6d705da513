import KafkaProtocol
import Testing

@testable import Coordinators

@Suite struct ClassicRejoinTests {
    @Test func aFollowerWithNothingNewIsToldWhatIs() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let answer = try #require(group.joinAnswer(group.join { $0.memberID = ids[1] }))
        #expect(answer.errorCode == .none && answer.generationID == 1 && answer.leader == ids[0] && answer.members.isEmpty)
        #expect(group.state == "Stable")
        #expect(group.syncAnswer(group.sync(ids[1], 1))?.assignment == [1])
    }

    @Test(arguments: [true, false]) func newsBeginARebalance(fromLeader: Bool) {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let (first, other) = fromLeader ? (ids[0], ids[1]) : (ids[1], ids[0])
        let token = group.join {
            $0.memberID = first
            // A leader may have news that its metadata does not show.
            if !fromLeader { $0.protocols = [("range", [7])] }
        }
        #expect(group.error(token) == nil && group.state == "PreparingRebalance")
        #expect(group.heartbeat(other, 1) == .rebalanceInProgress)
        let second = group.join { $0.memberID = other }
        #expect(group.joinAnswer(token)?.generationID == 2)
        #expect(group.joinAnswer(second)?.generationID == 2)
        #expect(group.joinAnswer(second)?.leader == ids[0])
    }

    @Test func aLostJoinAnswerIsGivenAgain() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let tokens = ids.map { id in group.join { $0.memberID = id } }
        let again = ids.map { id in group.join { $0.memberID = id } }
        for (token, repeated) in zip(tokens, again) {
            let first = try #require(group.joinAnswer(token))
            let second = try #require(group.joinAnswer(repeated))
            #expect(first.generationID == 2 && second.generationID == 2)
            #expect(first.members.map(\.memberID) == second.members.map(\.memberID))
        }
        #expect(group.state == "CompletingRebalance")
    }

    @Test func newMetadataInTheMiddleSendsEverybodyBack() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        let waiting = group.sync(ids[1], 2)
        #expect(group.error(waiting) == nil)
        let changed = group.join {
            $0.memberID = ids[0]
            $0.protocols = [("range", [9])]
        }
        #expect(group.error(waiting) == .rebalanceInProgress)
        #expect(group.error(changed) == nil)
        _ = group.join { $0.memberID = ids[1] }
        #expect(group.joinAnswer(changed)?.generationID == 3)
        #expect(group.joinAnswer(changed)?.members.map(\.metadata) == [[9], [1]])
    }

    @Test func aRequestThatIsRepeatedReleasesTheFirst() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let first = group.join { $0.memberID = ids[0] }
        let second = group.join { $0.memberID = ids[0] }
        #expect(group.error(first) == .rebalanceInProgress && group.error(second) == nil)
        _ = group.join { $0.memberID = ids[1] }
        #expect(group.joinAnswer(second)?.generationID == 2)
        let sync = group.sync(ids[1], 2)
        let syncAgain = group.sync(ids[1], 2)
        #expect(group.error(sync) == .rebalanceInProgress && group.error(syncAgain) == nil)
        _ = group.sync(ids[0], 2, [ids[1]: [5]])
        #expect(group.syncAnswer(syncAgain)?.assignment == [5])
    }

    @Test func whoDoesNotRejoinInTimeIsOut() {
        let group = GroupHarness.eager
        let ids = group.settle(3) { $0.rebalanceTimeoutMs = 20_000 }
        // The longest of the members' rebalance timeouts counts.
        let token = group.join {
            ($0.memberID, $0.rebalanceTimeoutMs) = (ids[1], 30_000); $0.protocols = [("range", [2])]
        }
        for _ in 0..<7 {
            group.pass(4_000)
            #expect(group.heartbeat(ids[0], 1) == .rebalanceInProgress)
            #expect(group.heartbeat(ids[2], 1) == .rebalanceInProgress)
        }
        #expect(group.error(token) == nil)
        group.pass(2_000)
        #expect(group.joinAnswer(token)?.generationID == 2)
        #expect(group.joinAnswer(token)?.leader == ids[1])
        #expect(group.memberIDs == [ids[1]])
        #expect(group.heartbeat(ids[0], 1) == .unknownMemberID)
    }

    @Test func aNewMemberIsLetInWhenAllHaveRejoined() {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let new = group.joinAnew()
        #expect(group.state == "PreparingRebalance")
        let tokens = ids.map { id in group.join { $0.memberID = id } }
        #expect(group.joinAnswer(new.token)?.generationID == 2)
        #expect(group.joinAnswer(tokens[0])?.members.map(\.memberID) == ids + [new.memberID])
    }

    @Test func aNewMemberThatNobodyHearsOfExpiresInTheQueue() {
        let group = GroupHarness.eager
        let ids = group.settle(1) { $0.rebalanceTimeoutMs = 2_000_000 }
        let new = group.joinAnew { $0.rebalanceTimeoutMs = 2_000_000 }
        for _ in 0..<60 {
            group.pass(4_999)
            #expect(group.heartbeat(ids[0], 1) == .rebalanceInProgress)
        }
        #expect(group.error(new.token) == nil)
        group.pass(1_000)
        #expect(group.error(new.token) == .unknownMemberID)
        #expect(group.joinAnswer(new.token)?.memberID == "")
        #expect(group.memberIDs == ids)
    }

    @Test func aNewMemberThatAsksAgainHasItsTimeAgain() {
        let group = GroupHarness.eager
        let ids = group.settle(1) { $0.rebalanceTimeoutMs = 200_000 }
        let new = group.joinAnew()
        group.pass(5_000)
        let again = group.join { $0.memberID = new.memberID }
        #expect(group.error(new.token) == .rebalanceInProgress)
        for _ in 0..<20 {
            #expect(group.heartbeat(ids[0], 1) == .rebalanceInProgress)
            group.pass(5_000)
        }
        #expect(group.error(again) == nil)
        _ = group.join { $0.memberID = ids[0] }
        #expect(group.joinAnswer(again)?.generationID == 2)
    }

    @Test func aKnownMemberThatWaitsDoesNotExpire() {
        let group = GroupHarness.eager
        let ids = group.settle(2) { $0.rebalanceTimeoutMs = 100_000 }
        let token = group.join { ($0.memberID, $0.rebalanceTimeoutMs) = (ids[0], 100_000) }
        for _ in 0..<19 {
            group.pass(5_000)
            #expect(group.heartbeat(ids[1], 1) == .rebalanceInProgress)
        }
        _ = group.join { $0.memberID = ids[1] }
        #expect(group.joinAnswer(token)?.generationID == 2)
        // From here on its session counts again.
        group.pass(10_000)
        #expect(group.memberIDs.isEmpty)
    }
}
