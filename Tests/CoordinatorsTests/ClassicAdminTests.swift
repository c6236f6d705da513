import KafkaProtocol
import Testing

@testable import Coordinators

@Suite struct ClassicAdminTests {
    /// A consumer's metadata: version 0, topics, no user data.
    private func subscription(_ topics: String...) -> [UInt8] {
        let names: [UInt8] = topics.flatMap { topic -> [UInt8] in [0, UInt8(topic.utf8.count)] + Array(topic.utf8) }
        return [0, 0, 0, 0, 0, UInt8(topics.count)] + names + [0xff, 0xff, 0xff, 0xff]
    }

    @Test func aGroupOfCommittedOffsetsOnlyIsListedAndDeleted() throws {
        let group = GroupHarness()
        try group.coordinator.load("offsets", records: [], at: group.moment)
        #expect(group.coordinator.list(states: [], types: []).map(\.groupID) == ["offsets"])
        #expect(group.coordinator.list(states: ["EMPTY"], types: ["Classic"]).count == 1)
        #expect(group.coordinator.list(states: ["stable"], types: []).isEmpty)
        #expect(group.coordinator.list(states: [], types: ["consumer"]).isEmpty)
        #expect(group.coordinator.delete("offsets").0 == .none)
        #expect(group.coordinator.delete("offsets").0 == .groupIDNotFound)
        #expect(group.coordinator.delete(String(repeating: "x", count: 256)).0 == .invalidGroupID)
    }

    /// Kafka lets consumers that are members of no group commit without saying for which.
    @Test func theEmptyGroupIDHoldsOffsetsAndNoMembers() {
        let group = GroupHarness()
        #expect(group.coordinator.delete("").0 == .groupIDNotFound)
        #expect(group.commit("", -1, group: "") == .none)
        #expect(group.commit("m", 1, group: "") == .unknownMemberID)
        #expect(group.commit("", -1, transactional: true, group: "") == .invalidGroupID)
        #expect(group.coordinator.list(states: [], types: []).map(\.groupID) == [""])
        #expect(group.coordinator.describe("", version: 6).groupState == "Empty")
        #expect(group.error(group.join { $0.groupID = "" }) == .invalidGroupID)
        #expect(group.coordinator.admitOffsetDelete(groupID: "").0 == .invalidGroupID)
        #expect(group.coordinator.describeConsumer("").errorCode == .invalidGroupID)
        #expect(group.coordinator.offsetsExpiry(of: "") == .byCommit)
        #expect(group.coordinator.delete("").0 == .none)
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    @Test func aGroupThatIsNotThereIsDead() {
        let group = GroupHarness()
        #expect(group.coordinator.describe("g", version: 5).groupState == "Dead")
        #expect(group.coordinator.describe("g", version: 5).errorCode == .none)
        #expect(group.coordinator.describe("g", version: 6).errorCode == .groupIDNotFound)
        #expect(group.coordinator.describe("g", version: 6).errorMessage == "Group g not found.")
        #expect(group.coordinator.admitOffsetDelete(groupID: "g").0 == .groupIDNotFound)
        #expect(group.coordinator.admitFetch(groupID: "g", memberID: nil, memberEpoch: -1) == .none)
    }

    @Test func metadataIsShownOfAStableGroupOnly() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        let stable = group.coordinator.describe("g", version: 5)
        #expect(stable.groupState == "Stable" && stable.protocolType == "consumer" && stable.protocolData == "range")
        #expect(stable.members.map(\.memberAssignment) == [[0], [1]] && stable.members.map(\.memberMetadata) == [[1], [1]])
        #expect(stable.members.map(\.clientID) == ["client", "client"] && stable.members.map(\.clientHost) == ["/127.0.0.1", "/127.0.0.1"])
        #expect(group.coordinator.list(states: [], types: []).map(\.protocolType) == ["consumer"])
        _ = group.joinAnew { $0.clientID = "other" }
        let preparing = group.coordinator.describe("g", version: 5)
        #expect(preparing.groupState == "PreparingRebalance" && preparing.protocolType == "consumer" && preparing.protocolData == "")
        #expect(preparing.members.prefix(2).map(\.memberID) == ids && preparing.members.map(\.clientID) == ["client", "client", "other"])
        #expect(preparing.members.map(\.memberAssignment) == [[0], [1], []] && preparing.members.allSatisfy { $0.memberMetadata.isEmpty })
    }

    @Test func onlyAnEmptyGroupIsDeletedAndWithAllItsRecords() throws {
        let group = GroupHarness.eager
        let ids = group.settle(2)
        #expect(group.coordinator.delete("g").0 == .nonEmptyGroup)
        _ = group.leave(ids.map { ($0, nil) })
        let pending = try #require(group.joinAnswer(group.join())).memberID
        let (code, effects) = group.coordinator.delete("g")
        #expect(code == .none)
        group.take(effects)
        #expect(group.records(of: "g").isEmpty && group.coordinator.groupIDs.isEmpty)
        #expect(group.error(group.join { $0.memberID = pending }) == .unknownMemberID)
        #expect(group.joinAnswer(group.joinAnew().token)?.generationID == 1)
    }

    @Test func whatIsOnlyAskedForLeavesNoGroup() {
        let group = GroupHarness()
        func admit() -> ErrorCode {
            group.coordinator.admitCommit(
                groupID: "g", memberID: "", groupInstanceID: nil, generationIDOrMemberEpoch: -1, version: 5, isTransactional: true, at: group.moment)
        }
        #expect(admit() == .none)
        #expect(group.coordinator.groupIDs.isEmpty)
        group.coordinator.holdCommits(of: "g", at: group.moment)
        #expect(group.coordinator.groupIDs == ["g"])
        #expect(admit() == .none)
        group.coordinator.letGoOfCommits(of: "g")
        #expect(group.coordinator.groupIDs.isEmpty)
    }

    @Test func groupsAndMembersWhoseNamesOnlyLookTheSameAreNotTheSame() {
        let group = GroupHarness()
        for name in ["caf\u{e9}", "cafe\u{301}"] { #expect(group.commit("", -1, group: name) == .none) }
        #expect(group.coordinator.groupIDs.count == 2)
        #expect(group.coordinator.delete("caf\u{e9}").0 == .none)
        #expect(group.coordinator.groupIDs.map { Array($0.utf8) } == [Array("cafe\u{301}".utf8)])
    }

    @Test func offsetsOfTopicsInUseAreKept() {
        let group = GroupHarness.eager
        let ids = group.settle(2) { $0.protocols = [("range", self.subscription("a", "b"))] }
        let (code, topics) = group.coordinator.admitOffsetDelete(groupID: "g")
        #expect(code == .none && topics == ["a", "b"])
        #expect(group.coordinator.offsetsExpiry(of: "g") == .never)
        _ = group.join { $0.memberID = ids[0] }
        #expect(group.coordinator.offsetsExpiry(of: "g") == .never)
        _ = group.leave(ids.map { ($0, nil) })
        #expect(group.coordinator.admitOffsetDelete(groupID: "g").0 == .none)
        #expect(group.coordinator.admitOffsetDelete(groupID: "g").subscribedTopics.isEmpty)
    }

    @Test(arguments: [("connect", [0, 0, 0, 0, 0, 0]), ("consumer", [0, 0, 0, 0, 0, 9]), ("consumer", []), ("consumer", [0xff, 0xff, 0, 0, 0, 0])])
    func membersThatDoNotSayWhatTheyReadKeepEverything(type: String, metadata: [UInt8]) {
        let group = GroupHarness.eager
        _ = group.settle(1) { ($0.type, $0.protocols) = (type, [("range", metadata)]) }
        #expect(group.coordinator.admitOffsetDelete(groupID: "g").0 == .nonEmptyGroup)
        #expect(group.coordinator.offsetsExpiry(of: "g") == .never)
    }

    @Test func someoneOnTheWayInKeepsTheOffsetsOfAnEmptyGroup() {
        let group = GroupHarness.eager
        let ids = group.settle(1)
        _ = group.leave([(ids[0], nil)])
        _ = group.join()
        #expect(group.coordinator.offsetsExpiry(of: "g") == .never)
        group.pass(10_000)
        #expect(group.coordinator.offsetsExpiry(of: "g") == .sinceEmpty(wallClockMs: group.moment.wallClockMs - 10_000))
    }
}
