import KafkaProtocol
import Testing

@testable import Coordinators

/// InitProducerId: who gets which producer id and epoch, and who is out.
@Suite struct TransactionInitTests {
    @Test func aNewIDGetsAProducerIDAndEpochZero() {
        var harness = TransactionHarness()
        let response = harness.begin()
        #expect((response.errorCode, response.producerID, response.producerEpoch) == (.none, 100, 0))
        #expect(harness.rows["t"]?.producerID == 100)
        #expect(harness.rows["t"]?.isOpen == false)
        #expect(harness.begin("other").producerID == 101)
    }

    @Test func anIdempotentProducerGetsAProducerIDOfItsOwnAndLeavesNothing() {
        var harness = TransactionHarness()
        #expect(harness.begin(nil).producerID == 100)
        #expect(harness.begin(nil).producerID == 101)
        #expect(harness.effects.isEmpty)
        #expect(harness.rows.isEmpty)
    }

    @Test func eachIncarnationGetsTheNextEpoch() {
        var harness = TransactionHarness()
        #expect(harness.begin().producerEpoch == 0)
        #expect(harness.begin().producerEpoch == 1)
        let third = harness.begin()
        #expect((third.producerID, third.producerEpoch) == (100, 2))
    }

    @Test func badRequestsAreRefused() {
        var harness = TransactionHarness()
        #expect(harness.begin("").errorCode == .invalidRequest)
        #expect(harness.begin(String(repeating: "x", count: 501)).errorCode == .invalidRequest)
        #expect(harness.begin("t", timeoutMs: 900_001).errorCode == .invalidTransactionTimeout)
        #expect(harness.begin("t", timeoutMs: 0).errorCode == .invalidTransactionTimeout)
        #expect(harness.begin("t", timeoutMs: -1).errorCode == .invalidTransactionTimeout)
        #expect(harness.begin("t", producerID: 5).errorCode == .invalidRequest)
        #expect(harness.begin("t", epoch: 5).errorCode == .invalidRequest)
        #expect(harness.begin("t", timeoutMs: 0).producerID == -1)
        #expect(harness.coordinator.transactionalIDs.isEmpty)
    }

    @Test func withoutProducerIDsTheClientComesBack() {
        var harness = TransactionHarness()
        harness.coordinator = TransactionCoordinator(options: TransactionOptions())
        #expect(harness.begin().errorCode == .coordinatorLoadInProgress)
        #expect(harness.begin(nil).errorCode == .coordinatorLoadInProgress)
        harness.coordinator.supply(producerIDs: 7..<8)
        #expect(harness.coordinator.producerIDsLeft == 1)
        #expect(harness.begin().producerID == 7)
        #expect(harness.coordinator.producerIDsLeft == 0)
    }

    @Test func anOpenTransactionIsAbortedInTheSameStepAsTheNewEpoch() {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce("t", [1, 2])
        harness.commitOffsets("g")
        let response = harness.begin()
        #expect((response.errorCode, response.producerID, response.producerEpoch) == (.none, 100, 1))
        #expect(harness.effects.steps.count == 1)
        let markers = harness.markers
        #expect(
            markers == [
                TransactionMarkers(producerID: 100, producerEpoch: 1, isCommit: false, coordinatorEpoch: 7, partitions: [1, 2], groupIDs: ["g"])
            ])
        let row = harness.rows["t"]
        #expect((row?.isOpen, row?.producerEpoch, row?.partitions, row?.groupIDs) == (false, 1, [], []))
        #expect(harness.produce(epoch: 0) == .invalidProducerEpoch)
        #expect(harness.end(epoch: 0).errorCode == .producerFenced)
    }

    @Test func theHolderGetsItsNextEpochAndARepetitionGetsTheSame() {
        var harness = TransactionHarness()
        harness.begin()
        let bumped = harness.begin(producerID: 100, epoch: 0)
        #expect((bumped.producerID, bumped.producerEpoch) == (100, 1))
        let repeated = harness.begin(producerID: 100, epoch: 0)
        #expect((repeated.errorCode, repeated.producerID, repeated.producerEpoch) == (.none, 100, 1))
        #expect(harness.begin(producerID: 100, epoch: 1).producerEpoch == 2)
    }

    @Test func theHolderMayAskWhileItsTransactionIsOpen() {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce()
        #expect(harness.begin(producerID: 100, epoch: 0).producerEpoch == 1)
        #expect(harness.markers.map(\.isCommit) == [false])
        #expect(harness.begin(producerID: 100, epoch: 0).producerEpoch == 1)
    }

    @Test func whoeverWasFencedStaysOut() {
        var harness = TransactionHarness()
        harness.begin()
        harness.begin()
        #expect(harness.begin(producerID: 100, epoch: 0, version: 4).errorCode == .producerFenced)
        #expect(harness.begin(producerID: 100, epoch: 0, version: 3).errorCode == .invalidProducerEpoch)
        #expect(harness.begin(producerID: 99, epoch: 1).errorCode == .producerFenced)
        // And does not end the transaction of whoever is in.
        harness.produce(epoch: 1)
        #expect(harness.begin(producerID: 100, epoch: 0).errorCode == .producerFenced)
        #expect(harness.effects.isEmpty)
        #expect(harness.end(epoch: 1).errorCode == .none)
    }

    @Test func aRepetitionThatComesAfterTheNextTransactionBeganDoesNotAbortIt() {
        var harness = TransactionHarness()
        harness.begin()
        harness.begin(producerID: 100, epoch: 0)
        harness.produce(epoch: 1)
        #expect(harness.begin(producerID: 100, epoch: 0).errorCode == .producerFenced)
        #expect(harness.state() == "Ongoing")
    }

    @Test func anExhaustedEpochBringsANewProducerID() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        let rotated = harness.begin()
        #expect((rotated.errorCode, rotated.producerID, rotated.producerEpoch) == (.none, 101, 0))
        #expect(harness.produce(producerID: 100, epoch: .max - 1) == .invalidProducerIDMapping)
    }

    @Test func anExhaustedHolderIsKnownAgain() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        #expect(harness.begin(producerID: 100, epoch: .max - 1).producerID == 101)
        let repeated = harness.begin(producerID: 100, epoch: .max - 1)
        #expect((repeated.errorCode, repeated.producerID, repeated.producerEpoch) == (.none, 101, 0))
    }

    @Test func theLastEpochIsKeptForFencing() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        harness.produce(epoch: .max - 1)
        let rotated = harness.begin()
        #expect((rotated.producerID, rotated.producerEpoch) == (101, 0))
        #expect(harness.markers.map(\.producerID) == [100])
        #expect(harness.markers.map(\.producerEpoch) == [.max])
        try harness.setEpoch(.max - 2)
        harness.produce(producerID: 101, epoch: .max - 2)
        let last = harness.begin()
        #expect((last.producerID, last.producerEpoch) == (101, .max - 1))
    }

    @Test func idsAreLimited() {
        var harness = TransactionHarness { $0.idsMax = 2 }
        harness.begin("a")
        harness.begin("b")
        #expect(harness.begin("c").errorCode == .policyViolation)
        #expect(harness.begin("a").errorCode == .none)
        #expect(harness.coordinator.producerIDsLeft == 98)
    }
}
