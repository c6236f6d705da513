import KafkaProtocol
import Testing

@testable import Coordinators

/// EndTxn, and the admin tools' WriteTxnMarkers.
@Suite struct TransactionEndingTests {
    private func open(_ partitions: [UInt32] = [1, 2]) -> TransactionHarness {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce("t", partitions)
        return harness
    }

    @Test(arguments: [true, false]) func anEndIsOneStepAndBumpsTheEpoch(commit: Bool) {
        var harness = open()
        harness.commitOffsets("g")
        let response = harness.end(commit: commit)
        #expect((response.errorCode, response.producerID, response.producerEpoch) == (.none, 100, 1))
        #expect(harness.effects.deliveries.isEmpty)
        #expect(harness.effects.steps.count == 1)
        #expect(
            harness.markers == [
                TransactionMarkers(producerID: 100, producerEpoch: 1, isCommit: commit, coordinatorEpoch: 7, partitions: [1, 2], groupIDs: ["g"])
            ])
        let row = harness.rows["t"]
        #expect((row?.isOpen, row?.producerEpoch, row?.partitions, row?.groupIDs) == (false, 1, [], []))
        #expect(harness.state() == (commit ? "CompleteCommit" : "CompleteAbort"))
    }

    @Test(arguments: [true, false]) func olderClientsKeepTheirEpoch(commit: Bool) {
        var harness = open()
        let response = harness.end(commit: commit, version: 4)
        #expect((response.errorCode, response.producerID, response.producerEpoch) == (.none, -1, -1))
        #expect(harness.markers.map(\.producerEpoch) == [0])
        #expect(harness.rows["t"]?.producerEpoch == 0)
        #expect(harness.end(commit: commit, version: 4).errorCode == .none)
        #expect(harness.effects.isEmpty)
        #expect(harness.end(commit: !commit, version: 4).errorCode == .invalidTxnState)
        harness.begin()
        #expect(harness.end(commit: commit, epoch: 1, version: 4).errorCode == .invalidTxnState)
    }

    @Test(arguments: [true, false]) func aRepeatedEndIsAnsweredAgainAndEndsNothing(commit: Bool) throws {
        var harness = open()
        harness.end(commit: commit)
        try harness.restart()
        let repeated = harness.end(commit: commit)
        #expect((repeated.errorCode, repeated.producerID, repeated.producerEpoch) == (.none, 100, 1))
        #expect(harness.effects.isEmpty)
        #expect(harness.end(commit: !commit).errorCode == .invalidTxnState)
        // Once the next transaction has begun, nothing of the old epoch is heard any more.
        harness.produce(epoch: 1)
        #expect(harness.end(commit: commit).errorCode == .producerFenced)
        #expect(harness.end(commit: !commit).errorCode == .producerFenced)
        #expect(harness.produce("t", [3]) == .invalidProducerEpoch)
        #expect(harness.state() == "Ongoing")
        #expect(harness.end(epoch: 1).producerEpoch == 2)
        #expect(harness.end(commit: commit, epoch: 0).errorCode == .producerFenced)
    }

    @Test func anEndWithoutPartitionsIsAnAbort() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.end(commit: true).errorCode == .invalidTxnState)
        let aborted = harness.end(commit: false)
        #expect((aborted.errorCode, aborted.producerEpoch) == (.none, 1))
        #expect(harness.markers.isEmpty)
        #expect(harness.state() == "CompleteAbort")
        #expect(harness.end(commit: false).producerEpoch == 1)
        #expect(harness.end(commit: true, epoch: 1).errorCode == .invalidTxnState)
        #expect(harness.end(commit: false, epoch: 1).producerEpoch == 2)
        harness.produce(epoch: 2)
        harness.end(commit: true, epoch: 2)
        #expect(harness.end(commit: true, epoch: 3).errorCode == .invalidTxnState)
        #expect(harness.end(commit: false, epoch: 3).producerEpoch == 4)
    }

    @Test func strangersAndZombiesEndNothing() {
        var harness = open()
        #expect(harness.end("unknown").errorCode == .invalidProducerIDMapping)
        #expect(harness.end("").errorCode == .invalidRequest)
        for version in [Int16(4), 5] { #expect(harness.end(producerID: 99, version: version).errorCode == .invalidProducerIDMapping) }
        for version in [Int16(2), 4, 5] { #expect(harness.end(epoch: 1, version: version).errorCode == .producerFenced) }
        #expect(harness.end(epoch: 1, version: 1).errorCode == .invalidProducerEpoch)
        #expect(harness.state() == "Ongoing")
        harness.begin()
        for version in [Int16(4), 5] { #expect(harness.end(version: version).errorCode == .producerFenced) }
        #expect(harness.end(commit: false).errorCode == .producerFenced)
    }

    @Test func anEpochTakenByInitProducerIDIsNoRepeatedEnd() {
        var harness = open()
        harness.end()
        harness.begin(producerID: 100, epoch: 1)
        #expect(harness.end(epoch: 1).errorCode == .producerFenced)
        #expect(harness.end(epoch: 0).errorCode == .producerFenced)
    }

    @Test func anExhaustedEpochBringsANewProducerID() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        harness.produce(epoch: .max - 1)
        let ended = harness.end(epoch: .max - 1)
        #expect((ended.errorCode, ended.producerID, ended.producerEpoch) == (.none, 101, 0))
        #expect(harness.markers.map(\.producerID) == [100])
        #expect(harness.markers.map(\.producerEpoch) == [.max])
        let repeated = harness.end(epoch: .max - 1)
        #expect((repeated.errorCode, repeated.producerID, repeated.producerEpoch) == (.none, 101, 0))
        #expect(harness.end(commit: false, epoch: .max - 1).errorCode == .invalidTxnState)
        #expect(harness.produce(producerID: 101, epoch: 0) == .none)
        #expect(harness.end(epoch: .max - 1).errorCode == .invalidProducerIDMapping)
    }

    @Test func anEndThatNeedsAProducerIDWaitsForOne() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        harness.produce(epoch: .max - 1)
        while harness.coordinator.takeProducerID() != nil {}
        #expect(harness.end(epoch: .max - 1).errorCode == .coordinatorLoadInProgress)
        #expect(harness.state() == "Ongoing")
        harness.coordinator.supply(producerIDs: 300..<301)
        #expect(harness.end(epoch: .max - 1).producerID == 300)
    }

    @Test func markersFromOutsideNeverTearATransaction() {
        var harness = open([1, 2])
        func admit(_ producerID: Int64, _ epoch: Int16, commit: Bool = false, _ partition: UInt32) -> TransactionCoordinator.MarkerAdmission {
            harness.coordinator.admitMarkers(
                producerID: producerID, producerEpoch: epoch, isCommit: commit, partitions: [TransactionPartition(id: partition)], at: harness.now)
        }
        #expect(admit(999, 0, 1) == .write)
        #expect(admit(100, 0, 9) == .write)
        #expect(admit(100, 0, commit: true, 1) == .refuse(.invalidTxnState))
        guard case .abort(let effects) = admit(100, 0, 1) else {
            Issue.record("the transaction was not aborted")
            return
        }
        harness.apply(effects)
        #expect(harness.markers.map(\.partitions) == [[1, 2]])
        #expect(harness.state() == "CompleteAbort")
        #expect(admit(100, 0, 1) == .refuse(.invalidProducerEpoch))
        #expect(harness.end().errorCode == .producerFenced)
    }
}
