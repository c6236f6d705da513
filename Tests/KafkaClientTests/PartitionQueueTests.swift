import Testing

@testable import KafkaClient

private final class Batch: QueuedBatch {
    let name: Int
    let recordCount: Int32
    var order: UInt64 = 0
    var place: (identity: ProducerIdentity, sequence: Int32)?

    init(_ name: Int, records: Int32 = 10) { (self.name, recordCount) = (name, records) }
}

struct PartitionQueueTests {
    private let first = ProducerIdentity(id: 7, epoch: 0)
    private let second = ProducerIdentity(id: 8, epoch: 0)

    /// - Parameter isOnRecord: whether the broker has something of the first producer already.
    private func queue(of count: Int, idempotent: Bool = true, isOnRecord: Bool = true) -> (PartitionQueue<Batch>, [Batch]) {
        var queue = PartitionQueue<Batch>(isIdempotent: idempotent, inFlightMax: 5)
        let batches = (0..<count).map { Batch($0) }
        for batch in batches { queue.append(batch) }
        if idempotent { queue.adopt(first) }
        if isOnRecord { queue.confirm(first) }
        return (queue, batches)
    }

    private func sendAll(_ queue: inout PartitionQueue<Batch>) -> [Int] {
        var sent: [Int] = []
        while let batch = queue.next() { sent.append(batch.name) }
        return sent
    }

    @Test func nothingIsSentBeforeThereIsAnIdentity() {
        var queue = PartitionQueue<Batch>(isIdempotent: true, inFlightMax: 5)
        queue.append(Batch(0))
        #expect(queue.needsIdentity)
        #expect(queue.next() == nil)
    }

    @Test func fiveBatchesAreInFlightAndNumberedByTheirRecords() {
        var (queue, batches) = queue(of: 7)
        #expect(sendAll(&queue) == [0, 1, 2, 3, 4])
        #expect(batches.prefix(5).map { $0.place?.sequence } == [0, 10, 20, 30, 40])
        queue.remove(batches[0])
        #expect(sendAll(&queue) == [5])
        #expect(batches[5].place?.sequence == 50)
    }

    @Test func sequencesWrapToZeroAfterTheGreatest() {
        var queue = PartitionQueue<Batch>(isIdempotent: true, inFlightMax: 5)
        let batches = [Batch(0, records: .max), Batch(1, records: 3), Batch(2)]
        for batch in batches { queue.append(batch) }
        queue.adopt(first)
        queue.confirm(first)
        _ = sendAll(&queue)
        #expect(batches.map { $0.place?.sequence } == [0, .max, 2])
    }

    /// Sends and finishes one batch after the other.
    private func sendOneByOne(_ queue: inout PartitionQueue<Batch>) -> [Int] {
        var sent: [Int] = []
        while let batch = queue.next() {
            sent.append(batch.name)
            #expect(queue.next() == nil, "each is sent alone")
            queue.remove(batch)
        }
        return sent
    }

    @Test func afterALostConnectionTheSameNumbersAreSentAgainInOrderOneAtATime() {
        var (queue, batches) = queue(of: 5)
        _ = sendAll(&queue)
        for batch in batches.shuffled() { queue.retry(batch) }
        #expect(sendOneByOne(&queue) == [0, 1, 2, 3, 4])
        #expect(batches.map { $0.place?.sequence } == [0, 10, 20, 30, 40])
    }

    @Test func nothingNewPassesABatchThatIsSentAgain() {
        var (queue, batches) = queue(of: 9)
        _ = sendAll(&queue)
        queue.retry(batches[0])
        for batch in batches[1...4] { queue.remove(batch) }
        for _ in 0..<3 {
            #expect(sendAll(&queue) == [0])
            queue.retry(batches[0])
        }
        #expect(sendAll(&queue) == [0])
        queue.remove(batches[0])
        #expect(sendAll(&queue) == [5, 6, 7, 8])
    }

    @Test func nothingIsSentAgainBeforeEverythingInFlightIsAnswered() {
        var (queue, batches) = queue(of: 3)
        _ = sendAll(&queue)
        queue.retry(batches[0])
        #expect(!queue.canSend)
        queue.refuseSequence(of: batches[1])
        #expect(!queue.canSend)
        queue.refuseSequence(of: batches[2])
        #expect(queue.identity == first)
        #expect(sendOneByOne(&queue) == [0, 1, 2])
        #expect(batches.map { $0.place?.sequence } == [0, 10, 20])
    }

    @Test func whenTheEarliestIsRefusedNumberingStartsOverUnderAnotherIdentity() {
        var (queue, batches) = queue(of: 3)
        _ = sendAll(&queue)
        queue.remove(batches[0])
        queue.refuseSequence(of: batches[1])
        #expect(queue.needsIdentity)
        #expect(queue.retired == first)
        queue.refuseSequence(of: batches[2])
        queue.adopt(second)
        #expect(sendOneByOne(&queue) == [1, 2])
        #expect(batches[1...].map { $0.place?.identity } == [second, second])
        #expect(batches[1...].map { $0.place?.sequence } == [0, 10])
    }

    @Test func answersToWhatWasSentBeforeStartingOverDoNotStartOverAgain() {
        var (queue, batches) = queue(of: 3)
        _ = sendAll(&queue)
        queue.refuseSequence(of: batches[0])
        queue.adopt(second)
        #expect(!queue.canSend, "two of the old numbers are still in flight")
        queue.refuseSequence(of: batches[1])
        queue.retry(batches[2])
        #expect(queue.identity == second)
        #expect(sendOneByOne(&queue) == [0, 1, 2])
        #expect(batches.map { $0.place?.sequence } == [0, 10, 20])
    }

    @Test func untilTheBrokerHasOneOfAProducerBatchesGoAlone() {
        var (queue, batches) = queue(of: 7, isOnRecord: false)
        #expect(sendAll(&queue) == [0])
        queue.retry(batches[0])
        #expect(sendAll(&queue) == [0])
        queue.confirm(first)
        queue.remove(batches[0])
        #expect(sendAll(&queue) == [1, 2, 3, 4, 5])
    }

    @Test func anotherEpochOfTheSameProducerNeedsNoIntroduction() {
        var (queue, batches) = queue(of: 1)
        _ = sendAll(&queue)
        queue.remove(batches[0])
        queue.renew()
        for number in 1...3 { queue.append(Batch(number)) }
        queue.adopt(ProducerIdentity(id: first.id, epoch: 1))
        #expect(sendAll(&queue) == [1, 2, 3])
    }

    @Test func halvesTakeTheNumbersOfTheBatchAndGoBeforeWhatFollowed() {
        var (queue, batches) = queue(of: 4)
        let halves = [Batch(10, records: 4), Batch(11, records: 6)]
        for _ in 0..<3 { _ = queue.next() }
        queue.split(batches[0], into: halves)
        #expect(!queue.isEarliest(batches[1]))
        queue.refuseSequence(of: batches[1])
        queue.refuseSequence(of: batches[2])
        #expect(queue.identity == first, "the broker misses the halves, which are to come")
        #expect(sendOneByOne(&queue) == [10, 11, 1, 2, 3])
        #expect((halves + batches[1...]).map { $0.place?.sequence } == [0, 4, 10, 20, 30])
    }

    @Test func halvesOfABatchFromBeforeStartingOverAreNumberedAnew() {
        var (queue, batches) = queue(of: 2)
        _ = sendAll(&queue)
        queue.refuseSequence(of: batches[0])
        queue.adopt(second)
        queue.split(batches[1], into: [Batch(10, records: 4), Batch(11, records: 6)])
        #expect(sendOneByOne(&queue) == [0, 10, 11])
    }

    @Test func withoutIdempotenceRetriesGoFirstAndNeedNoNumbers() {
        var (queue, batches) = queue(of: 7, idempotent: false)
        _ = sendAll(&queue)
        queue.retry(batches[1])
        #expect(sendAll(&queue) == [1])
        #expect(batches.allSatisfy { $0.place == nil })
    }

    @Test func aBatchThatIsGivenUpLeavesTheRestInOrder() {
        var (queue, batches) = queue(of: 4)
        _ = sendAll(&queue)
        for batch in batches { queue.retry(batch) }
        queue.remove(batches[0])
        #expect(sendAll(&queue) == [1])
        queue.refuseSequence(of: batches[1])
        #expect(queue.needsIdentity, "the broker misses what was given up, so numbering starts over")
    }
}
