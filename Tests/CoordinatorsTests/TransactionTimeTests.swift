import KafkaProtocol
import Testing

@testable import Coordinators

/// Timeouts, expiry, and what a restart does to them.
@Suite struct TransactionTimeTests {
    @Test func aTransactionThatOutlivesItsTimeoutIsAbortedAndItsProducerFenced() {
        var harness = TransactionHarness()
        harness.begin(timeoutMs: 10_000)
        harness.pass(50_000)
        harness.produce()
        #expect(harness.coordinator.nextDeadline == harness.now.monotonicMs + 10_000)
        #expect(harness.advance(9_999).isEmpty)
        #expect(harness.state() == "Ongoing")
        #expect(harness.advance(1).count == 1)
        #expect(harness.markers.map(\.isCommit) == [false])
        #expect(harness.markers.map(\.producerEpoch) == [1])
        #expect(harness.state() == "CompleteAbort")
        for commit in [true, false] {
            for version in [Int16(4), 5] { #expect(harness.end(commit: commit, version: version).errorCode == .producerFenced) }
        }
        #expect(harness.produce() == .invalidProducerEpoch)
        #expect(harness.begin(producerID: 100, epoch: 0).errorCode == .producerFenced)
        #expect(harness.begin().producerEpoch == 2)
    }

    @Test func theTimeoutCountsFromTheFirstPartitionOfEachTransaction() {
        var harness = TransactionHarness()
        harness.begin(timeoutMs: 10_000)
        harness.produce()
        harness.advance(9_000)
        harness.produce("t", [2])
        harness.end()
        harness.produce(epoch: 1)
        #expect(harness.advance(9_999).isEmpty)
        #expect(harness.state() == "Ongoing")
        #expect(harness.advance(1).count == 1)
    }

    @Test func whatIsAddedLaterDoesNotExtendTheTimeout() {
        var harness = TransactionHarness()
        harness.begin(timeoutMs: 10_000)
        harness.produce()
        harness.advance(9_000)
        harness.produce("t", [2])
        harness.commitOffsets("g")
        harness.advance(1_000)
        #expect(harness.markers.map(\.partitions) == [[1, 2]])
        #expect(harness.state() == "CompleteAbort")
    }

    @Test func theLastEpochFencesWithoutANewProducerID() throws {
        var harness = TransactionHarness()
        harness.begin()
        try harness.setEpoch(.max - 1)
        harness.produce(epoch: .max - 1)
        harness.advance(60_000)
        #expect(harness.markers.map(\.producerEpoch) == [.max])
        #expect(harness.rows["t"]?.producerEpoch == .max)
        let next = harness.begin()
        #expect((next.producerID, next.producerEpoch) == (101, 0))
    }

    @Test func aRestartNeitherExtendsNorShortensATransaction() throws {
        var harness = TransactionHarness()
        harness.begin(timeoutMs: 60_000)
        harness.produce()
        harness.pass(20_000)
        try harness.restart(after: 10_000)
        #expect(harness.state() == "Ongoing")
        #expect(harness.advance(29_999).isEmpty)
        try harness.restart()
        #expect(harness.advance(0).isEmpty)
        #expect(harness.advance(1).count == 1)
        #expect(harness.state() == "CompleteAbort")
    }

    /// What could not be written once cannot be written the next moment either.
    @Test func afterAFailedWriteItIsNotTriedAgainForAWhile() throws {
        var harness = TransactionHarness { $0.failureRetryMs = 10_000 }
        harness.begin(timeoutMs: 1_000)
        harness.produce()
        let durable = try #require(harness.rows["t"])
        #expect(harness.advance(1_000).count == 1)
        for _ in 0..<3 {
            harness.coordinator.unload("t")
            try harness.coordinator.load("t", durable, afterFailure: true, at: harness.now)
            #expect(harness.advance(9_999).isEmpty)
            #expect(harness.advance(1).count == 1)
        }
        // Loaded for another reason, it is due at once.
        harness.coordinator.unload("t")
        try harness.coordinator.load("t", durable, at: harness.now)
        #expect(harness.advance(0).count == 1)
    }

    @Test func aWrongWallClockGivesATransactionAtMostItsTimeout() throws {
        var harness = TransactionHarness()
        harness.begin(timeoutMs: 60_000)
        harness.produce()
        try harness.restart(after: -1_000_000_000)
        #expect(harness.advance(59_999).isEmpty)
        #expect(harness.advance(1).count == 1)
    }

    @Test func aRestartKeepsEverythingThatDecides() throws {
        var harness = TransactionHarness()
        harness.begin("a")
        harness.produce("a", [1, 2])
        harness.commitOffsets("g", "a")
        harness.begin("b")
        harness.begin("b", producerID: 101, epoch: 0)
        harness.begin("c")
        harness.produce("c", [5], producerID: 102)
        harness.end("c", commit: false, producerID: 102)
        let before = harness.coordinator.producers
        try harness.restart()
        for (id, producer) in before {
            var (old, new) = (producer, harness.coordinator.producers[id])
            old.deadlineMs = 0
            new?.deadlineMs = 0
            #expect(new == old)
        }
        #expect(harness.coordinator.producers.count == 3)
        #expect(harness.end("a").producerEpoch == 1)
        #expect(harness.markers.map(\.partitions) == [[1, 2]])
        #expect(harness.begin("b", producerID: 101, epoch: 0).producerEpoch == 1)
        #expect(harness.end("c", commit: false, producerID: 102).producerEpoch == 1)
    }

    @Test func aRowThatCannotBeReadIsAnError() {
        var harness = TransactionHarness()
        harness.begin()
        let row = harness.rows["t"]
        #expect(row != nil)
        guard var row else { return }
        let whole = row.detail
        for count in 0..<whole.count {
            row.detail = Array(whole.prefix(count))
            #expect(throws: TransactionStateError.unreadable(transactionalID: "t")) { try harness.coordinator.load("t", row, at: harness.now) }
        }
        row.detail = [2] + whole.dropFirst()
        #expect(throws: TransactionStateError.self) { try harness.coordinator.load("t", row, at: harness.now) }
    }

    @Test func anIDThatNobodyUsesExpires() throws {
        var harness = TransactionHarness { $0.idExpirationMs = 100_000 }
        harness.begin("used")
        harness.begin("unused")
        harness.begin("open", timeoutMs: 900_000)
        harness.produce("open", [1], producerID: 102)
        harness.advance(60_000)
        harness.produce("used")
        harness.end("used")
        try harness.restart()
        harness.advance(39_999)
        #expect(Set(harness.coordinator.transactionalIDs) == ["used", "unused", "open"])
        harness.advance(1)
        #expect(harness.effects.steps == [TransactionStep(transactionalID: "unused", row: nil)])
        #expect(Set(harness.coordinator.transactionalIDs) == ["used", "open"])
        #expect(harness.end("unused", producerID: 101).errorCode == .invalidProducerIDMapping)
        harness.advance(60_000)
        #expect(harness.coordinator.transactionalIDs == ["open"])
        #expect(harness.begin("unused").producerID == 1_000)
    }

    @Test func noCallSeesToMoreThanItsShare() {
        var harness = TransactionHarness { $0.dueMax = 3 }
        for id in 0..<5 {
            harness.begin("\(id)")
            harness.produce("\(id)", [1], producerID: 100 + Int64(id))
        }
        #expect(harness.advance(60_000).count == 3)
        #expect(harness.coordinator.nextDeadline.map { $0 <= harness.now.monotonicMs } == true)
        #expect(harness.advance(0).count == 2)
        #expect(harness.rows.values.allSatisfy { !$0.isOpen })
    }

    @Test func whatIsForgottenIsLoadedAgainAsItIsOnDisk() throws {
        var harness = TransactionHarness()
        harness.begin()
        harness.produce()
        let durable = harness.rows["t"]
        harness.end()
        harness.coordinator.unload("t")
        #expect(harness.end().errorCode == .invalidProducerIDMapping)
        if let durable { try harness.coordinator.load("t", durable, at: harness.now) }
        #expect(harness.state() == "Ongoing")
        #expect(harness.end().producerEpoch == 1)
        #expect(harness.coordinator.addedCount == 0)
    }

    @Test func aStepIsNotAppliedOverOneThatWasLost() throws {
        var harness = TransactionHarness()
        harness.begin()
        let created = try #require(harness.effects.steps.first)
        harness.produce()
        let added = try #require(harness.effects.steps.first)
        harness.end()
        let ended = try #require(harness.effects.steps.first)
        harness.produce(epoch: 1)
        let next = try #require(harness.effects.steps.first)
        #expect(created.follows(nil))
        #expect(!created.follows(created.row))
        #expect(added.follows(created.row))
        #expect(!added.follows(nil))
        #expect(ended.follows(added.row))
        // The markers of the first transaction were lost: the second must not take its place.
        #expect(!next.follows(added.row))
        #expect(next.follows(ended.row))
        harness.advance(60_000)
        harness.advance(harness.coordinator.options.idExpirationMs)
        let deleted = try #require(harness.effects.steps.first)
        #expect(deleted.row == nil)
        #expect(deleted.follows(ended.row))
        #expect(!deleted.follows(next.row))
    }
}
