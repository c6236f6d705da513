import KafkaProtocol
import Testing

@testable import Coordinators

/// Static membership (KIP-345).
@Suite struct ClassicStaticTests {
    /// Two static members "i0" and "i1" in generation 1, the first the leader.
    private func settled(_ group: GroupHarness) throws -> [String] {
        let first = group.join { $0.instance = "i0" }
        if group.options.initialRebalanceDelayMs > 0 {
            let second = group.join { $0.instance = "i1" }
            group.pass(10_000)
            let ids = try [first, second].map { try #require(group.joinAnswer($0)).memberID }
            group.syncAll(ids, 1)
            return ids
        }
        let id = try #require(group.joinAnswer(first)).memberID
        let second = group.join { $0.instance = "i1" }
        _ = group.join { ($0.memberID, $0.instance) = (id, "i0") }
        let ids = [id, try #require(group.joinAnswer(second)).memberID]
        group.syncAll(ids, 2)
        return ids
    }

    @Test func aStaticMemberIsLetInWithoutAskingTwice() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        #expect(ids[0].hasPrefix("i0-") && ids[1].hasPrefix("i1-"))
        #expect(group.state == "Stable")
    }

    @Test(arguments: ["", String(repeating: "i", count: 250)]) func instanceIDsHave1To249Bytes(instance: String) {
        let group = GroupHarness.eager
        #expect(group.error(group.join { $0.instance = instance }) == .invalidRequest)
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    @Test func aRestartedFollowerGetsItsPartBackWithoutARebalance() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        let answer = try #require(group.joinAnswer(group.join { $0.instance = "i1" }))
        #expect(answer.errorCode == .none && answer.generationID == 1 && answer.leader == ids[0] && answer.members.isEmpty)
        #expect(answer.memberID != ids[1] && !answer.skipAssignment)
        #expect(group.syncAnswer(group.sync(answer.memberID, 1, instance: "i1"))?.assignment == [1])
        #expect(group.heartbeat(ids[0], 1, instance: "i0") == ErrorCode.none)
        #expect(group.state == "Stable")
    }

    @Test(arguments: [Int16(8), 9]) func aRestartedLeaderDoesNotDivideAgain(version: Int16) throws {
        let group = GroupHarness()
        let ids = try settled(group)
        let answer = try #require(group.joinAnswer(group.join { ($0.instance, $0.version) = ("i0", version) }))
        #expect(answer.errorCode == .none && answer.generationID == 1)
        if version >= 9 {
            // It is told that it leads, and that there is nothing to divide (KIP-814).
            #expect(answer.leader == answer.memberID && answer.skipAssignment)
            #expect(answer.members.map(\.memberID) == [answer.memberID, ids[1]])
        } else {
            #expect(answer.leader == ids[0] && answer.members.isEmpty && !answer.skipAssignment)
        }
        #expect(group.syncAnswer(group.sync(answer.memberID, 1, instance: "i0"))?.assignment == [0])
        // When it joins again it leads, and the others follow.
        let again = group.join { ($0.memberID, $0.instance) = (answer.memberID, "i0") }
        _ = group.join { ($0.memberID, $0.instance) = (ids[1], "i1") }
        #expect(group.joinAnswer(again)?.members.count == 2)
    }

    @Test func theFormerOneIsFencedEverywhere() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        let new = try #require(group.joinAnswer(group.join { $0.instance = "i1" })).memberID
        #expect(group.heartbeat(ids[1], 1, instance: "i1") == .fencedInstanceID)
        #expect(group.error(group.sync(ids[1], 1, instance: "i1")) == .fencedInstanceID)
        #expect(group.error(group.join { ($0.memberID, $0.instance) = (ids[1], "i1") }) == .fencedInstanceID)
        #expect(group.commit(ids[1], 1, instance: "i1") == .fencedInstanceID)
        #expect(group.leave([(ids[1], "i1")])?.members.map(\.errorCode) == [.fencedInstanceID])
        // Without its instance id it is nobody.
        #expect(group.heartbeat(ids[1], 1) == .unknownMemberID)
        #expect(group.heartbeat(new, 1, instance: "i1") == ErrorCode.none)
        #expect(group.heartbeat(new, 1, instance: "i7") == .unknownMemberID)
    }

    @Test func aChangeOfTheProtocolIsARebalance() throws {
        let group = GroupHarness()
        func joinBoth(_ protocols: [(String, [UInt8])]) -> [RequestToken] { ["i0", "i1"].map { id in group.join { ($0.instance, $0.protocols) = (id, protocols) } } }
        let tokens = joinBoth([("range", []), ("roundrobin", [])])
        group.pass(10_000)
        let ids = try tokens.map { try #require(group.joinAnswer($0)).memberID }
        group.syncAll(ids, 1)
        let changed = group.join { ($0.instance, $0.protocols) = ("i1", [("roundrobin", [])]) }
        #expect(group.error(changed) == nil && group.state == "PreparingRebalance")
        _ = group.join { ($0.memberID, $0.instance, $0.protocols) = (ids[0], "i0", [("range", []), ("roundrobin", [])]) }
        #expect(group.joinAnswer(changed)?.protocolName == "roundrobin")
        #expect(group.joinAnswer(changed)?.generationID == 2)
    }

    /// A consumer's metadata of version 1: topics, no user data, what it holds.
    private func subscription(_ topic: String, holding partitions: [UInt8]) -> [UInt8] {
        let name: [UInt8] = [0, UInt8(topic.utf8.count)] + Array(topic.utf8)
        let held: [UInt8] = [0, 0, 0, 1] + name + [0, 0, 0, UInt8(partitions.count)] + partitions.flatMap { [0, 0, 0, $0] }
        return [0, 1, 0, 0, 0, 1] + name + [0xff, 0xff, 0xff, 0xff] + held
    }

    @Test func onlyOtherTopicsAreNewsAfterARestart() throws {
        let group = GroupHarness()
        let tokens = ["i0", "i1"].map { id in group.join { ($0.instance, $0.protocols) = (id, [("range", subscription("a", holding: [1, 2]))]) } }
        group.pass(10_000)
        let ids = try tokens.map { try #require(group.joinAnswer($0)).memberID }
        group.syncAll(ids, 1)
        let same = group.join { ($0.instance, $0.protocols) = ("i1", [("range", subscription("a", holding: []))]) }
        #expect(group.joinAnswer(same)?.generationID == 1 && group.state == "Stable")
        let other = group.join { ($0.instance, $0.protocols) = ("i1", [("range", subscription("b", holding: []))]) }
        #expect(group.error(other) == nil && group.state == "PreparingRebalance")
    }

    @Test func comingBackBeforeTheLeaderDividedIsARebalance() throws {
        let group = GroupHarness()
        let tokens = ["i0", "i1"].map { id in group.join { $0.instance = id } }
        group.pass(10_000)
        let ids = try tokens.map { try #require(group.joinAnswer($0)).memberID }
        let waiting = group.sync(ids[1], 1, instance: "i1")
        let new = group.join { $0.instance = "i1" }
        // The leader would divide among members of which one has another id now.
        #expect(group.error(waiting) == .fencedInstanceID)
        #expect(group.error(new) == nil && group.state == "PreparingRebalance")
        #expect(group.error(group.sync(ids[0], 1, instance: "i0", [ids[1]: [1]])) == .rebalanceInProgress)
        _ = group.join { ($0.memberID, $0.instance) = (ids[0], "i0") }
        #expect(group.joinAnswer(new)?.generationID == 2)
    }

    @Test func comingBackTwiceInARebalanceFencesTheFirst() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        let leader = group.join { ($0.memberID, $0.instance) = (ids[0], "i0") }
        let third = group.join { $0.instance = "i2" }
        let again = group.join { $0.instance = "i2" }
        #expect(group.error(third) == .fencedInstanceID && group.error(again) == nil)
        _ = group.join { ($0.memberID, $0.instance) = (ids[1], "i1") }
        #expect(group.joinAnswer(leader)?.members.count == 3)
        #expect(group.joinAnswer(again)?.generationID == 2)
    }

    @Test func aStaticMemberThatIsLateKeepsItsPlaceForAWhile() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        // The leader itself does not come: another one leads.
        let token = group.join { ($0.memberID, $0.instance, $0.protocols) = (ids[1], "i1", [("range", [2])]) }
        for _ in 0..<12 {
            group.pass(5_000)
            _ = group.heartbeat(ids[0], 1, instance: "i0")
        }
        let answer = try #require(group.joinAnswer(token))
        #expect(answer.generationID == 2 && answer.leader == ids[1] && Set(answer.members.map(\.memberID)) == Set(ids))
        // The late one is told so, and may still come.
        #expect(group.heartbeat(ids[0], 1, instance: "i0") == .illegalGeneration)
        #expect(group.joinAnswer(group.join { ($0.memberID, $0.instance) = (ids[0], "i0") })?.generationID == 2)
    }

    @Test func aStaticMemberThatDoesNotSyncIsPutOut() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        _ = group.join { ($0.memberID, $0.instance, $0.protocols, $0.sessionTimeoutMs) = (ids[1], "i1", [("range", [2])], 100_000) }
        for _ in 0..<12 {
            group.pass(5_000)
            _ = group.heartbeat(ids[0], 1, instance: "i0")
        }
        _ = group.sync(ids[1], 2, [:])
        #expect(group.state == "Stable" && group.memberIDs.count == 2)
        for _ in 0..<12 {
            group.pass(5_000)
            _ = group.heartbeat(ids[0], 2, instance: "i0")
        }
        #expect(group.memberIDs == [ids[1]] && group.state == "PreparingRebalance")
    }

    @Test func ifNobodyComesTheRebalanceWaitsForSessionsToEnd() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        // A third one begins a rebalance and leaves again; the other two stay alive without joining.
        let third = try #require(group.joinAnswer(group.join())).memberID
        _ = group.join { $0.memberID = third }
        _ = group.leave([(third, nil)])
        for _ in 0..<30 {
            group.pass(5_000)
            for (id, instance) in zip(ids, ["i0", "i1"]) { #expect(group.heartbeat(id, 1, instance: instance) == .rebalanceInProgress) }
        }
        #expect(group.state == "PreparingRebalance")
        group.pass(10_000)
        #expect(group.state == "Empty")
    }

    @Test func aStaticMemberOfAFullGroupComesBack() throws {
        var options = GroupOptions()
        options.sizeMax = 2
        let group = GroupHarness(options)
        let ids = try settled(group)
        #expect(group.error(group.join { $0.instance = "i1" }) == ErrorCode.none)
        #expect(group.error(group.join { $0.instance = "i2" }) == .groupMaxSizeReached)
        #expect(group.memberIDs.contains(ids[0]))
    }

    @Test func anAdministratorPutsOutAnInstance() throws {
        let group = GroupHarness()
        let ids = try settled(group)
        let response = try #require(group.leave([("", "i1"), ("", "i7"), ("", nil)]))
        #expect(response.errorCode == .none)
        #expect(response.members.map(\.errorCode) == [.none, .unknownMemberID, .unknownMemberID])
        #expect(response.members.map(\.groupInstanceID) == ["i1", "i7", nil])
        #expect(group.memberIDs == [ids[0]])
        #expect(group.heartbeat(ids[0], 1, instance: "i0") == .rebalanceInProgress)
    }
}
