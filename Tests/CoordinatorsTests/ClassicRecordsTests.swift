import KafkaProtocol
import Testing

@testable import Coordinators

/// What is on the disk before a client learns of it, and what a restart makes of it.
@Suite struct ClassicRecordsTests {
    @Test func aGenerationIsWrittenWithTheAnswersThatTellOfIt() throws {
        let group = GroupHarness.eager
        let first = try #require(group.joinAnswer(group.join())).memberID
        #expect(group.lastRecordCount == 0)
        _ = group.join { $0.memberID = first }
        #expect(group.lastRecordCount == 2, "the group and its member")
        _ = group.sync(first, 1, [first: [1]])
        #expect(group.lastRecordCount == 2)
        _ = group.heartbeat(first, 1)
        #expect(group.lastRecordCount == 0)
        let second = try #require(group.joinAnswer(group.join())).memberID
        _ = group.join { $0.memberID = second }
        #expect(group.lastRecordCount == 1, "that there is a rebalance, but not who is on the way in")
        _ = group.join { $0.memberID = first }
        #expect(group.lastRecordCount == 3)
        _ = group.leave([(second, nil)])
        #expect(group.lastRecordCount == 2)
        _ = group.leave([(first, nil)])
        #expect(group.lastRecordCount == 2)
        #expect(group.records(of: "g").count == 1)
    }

    @Test func aStableGroupSurvivesARestartUnnoticed() throws {
        let group = GroupHarness.eager
        let ids = group.settle(3)
        try group.restart()
        #expect(group.state == "Stable")
        for (number, id) in ids.enumerated() {
            #expect(group.heartbeat(id, 1) == ErrorCode.none)
            #expect(group.commit(id, 1) == .none)
            #expect(group.syncAnswer(group.sync(id, 1))?.assignment == [UInt8(number)])
        }
        let follower = try #require(group.joinAnswer(group.join { $0.memberID = ids[1] }))
        #expect(follower.generationID == 1 && follower.leader == ids[0])
        let member = try #require(group.coordinator.describe("g", version: 5).members.first { $0.memberID == ids[2] })
        #expect(member.clientID == "client" && member.clientHost == "/127.0.0.1" && member.memberMetadata == [1] && member.memberAssignment == [2])
        // The next generation has another number.
        _ = group.join { $0.memberID = ids[0] }
        for id in ids.dropFirst() { _ = group.join { $0.memberID = id } }
        #expect(group.heartbeat(ids[2], 2) == ErrorCode.none)
    }

    @Test func membersHaveTheirSessionTimeoutToComeBack() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        group.pass(9_000)
        try group.restart()
        group.pass(9_999)
        #expect(group.heartbeat(ids[0], 1) == ErrorCode.none)
        group.pass(1)
        #expect(group.memberIDs == [ids[0]])
    }

    @Test func aRestartBetweenJoinAndSyncGoesOnThere() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        for id in ids { _ = group.join { $0.memberID = id } }
        try group.restart()
        #expect(group.state == "CompletingRebalance")
        // The leader's answer was lost with the broker: it asks again.
        let again = try #require(group.joinAnswer(group.join { $0.memberID = ids[0] }))
        #expect(again.generationID == 2 && Set(again.members.map(\.memberID)) == Set(ids) && again.leader == ids[0])
        let waiting = group.sync(ids[1], 2)
        _ = group.sync(ids[0], 2, [ids[1]: [8]])
        #expect(group.syncAnswer(waiting)?.assignment == [8])
    }

    @Test func aRestartThereStillPutsOutWhoDoesNotSync() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2) { ($0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (20_000, 60_000) }
        for id in ids { _ = group.join { ($0.memberID, $0.rebalanceTimeoutMs, $0.sessionTimeoutMs) = (id, 20_000, 60_000) } }
        try group.restart()
        let waiting = group.sync(ids[1], 2)
        group.pass(20_000)
        #expect(group.error(waiting) == .rebalanceInProgress && group.memberIDs == [ids[1]])
    }

    @Test func aRestartInARebalanceWaitsForTheMembersOfTheLastGeneration() throws {
        let group = GroupHarness.eager
        let ids = group.settle(3)
        _ = group.leave([(ids[2], nil)])
        let new = group.joinAnew()
        _ = group.join { $0.memberID = ids[0] }
        try group.restart()
        #expect(group.state == "PreparingRebalance")
        // Whoever left is out for good, whoever was on the way in asks again.
        #expect(Set(group.memberIDs) == Set(ids.prefix(2)))
        #expect(group.heartbeat(ids[2], 1) == .unknownMemberID)
        #expect(group.error(group.join { $0.memberID = new.memberID }) == .unknownMemberID)
        #expect(group.heartbeat(ids[1], 1) == .rebalanceInProgress)
        #expect(group.commit(ids[1], 1) == .none)
        let tokens = ids.prefix(2).map { id in group.join { $0.memberID = id } }
        #expect(tokens.map { group.joinAnswer($0)?.generationID } == [2, 2])
    }

    @Test func aRestartInARebalanceDoesNotWaitForEver() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        _ = group.joinAnew()
        try group.restart()
        let token = group.join { $0.memberID = ids[0] }
        for _ in 0..<11 {
            group.pass(5_000)
            #expect(group.heartbeat(ids[1], 1) == .rebalanceInProgress)
        }
        #expect(group.error(token) == nil)
        group.pass(5_000)
        #expect(group.joinAnswer(token)?.generationID == 2)
        #expect(group.memberIDs == [ids[0]])
    }

    @Test func anEmptyGroupKeepsItsGenerationAndSinceWhen() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        _ = group.leave(ids.map { ($0, nil) })
        let expiry = group.coordinator.offsetsExpiry(of: "g")
        #expect(expiry == .sinceEmpty(wallClockMs: group.moment.wallClockMs))
        group.pass(1_000_000)
        try group.restart()
        #expect(group.state == "Empty" && group.coordinator.offsetsExpiry(of: "g") == expiry)
        #expect(group.joinAnswer(group.joinAnew().token)?.generationID == 3)
    }

    @Test func aStaticMemberThatCameBackIsKnownAfterARestart() throws {
        let group = GroupHarness.eager
        let first = try #require(group.joinAnswer(group.join { $0.instance = "i" })).memberID
        _ = group.sync(first, 1, instance: "i", [first: [3]])
        let second = try #require(group.joinAnswer(group.join { $0.instance = "i" })).memberID
        try group.restart()
        #expect(group.heartbeat(first, 1, instance: "i") == .fencedInstanceID)
        #expect(group.heartbeat(second, 1, instance: "i") == ErrorCode.none)
        #expect(group.syncAnswer(group.sync(second, 1, instance: "i"))?.assignment == [3])
        #expect(group.records(of: "g").count == 2)
    }

    @Test func aFailedWriteSendsEverybodyBackToWhatIsOnTheDisk() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let waiting = group.join { $0.memberID = ids[0] }
        let disk = group.records(of: "g")
        // The group goes on in memory, but the write fails.
        let request = JoinGroupRequest {
            ($0.groupID, $0.memberID, $0.sessionTimeoutMs, $0.rebalanceTimeoutMs, $0.protocolType) = ("g", ids[1], 10_000, 60_000, "consumer")
            $0.protocols = [JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = ("range", [1]) }]
        }
        let lost = group.coordinator.join(request, group.caller(9), at: group.moment)
        #expect(lost.replies.count == 2 && lost.records.count == 3)
        for reply in lost.replies {
            let failed = reply.response.failing(.coordinatorNotAvailable)
            #expect(failed.errorCode == .coordinatorNotAvailable)
            group.take(GroupEffects(groupID: "g", replies: [(reply.token, failed)]))
        }
        #expect(group.coordinator.unload("g", answering: .coordinatorNotAvailable).isEmpty)
        #expect(group.coordinator.groupIDs.isEmpty && group.error(waiting) == .coordinatorNotAvailable)
        try group.coordinator.load("g", records: disk, at: group.moment)
        #expect(group.heartbeat(ids[0], 1) == .rebalanceInProgress)
    }

    @Test func whoWaitsIsAnsweredWhenTheGroupIsUnloaded() {
        let group = GroupHarness.eager
        let ids = group.settle(3)
        for id in ids { _ = group.join { $0.memberID = id } }
        let syncing = group.sync(ids[1], 2)
        group.take(group.coordinator.unload("g", answering: .notCoordinator))
        #expect(group.error(syncing) == .notCoordinator)
        #expect(group.coordinator.nextDeadline == nil || group.coordinator.advance(to: Moment(monotonicMs: .max, wallClockMs: 0)).isEmpty)
    }

    // MARK: - Bad records

    @Test func recordsThatMakeNoSenseAreRefused() throws {
        let group = GroupHarness.eager
        _ = group.settle(2)
        let good = group.records(of: "g")
        func load(_ records: [StateRecord]) throws {
            var coordinator = GroupCoordinator(options: GroupOptions(), topics: NoTopics())
            try coordinator.load("g", records: records, at: group.moment)
        }
        try load(good)
        #expect(throws: GroupStateError.incomplete) { try load(Array(good.dropFirst())) }
        #expect(throws: GroupStateError.unreadable(key: [90, 1])) { try load(good + [StateRecord(key: [90, 1], value: [1])]) }
        for (index, record) in good.enumerated() {
            var bad = good
            bad[index].value = record.value.map { [2] + $0.dropFirst() }
            #expect(throws: GroupStateError.unreadable(key: record.key)) { try load(bad) }
            bad[index].value = record.value.map { Array($0.dropLast()) }
            #expect(throws: GroupStateError.unreadable(key: record.key)) { try load(bad) }
        }
    }

    @Test func whatALaterVersionAddsIsSkipped() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let records = group.records(of: "g").map { record in
            // One tagged field, number 0, of three bytes, where there were none.
            StateRecord(key: record.key, value: record.value.map { $0.dropLast() + [1, 0, 3, 7, 7, 7] })
        }
        try group.coordinator.load("g", records: records, at: group.moment)
        #expect(group.state == "Stable" && Set(group.memberIDs) == Set(ids))
        #expect(group.heartbeat(ids[0], 1) == ErrorCode.none)
    }
}
