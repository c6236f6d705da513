import KafkaProtocol
import Testing

@testable import Coordinators

/// Members with a `group.instance.id`.
@Suite struct ConsumerStaticTests {
    private func harness() -> ConsumerHarness {
        var harness = ConsumerHarness(ConsumerTopics(["t": 4]))
        harness.join("a", instanceID: "i")
        return harness
    }

    private func leave(_ harness: inout ConsumerHarness, _ memberID: String, _ instanceID: String, _ epoch: Int32) -> ConsumerGroupHeartbeatResponse {
        harness.heartbeat { ($0.memberID, $0.instanceID, $0.memberEpoch) = (memberID, instanceID, epoch) }
    }

    @Test func whoComesBackFindsItsPartitions() throws {
        var harness = harness()
        let other = harness.join("b")
        #expect(other.memberEpoch == 2)
        let kept = harness.named(harness.beat("a", 1)) ?? [:]
        #expect(harness.beat("a", 1, owned: kept).memberEpoch == 2)
        let away = leave(&harness, "a", "i", -2)
        #expect(away.errorCode == .none)
        #expect(away.memberEpoch == -2)
        let epoch = harness.described.groupEpoch
        harness.wait(44_000)
        harness.beat("b", 2)
        try harness.restart()

        let back = harness.join("a2", instanceID: "i")
        #expect(back.errorCode == .none)
        #expect(back.memberEpoch == 2)
        #expect(harness.named(back) == kept)
        #expect(harness.described.groupEpoch == epoch)
        #expect(harness.described.members.map(\.memberID) == ["a2", "b"])
        // The one that it was is nobody any more.
        #expect(harness.beat("a", 2).errorCode == .unknownMemberID)
        #expect(harness.heartbeat { ($0.memberID, $0.instanceID, $0.memberEpoch) = ("a", "i", 2) }.errorCode == .fencedInstanceID)
        try harness.restart()
        #expect(harness.beat("a2", 2).errorCode == .none)
    }

    @Test func whoDoesNotComeBackIsFencedWhenItsSessionEnds() {
        var harness = harness()
        harness.join("b")
        _ = leave(&harness, "a", "i", -2)
        harness.wait(44_999)
        harness.beat("b", 2)
        #expect(harness.described.members.count == 2)
        harness.wait(1)
        #expect(harness.described.members.count == 1)
        #expect(harness.named(harness.beat("b", 2))?["t"]?.count == 4)
    }

    @Test func anInstanceThatIsInUseIsNotReleased() {
        var harness = harness()
        #expect(harness.join("z", instanceID: "i").errorCode == .unreleasedInstanceID)
        #expect(leave(&harness, "z", "i", -1).errorCode == .fencedInstanceID)
        #expect(leave(&harness, "a", "j", -2).errorCode == .unknownMemberID)
        #expect(harness.beat("a", 1).errorCode == .none)
        // Whose answer got lost is no other.
        #expect(harness.join("a", instanceID: "i").errorCode == .none)
        #expect(leave(&harness, "a", "i", -1).errorCode == .none)
        #expect(harness.join("z", instanceID: "i").errorCode == .none)
    }

    @Test func anInstanceCannotTakeTheIDOfAnotherMember() {
        var harness = harness()
        harness.join("b")
        _ = leave(&harness, "a", "i", -2)
        #expect(harness.join("b", instanceID: "i").errorCode == .invalidRequest)
        #expect(harness.described.members.count == 2)
    }

    @Test func partitionsThatWereTakenMeanwhileAreNotWaitedFor() {
        var harness = harness()
        _ = leave(&harness, "a", "i", -2)
        #expect(harness.named(harness.join("b")) == [:])
        // Its return says that it has nothing; two of its four partitions go on to the other at once.
        #expect(harness.named(harness.join("a2", instanceID: "i"))?["t"]?.count == 2)
        #expect(harness.named(harness.beat("b", 2))?["t"]?.count == 2)
    }
}
