import KafkaProtocol
import Testing

@testable import Coordinators

/// The protocols that members of the classic one offer to a group of the new one.
@Suite struct ConsumerOfferTests {
    private static let group = ConsumerHarness.groupID

    private func harness() -> ConsumerHarness {
        var options = GroupOptions()
        options.initialRebalanceDelayMs = 0
        return ConsumerHarness(ConsumerTopics(["t": 4]), options: options)
    }

    @Test func oneHasToBeKnownToAllOthers() throws {
        var harness = harness()
        harness.join("new")
        #expect(harness.join("a", offering: ["range", "sticky"]).errorCode == .none)
        #expect(harness.join("b", offering: ["sticky"]).errorCode == .none)
        #expect(harness.join("c", offering: ["range"]).errorCode == .inconsistentGroupProtocol)
        #expect(harness.join("c", offering: ["other", "sticky"]).errorCode == .none)
        // What the member itself offered before does not count.
        #expect(harness.join("a", offering: ["range"]).errorCode == .inconsistentGroupProtocol)
        for memberID in ["b", "c"] { #expect(harness.classicLeave(memberID) == .none) }
        #expect(harness.join("a", offering: ["range"]).errorCode == .none)
        #expect(harness.join("d", offering: ["sticky"]).errorCode == .inconsistentGroupProtocol)
        #expect(harness.join("d", offering: ["range", "range"]).errorCode == .none)
        try harness.restart()
        #expect(harness.join("e", offering: ["sticky"]).errorCode == .inconsistentGroupProtocol)
        #expect(harness.join("e", offering: ["range"]).errorCode == .none)
        // One that changes to the new protocol offers none any more.
        #expect(harness.join("d").errorCode == .none)
        for memberID in ["a", "e"] { #expect(harness.classicLeave(memberID) == .none) }
        #expect(harness.join("f", offering: ["other"]).errorCode == .none)
    }

    @Test func aProtocolNamedTwiceIsKeptOnce() {
        var harness = harness()
        harness.join("new")
        #expect(harness.join("a", offering: ["range", "sticky", "range"]).errorCode == .none)
        guard case .consumer(let group) = harness.coordinator.groups[Self.group] else {
            Issue.record("the group is of the other protocol")
            return
        }
        #expect(group.members["a"]?.profile.classic?.protocols.map(\.name) == ["range", "sticky"])
    }

    @Test(arguments: [(1_000, ErrorCode.none), (1_001, .invalidRequest)])
    func aMemberOffersAtMostAThousand(count: Int, expected: ErrorCode) {
        var harness = harness()
        harness.join("new")
        #expect(harness.join("a", offering: (0..<count).map { "p\($0)" }).errorCode == expected)
    }

    /// What the classic group agreed on need not be what each member likes best.
    @Test func whoWasAboutToSyncWhenTheGroupMovedOverIsToldToRejoin() {
        var harness = harness()
        let leader = harness.join("", offering: ["range", "sticky"]).memberID
        #expect(harness.join(leader, offering: ["range", "sticky"]).generationID == 1)
        let other = harness.join("", offering: ["sticky", "range"]).memberID
        let parked = harness.send(other, offering: ["sticky", "range"])
        #expect(parked == nil)
        #expect(harness.join(leader, offering: ["range", "sticky"]).protocolName == "range")
        #expect(harness.join("new").errorCode == .none)
        #expect(harness.sync(other, 2, agreedOn: "range") == .rebalanceInProgress)
        let joined = harness.join(other, offering: ["sticky", "range"])
        #expect(joined.protocolName == "sticky")
        #expect(harness.sync(other, joined.generationID, agreedOn: "range") == .inconsistentGroupProtocol)
        #expect(harness.sync(other, joined.generationID, agreedOn: "sticky") == ErrorCode.none)
    }
}

extension ConsumerHarness {
    /// JoinGroup with these protocols, each with the same subscription; nil while it waits for the others.
    fileprivate mutating func send(_ memberID: String, offering names: [String]) -> GroupResponse? {
        var request = Self.joinRequest(memberID, ["t"], owned: [:])
        let metadata = request.protocols[0].metadata
        request.protocols = names.map { name in JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = (name, metadata) } }
        return perform({ $0.join(request, $1, at: $2) }, version: 9)
    }

    fileprivate mutating func join(_ memberID: String, offering names: [String]) -> JoinGroupResponse {
        guard case .join(let response) = send(memberID, offering: names) else {
            Issue.record("JoinGroup was not answered")
            return JoinGroupResponse()
        }
        return response
    }

    fileprivate mutating func sync(_ memberID: String, _ generationID: Int32, agreedOn name: String) -> ErrorCode? {
        let request = SyncGroupRequest {
            ($0.groupID, $0.memberID, $0.generationID) = (Self.groupID, memberID, generationID)
            ($0.protocolType, $0.protocolName) = ("consumer", name)
        }
        return perform({ $0.sync(request, $1, at: $2) }, version: 5)?.errorCode
    }
}
