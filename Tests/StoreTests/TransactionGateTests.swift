import Foundation
import KafkaProtocol
import Testing

@testable import Store

/// What the store itself takes and refuses, whoever asks and in whatever order.
@Suite struct TransactionGateTests {
    let directory: TemporaryDirectory
    let store: Store
    let partitions: [Partition]

    init() throws {
        directory = try TemporaryDirectory()
        store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        partitions = try store.makeTopic("t", partitions: 3).partitions
    }

    private func send(_ producer: Int64, _ epoch: Int16, _ sequence: Int32, to partition: Partition) throws -> AppendResult {
        try store.append(makeTransactionalBatch([[1]], producerID: producer, epoch: epoch, sequence: sequence), to: partition)
    }

    @Test func onlyAnOpenTransactionOfTheCurrentEpochTakesBatches() throws {
        #expect(try send(7, 0, 0, to: partitions[0]).errorCode == .invalidProducerIDMapping)
        let producer = TestProducer("a", producerID: 7)
        #expect(try store.step(producer.change) == nil)
        #expect(try send(7, 0, 0, to: partitions[0]).errorCode == .invalidTxnState, "nothing is open")
        producer.epoch = 2
        try producer.add(partitions[0], to: store)
        #expect(try send(7, 2, 0, to: partitions[1]).errorCode == .invalidTxnState, "the partition is not in it")
        #expect(try send(7, 1, 0, to: partitions[0]).errorCode == .invalidProducerEpoch)
        #expect(try send(7, 3, 0, to: partitions[0]).errorCode == .invalidProducerEpoch)
        #expect(try send(7, 2, 0, to: partitions[0]).errorCode == .none)
        #expect(try send(7, 2, 5, to: partitions[0]).errorCode == .outOfOrderSequenceNumber)
        #expect(partitions[0].highWatermark == 1)
        #expect(partitions[0].lastStableOffset == 0)
    }

    @Test func aLateBatchNeverGetsIntoTheNextTransaction() throws {
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: partitions[0], of: store)
        let late = try producer.batch([[2]], for: partitions[0])
        try producer.end(true, in: store)
        #expect(try store.append(late, to: partitions[0]).errorCode == .invalidProducerEpoch)
        try producer.send([[3]], to: partitions[0], of: store)
        #expect(try store.append(late, to: partitions[0]).errorCode == .invalidProducerEpoch)
        try producer.end(true, in: store)
        #expect(try store.committedValues(of: partitions[0]) == [0: [1], 2: [3]])
    }

    /// With the epoch left as it was (transaction version 1), a batch that comes after the end is refused, and one that had been
    /// written before it is known again.
    @Test func withoutANewEpochTheEndItselfShutsTheGate() throws {
        let producer = TestProducer("a", producerID: 7)
        try producer.add(partitions[0], to: store)
        let batch = try producer.batch([[1]], for: partitions[0])
        #expect(try store.append(batch, to: partitions[0]).baseOffset == 0)
        let late = try producer.batch([[2]], for: partitions[0])
        try producer.end(false, bumping: false, in: store)
        #expect(try store.append(late, to: partitions[0]).errorCode == .invalidTxnState)
        let again = try store.append(batch, to: partitions[0])
        #expect(again.errorCode == .none && again.baseOffset == 0)
        #expect(partitions[0].highWatermark == 2)
        try producer.add(partitions[0], to: store)
        #expect(try store.append(late, to: partitions[0]).baseOffset == 2, "sequences go on in the next transaction")
        try producer.end(true, bumping: false, in: store)
        #expect(try store.committedValues(of: partitions[0]) == [2: [2]])
    }

    /// A client that does not know that its batch was written may number other records alike in its next transaction
    /// (transaction version 1): to take those for the batch would lose them.
    @Test(arguments: [false, true], [false, true])
    func numbersOfAnEndedTransactionAreNoDuplicatesInTheNext(isCommit: Bool, isReopened: Bool) throws {
        let producer = TestProducer("a", producerID: 7)
        try producer.add(partitions[0], to: store)
        #expect(try send(7, 0, 0, to: partitions[0]).baseOffset == 0)
        #expect(try send(7, 0, 0, to: partitions[0]).baseOffset == 0, "within its transaction it is the same batch")
        try producer.end(isCommit, bumping: false, in: store)
        try producer.add(partitions[0], to: store)
        #expect(try send(7, 0, 0, to: partitions[0]).errorCode == .outOfOrderSequenceNumber)
        #expect(try send(7, 0, 1, to: partitions[0]).baseOffset == 2)
        if isReopened {
            // The same of what is kept on disk.
            store.close()
            let reopened = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
            let partition = try #require(reopened.topic(named: "t")).partitions[0]
            let batch = { try makeTransactionalBatch([[1]], producerID: 7, epoch: 0, sequence: $0) }
            #expect(try reopened.append(batch(1), to: partition).baseOffset == 2)
            #expect(try reopened.append(batch(0), to: partition).errorCode == .outOfOrderSequenceNumber)
            reopened.close()
        } else {
            #expect(try send(7, 0, 1, to: partitions[0]).baseOffset == 2, "and of the open one it still is")
            #expect(try send(7, 0, 0, to: partitions[0]).errorCode == .outOfOrderSequenceNumber)
        }
    }

    @Test func aProducerMixesNothingIntoItsTransaction() throws {
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: partitions[0], of: store)
        func plain(_ sequence: Int32, epoch: Int16 = 0) throws -> [UInt8] {
            try makeBatch([[2]], producerID: 7, epoch: epoch, sequence: sequence)
        }
        #expect(try store.append(plain(1), to: partitions[0]).errorCode == .invalidTxnState)
        #expect(try store.append(plain(0, epoch: 1), to: partitions[0]).errorCode == .invalidProducerEpoch, "nobody takes the id over")
        #expect(try store.append(plain(0), to: partitions[1]).errorCode == .none, "elsewhere it may")
        try producer.end(true, bumping: false, in: store)
        #expect(try store.append(plain(1), to: partitions[0]).errorCode == .none)
    }

    @Test func nobodyButTheStoreWritesMarkers() throws {
        let marker = RecordBatchBuilder.controlBatch(
            ControlRecord(outcome: .commit, coordinatorEpoch: 0), producerID: 7, producerEpoch: 0, timestamp: 1)
        #expect(try store.append(marker, to: partitions[0]).errorCode == .invalidRecord)
        #expect(partitions[0].highWatermark == 0)
    }

    @Test func offsetsAreTakenByTheSameRules() throws {
        let topic = try #require(store.topic(named: "t"))
        let producer = TestProducer("a", producerID: 7)
        #expect(try store.change([producer.pending("g", [topic.key(): 5])])?.errorCode == .invalidProducerIDMapping)
        try producer.add(partitions[0], to: store)
        #expect(try store.change([producer.pending("g", [topic.key(): 5])])?.errorCode == .invalidTxnState)
        try producer.add(groupID: "g", to: store)
        let zombie = producer.pending("g", [topic.key(): 4])
        producer.epoch += 1
        #expect(try store.step(producer.change) == nil)
        #expect(try store.change([zombie])?.errorCode == .invalidProducerEpoch)
        #expect(!store.pendingOffsets(of: "g").contains(topic.key()))
        // All of a submission or nothing of it.
        let other = GroupChange(groupID: "h", offsets: [(topic.key(), CommittedOffset(offset: 1, commitTimeMs: 1))])
        #expect(try store.change([other, zombie])?.errorCode == .invalidProducerEpoch)
        #expect(store.committedOffset("h", topic.key()) == nil)
        #expect(try store.change([producer.pending("g", [topic.key(): 5])]) == nil)
        #expect(store.pendingOffsets(of: "g").contains(topic.key()))
        #expect(store.committedOffset("g", topic.key()) == nil)
        try producer.end(true, in: store)
        #expect(!store.pendingOffsets(of: "g").contains(topic.key()))
        #expect(store.committedOffset("g", topic.key())?.offset == 5)
    }

    @Test func whatIsTooLargeIsRefusedWhole() throws {
        let good = TestProducer("a", producerID: 7)
        let long = TestProducer(String(repeating: "x", count: 501), producerID: 8)
        var wide = TestProducer("b", producerID: 9).change
        wide.state?.coordinatorState = [UInt8](repeating: 0, count: 300_000)
        for bad in [long.change, wide] {
            guard case .tooLarge = try store.step(good.change, bad) else { throw TestFailure("it was not refused as too large") }
        }
        #expect(store.transactions().isEmpty)
        let longest = TestProducer(String(repeating: "x", count: 500), producerID: 8)
        longest.partitions = (0..<40_000).map { PartitionID(rawValue: $0) }
        #expect(try store.step(longest.change) == nil)
        #expect(store.transaction(longest.id) == longest.state)
    }

    /// The end of a transaction whose coordinator is elsewhere (WriteTxnMarkers), or that nobody knows any more.
    @Test func markersOfOthersMustNotBeOlderThanThePartition() throws {
        let producer = TestProducer("a", producerID: 7)
        producer.epoch = 3
        try producer.send([[1]], to: partitions[0], of: store)
        func end(_ epoch: Int16, _ coordinatorEpoch: Int32) throws -> ErrorCode? {
            let end = TransactionEnd(
                producerID: 7, producerEpoch: epoch, isCommit: false, coordinatorEpoch: coordinatorEpoch, partitions: [partitions[0].id])
            return try store.step(TransactionChange(transactionalID: "", state: nil, end: end))?.errorCode
        }
        #expect(try end(2, 0) == .invalidProducerEpoch)
        #expect(partitions[0].lastStableOffset == 0)
        #expect(try end(3, 4) == nil)
        #expect(partitions[0].lastStableOffset == 2)
        #expect(try end(3, 3) == .transactionCoordinatorFenced)
        #expect(try store.committedValues(of: partitions[0]) == [:])
        #expect(store.transaction("a") == producer.state, "the state is its coordinator's")
    }

    /// A step that was sent twice, or is overtaken by a later one, does nothing the second time.
    @Test func aStepThatNoLongerAppliesIsPassedOver() throws {
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: partitions[0], of: store)
        var change = producer.ending(false)
        let epoch = producer.epoch
        change.applies = { over in over?.producerEpoch ?? -1 < epoch }
        #expect(try store.step(change) == nil)
        #expect(partitions[0].highWatermark == 2)
        try producer.send([[2]], to: partitions[0], of: store)
        #expect(try store.step(change) == nil)
        #expect(partitions[0].highWatermark == 3 && partitions[0].lastStableOffset == 2)
        #expect(store.transaction("a") == producer.state)
    }

    @Test func producersAreDescribedWithTheirTransactions() throws {
        let producer = TestProducer("a", producerID: 7)
        _ = try store.append(makeBatch([[0]]), to: partitions[0])
        try producer.send([[1]], to: partitions[0], of: store)
        try producer.send([[2]], to: partitions[0], of: store)
        let open = try #require(try store.describeProducers(partitions[0]).first)
        #expect(open.currentTransactionStartOffset == 1)
        #expect(open.coordinatorEpoch == -1)
        #expect(open.lastSequence == 1)
        try producer.end(true, in: store)
        let ended = try #require(try store.describeProducers(partitions[0]).first)
        #expect(ended.currentTransactionStartOffset == -1)
        #expect(ended.coordinatorEpoch == 0)
        #expect(ended.producerEpoch == 1)
    }
}
