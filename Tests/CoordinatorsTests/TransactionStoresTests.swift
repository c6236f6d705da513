import KafkaProtocol
import Testing

@testable import Coordinators

/// Transactions with parts in other stores: gates, prepare, markers, complete.
@Suite struct TransactionStoresTests {
    /// A transaction with partition 1 here and partition 7 in store 1, whose gate is open.
    private func open() -> TransactionHarness {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce("t", [1])
        harness.produce("t", [7], store: 1)
        acknowledge(&harness)
        return harness
    }

    private func acknowledge(_ harness: inout TransactionHarness) {
        for delivery in harness.effects.deliveries {
            harness.apply(harness.coordinator.acknowledge(delivery, at: harness.now))
        }
    }

    @Test func aPartitionElsewhereIsWrittenToWhenItsGateIsOpen() {
        var harness = TransactionHarness()
        harness.begin()
        #expect(harness.addPartitions("t", [("far", [7])]) == [.concurrentTransactions])
        #expect(harness.effects.steps.map(\.row?.isOpen) == [true])
        #expect(harness.effects.steps.map(\.row?.partitions) == [[]])
        let deliveries = harness.effects.deliveries
        #expect(deliveries.map(\.store) == [1])
        #expect(deliveries.map(\.step.row?.isOpen) == [true])
        #expect(deliveries.map(\.step.row?.partitions) == [[7]])
        #expect(deliveries.map(\.step.markers) == [nil])
        #expect(harness.produce("t", [7], store: 1) == .concurrentTransactions)
        #expect(harness.produce("t", [7], store: 1, version: 11) == .notEnoughReplicas)
        #expect(harness.effects.isEmpty)
        harness.effects.deliveries = deliveries
        acknowledge(&harness)
        #expect(harness.effects.isEmpty)
        #expect(harness.addPartitions("t", [("far", [7])]) == [.none])
        #expect(harness.produce("t", [7], store: 1) == .none)
        #expect(harness.produce("t", [7], store: 1, version: 11) == .none)
        // One more there, and what was in has to wait for the gate again; what is here has not.
        #expect(harness.produce("t", [8], store: 1) == .concurrentTransactions)
        #expect(harness.produce("t", [1]) == .none)
    }

    @Test(arguments: [true, false]) func anEndIsPreparedThenMarkedThenComplete(commit: Bool) {
        var harness = open()
        let ended = harness.end(commit: commit)
        #expect((ended.errorCode, ended.producerEpoch) == (.none, 1))
        #expect(harness.state() == (commit ? "PrepareCommit" : "PrepareAbort"))
        #expect(harness.rows["t"]?.isOpen == false)
        #expect(harness.markers.map(\.partitions) == [[1]])
        let deliveries = harness.effects.deliveries
        #expect(deliveries.map(\.step.row?.isOpen) == [false])
        #expect(
            deliveries.map(\.step.markers) == [
                TransactionMarkers(producerID: 100, producerEpoch: 1, isCommit: commit, coordinatorEpoch: 7, partitions: [7], groupIDs: [])
            ])
        #expect(harness.produce(epoch: 1) == .concurrentTransactions)
        #expect(harness.addPartitions(epoch: 1) == [.concurrentTransactions])
        #expect(harness.begin().errorCode == .concurrentTransactions)
        #expect(harness.end(commit: commit).errorCode == .concurrentTransactions)
        #expect(harness.end(commit: commit, epoch: 1).errorCode == .concurrentTransactions)
        #expect(harness.end(commit: commit, epoch: 2).errorCode == .producerFenced)
        harness.effects.deliveries = deliveries
        acknowledge(&harness)
        #expect(harness.effects.steps.count == 1)
        #expect(harness.state() == (commit ? "CompleteCommit" : "CompleteAbort"))
        #expect(harness.end(commit: commit).producerEpoch == 1)
        #expect(harness.produce(epoch: 1) == .none)
    }

    @Test func olderClientsAreToldWhichEndIsUnderWay() {
        var harness = open()
        harness.end(commit: true, version: 3)
        #expect(harness.end(commit: true, version: 3).errorCode == .concurrentTransactions)
        #expect(harness.end(commit: false, version: 3).errorCode == .invalidTxnState)
    }

    @Test func markersAreSentUntilTheyAreAcknowledged() throws {
        var harness = open()
        harness.end()
        let first = harness.effects.deliveries
        #expect(harness.advance(999).isEmpty)
        harness.advance(1)
        #expect(harness.effects.deliveries == first)
        #expect(harness.effects.steps.isEmpty)
        try harness.restart()
        #expect(harness.state() == "PrepareCommit")
        harness.advance(0)
        #expect(harness.effects.deliveries == first)
        // No timeout undoes what is decided.
        harness.advance(10_000_000)
        #expect(harness.state() == "PrepareCommit")
        #expect(harness.effects.deliveries == first)
        acknowledge(&harness)
        #expect(harness.state() == "CompleteCommit")
        #expect(harness.advance(1_000).isEmpty)
    }

    @Test func anotherStoreAppliesEachStepOnceAndInOrder() throws {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce("t", [7], store: 1)
        let opening = try #require(harness.effects.deliveries.first)
        acknowledge(&harness)
        harness.end(commit: false)
        let ending = try #require(harness.effects.deliveries.first)
        #expect(opening.applies(over: nil))
        #expect(ending.applies(over: opening.step.row))
        #expect(!opening.applies(over: opening.step.row))
        #expect(!ending.applies(over: ending.step.row))
        #expect(!opening.applies(over: ending.step.row))
    }

    @Test func anIDThatExpiredAndCameBackIsNotTakenForItsOldSelf() throws {
        var harness = open()
        for epoch in Int16(0)..<3 {
            harness.end(epoch: epoch)
            acknowledge(&harness)
            harness.produce("t", [7], store: 1, epoch: epoch + 1)
            acknowledge(&harness)
        }
        harness.end(epoch: 3)
        let old = try #require(harness.effects.deliveries.first)
        acknowledge(&harness)
        harness.advance(harness.coordinator.options.idExpirationMs)
        #expect(harness.rows.isEmpty)
        harness.begin()
        harness.produce("t", [7], store: 1, producerID: 101)
        let new = try #require(harness.effects.deliveries.first)
        #expect(new.applies(over: old.step.row))
        #expect(!old.applies(over: new.step.row))
        #expect(new.revision < old.revision)
        #expect(harness.coordinator.acknowledge(old, at: harness.now).isEmpty)
        #expect(harness.produce("t", [7], store: 1, producerID: 101) == .concurrentTransactions)
        #expect(harness.coordinator.acknowledge(new, at: harness.now).isEmpty)
        #expect(harness.produce("t", [7], store: 1, producerID: 101) == .none)
    }

    @Test func aNewIncarnationWaitsForTheAbortElsewhere() {
        var harness = open()
        #expect(harness.begin().errorCode == .concurrentTransactions)
        #expect(harness.state() == "PrepareAbort")
        let deliveries = harness.effects.deliveries
        #expect(deliveries.map(\.step.markers?.isCommit) == [false])
        #expect(harness.produce() == .invalidProducerEpoch)
        #expect(harness.end().errorCode == .producerFenced)
        harness.effects.deliveries = deliveries
        acknowledge(&harness)
        #expect(harness.end(commit: false).errorCode == .producerFenced)
        #expect(harness.begin().producerEpoch == 2)
    }

    @Test func theHolderItselfWaitsAndGoesOn() {
        var harness = open()
        #expect(harness.begin(producerID: 100, epoch: 0).errorCode == .concurrentTransactions)
        acknowledge(&harness)
        let response = harness.begin(producerID: 100, epoch: 0)
        #expect((response.errorCode, response.producerEpoch) == (.none, 1))
    }

    @Test func aTimeoutReachesEveryStore() {
        var harness = open()
        harness.advance(60_000)
        #expect(harness.state() == "PrepareAbort")
        #expect(harness.markers.map(\.partitions) == [[1]])
        #expect(harness.effects.deliveries.map(\.step.markers?.partitions) == [[7]])
        acknowledge(&harness)
        #expect(harness.state() == "CompleteAbort")
    }

    @Test func groupsMayBeElsewhereToo() {
        var harness = TransactionHarness()
        harness.begin()
        let group = TransactionGroup(store: 2, id: "g")
        func commit() -> ErrorCode {
            let (code, effects) = harness.coordinator.admitOffsetCommit(
                transactionalID: "t", producerID: 100, producerEpoch: 0, group: group, version: 5, at: harness.now)
            harness.apply(effects)
            return code
        }
        #expect(commit() == .concurrentTransactions)
        #expect(harness.effects.deliveries.map(\.step.row?.groupIDs) == [["g"]])
        acknowledge(&harness)
        #expect(commit() == .none)
        harness.end()
        #expect(harness.markers.isEmpty)
        #expect(harness.effects.deliveries.map(\.step.markers?.groupIDs) == [["g"]])
    }

    @Test func anExhaustedEpochRotatesWithThePrepare() throws {
        var harness = open()
        try harness.setEpoch(.max - 1)
        let ended = harness.end(epoch: .max - 1)
        #expect((ended.producerID, ended.producerEpoch) == (101, 0))
        let deliveries = harness.effects.deliveries
        #expect(deliveries.map(\.step.markers?.producerID) == [100])
        #expect(deliveries.map(\.step.markers?.producerEpoch) == [.max])
        try harness.restart()
        #expect(harness.produce(producerID: 101) == .concurrentTransactions)
        harness.advance(0)
        #expect(harness.effects.deliveries == deliveries)
        acknowledge(&harness)
        #expect(harness.produce(producerID: 101) == .none)
    }
}
