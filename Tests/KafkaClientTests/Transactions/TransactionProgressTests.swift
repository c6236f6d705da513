import KafkaProtocol
import Testing

@testable import KafkaClient

@Suite struct TransactionProgressTests {
    private let identity = ProducerIdentity(id: 7, epoch: 0)
    private let refusal = ClientError.broker(.messageTooLarge, "refused")

    private func open() throws -> TransactionProgress {
        var progress = TransactionProgress(transactionalID: "id")
        progress.initialized(identity, isVersion2: true)
        try progress.begin()
        return progress
    }

    @Test func anEndInDoubtCanOnlyBeRepeated() throws {
        for isCommit in [false, true] {
            var progress = try open()
            try progress.beginEnd(isCommit: isCommit)
            #expect(throws: ClientError.self) { try progress.beginEnd(isCommit: !isCommit) }
            #expect(throws: ClientError.self) { try progress.begin() }
            try progress.beginEnd(isCommit: isCommit)
            progress.ended(ProducerIdentity(id: 7, epoch: 1))
            #expect(progress.identity == ProducerIdentity(id: 7, epoch: 1))
            try progress.begin()
        }
    }

    @Test func whatFailsBeforeTheCommitKeepsItFromHappening() throws {
        var early = try open()
        early.fail(refusal, isFatal: false)
        #expect(throws: ClientError.self) { try early.checkOpen() }
        #expect(throws: ClientError.self) { try early.beginEnd(isCommit: true) }
        var late = try open()
        try late.beginEnd(isCommit: true)
        late.fail(refusal, isFatal: false)
        #expect(throws: ClientError.self) { try late.checkDelivered() }
        for var progress in [early, late] {
            try progress.beginEnd(isCommit: false)
            // What is dropped by the abort is no news.
            progress.fail(refusal, isFatal: false)
            progress.ended(identity)
            try progress.begin()
            try progress.beginEnd(isCommit: true)
            try progress.checkDelivered()
        }
    }

    @Test func nothingComesAfterFencing() throws {
        var progress = try open()
        progress.fail(.broker(.producerFenced, "fenced"), isFatal: true)
        progress.fail(refusal, isFatal: false)
        #expect(progress.phase == .lost(.broker(.producerFenced, "fenced")))
        #expect(throws: ClientError.self) { try progress.begin() }
        #expect(throws: ClientError.self) { try progress.beginEnd(isCommit: false) }
        progress.ended(identity)
        #expect(throws: ClientError.self) { try progress.checkOpen() }
    }

    @Test func numbersBeginAnewUnderAnotherIdentity() {
        final class Batch: QueuedBatch {
            var recordCount: Int32 = 3
            var order: UInt64 = 0
            var place: (identity: ProducerIdentity, sequence: Int32)?
        }
        var queue = PartitionQueue<Batch>(isIdempotent: true, inFlightMax: 5)
        queue.adopt(identity)
        queue.confirm(identity)
        let (first, second, third) = (Batch(), Batch(), Batch())
        queue.append(first)
        queue.append(second)
        _ = queue.next()
        _ = queue.next()
        #expect(queue.isEarliest(first) && !queue.isEarliest(second))
        queue.remove(first)
        #expect(queue.isEarliest(second) && second.place?.sequence == 3)
        queue.remove(second)
        queue.renew()
        queue.append(third)
        #expect(queue.needsIdentity)
        queue.adopt(ProducerIdentity(id: 7, epoch: 1))
        _ = queue.next()
        #expect(third.place?.sequence == 0 && third.place?.identity.epoch == 1)
    }
}
