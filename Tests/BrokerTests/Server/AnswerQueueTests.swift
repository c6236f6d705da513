import NIOCore
import Testing

@testable import Broker
@testable import KafkaProtocol

@Suite struct AnswerQueueTests {
    private func answer(_ byte: UInt8) -> Answer { Answer(message: Encoded(bytes: [byte], insertions: [])) }

    @Test func answersLeaveInTheOrderOfTheRequests() {
        var queue = AnswerQueue()
        let sequences = (0..<4).map { _ in queue.reserve(requestBytes: 10) }
        #expect(queue.fill(sequences[2], answer(2)) == 10)
        #expect(queue.next()?.message == nil)
        _ = queue.fill(sequences[0], answer(0))
        #expect(queue.next()?.message?.bytes == [0])
        #expect(queue.next()?.message == nil)
        _ = queue.fill(sequences[1], answer(1))
        #expect([queue.next(), queue.next()].map { $0?.message?.bytes } == [[1], [2]])
        #expect(queue.count == 1)
    }

    @Test func bytesAreCountedWhileTheyOccupyMemory() {
        var queue = AnswerQueue()
        let first = queue.reserve(requestBytes: 100)
        _ = queue.reserve(requestBytes: 50)
        #expect(queue.requestBytes == 150)
        _ = queue.fill(first, answer(1))
        #expect((queue.requestBytes, queue.answerBytes) == (50, 1))
        _ = queue.next()
        #expect(queue.answerBytes == 0)
        let third = queue.reserve(requestBytes: 5)
        queue.expect(third, 1000)
        #expect(queue.answerBytes == 1000)
        _ = queue.fill(third, answer(3))
        #expect(queue.answerBytes == 1)
        #expect(queue.abandon().heldBytes == 50)
        #expect(queue.isEmpty)
    }

    /// The client has as many bytes under way as before, the broker holds them no longer.
    @Test func aRequestThatWaitsForOthersIsNotHeld() {
        var queue = AnswerQueue()
        let first = queue.reserve(requestBytes: 100)
        _ = queue.reserve(requestBytes: 50)
        #expect([queue.release(first), queue.release(first)] == [100, 0])
        #expect(queue.requestBytes == 150)
        #expect(queue.abandon().heldBytes == 50)
        let third = queue.reserve(requestBytes: 7)
        #expect(queue.release(third) == 7)
        #expect(queue.fill(third, answer(3)) == 0)
        #expect(queue.requestBytes == 0)
        #expect(queue.release(third) == 0)
    }
}

@Suite struct AnswerWriterTests {
    /// However many answers are ready, a buffer is asked to hold some of them only.
    @Test func aWriteTakesNoMoreAnswersOnceItIsLarge() {
        var queue = AnswerQueue()
        let half = Encoded(bytes: [UInt8](repeating: 7, count: AnswerWriter.gatheredBytesMax / 2), insertions: [])
        for sequence in 0..<3 {
            #expect(queue.reserve(requestBytes: 1) == sequence)
            _ = queue.fill(sequence, Answer(message: half))
        }
        var counts: [Int] = []
        while let writer = AnswerWriter(taking: &queue, allocator: ByteBufferAllocator()) { counts.append(writer.byteCount) }
        #expect(counts == [AnswerWriter.gatheredBytesMax, AnswerWriter.gatheredBytesMax / 2])
        #expect(queue.isEmpty)
    }

    @Test(arguments: [10, 4096, 4097, 100_000]) func recordsStandWhereTheMessageNamesThem(length: Int) {
        let records = (0..<(2 * length)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let insertions = [
            (at: 2, slice: FrameSlice(offset: 0, length: length)), (at: 3, slice: FrameSlice(offset: length, length: length)),
        ]
        let message = Encoded(bytes: [1, 2, 3, 4], insertions: insertions)
        var writer = AnswerWriter(allocator: ByteBufferAllocator())
        writer.add(Answer(message: Encoded(bytes: [99], insertions: [])))
        writer.add(Answer(message: message, records: AnswerRecords(copy: ByteBuffer(bytes: records))))
        writer.add(Answer(message: Encoded(bytes: [98], insertions: [])))
        var written: [UInt8] = []
        writer.write { written += Array($0.readableBytesView) }
        #expect(written == [99] + message.joined(with: records.span.bytes) + [98])
    }
}
