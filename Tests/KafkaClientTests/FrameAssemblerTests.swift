import KafkaProtocol
import NIOCore
import Testing

@testable import KafkaClient

struct FrameAssemblerTests {
    @Test(arguments: [1, 2, 3, 7, 100])
    func framesAreTheSameHoweverTheyArrive(size: Int) throws {
        var wire = ByteBuffer()
        let bodies = [[1, 2, 3, 4], Array(repeating: UInt8(9), count: 50), [5, 6, 7, 8, 9]]
        for body in bodies {
            wire.writeInteger(Int32(body.count))
            wire.writeBytes(body)
        }
        var assembler = FrameAssembler(byteCountMax: 1000)
        var found: [[UInt8]] = []
        while wire.readableBytes > 0 {
            guard var piece = wire.readSlice(length: min(size, wire.readableBytes)) else { break }
            while let frame = try assembler.next(from: &piece) { found.append(frame.withUnsafeBytes { Array($0) }) }
        }
        #expect(found == bodies)
    }

    @Test(arguments: [-1, 0, 3, 1001, Int32.max])
    func anImpossibleLengthIsRefused(length: Int32) {
        var wire = ByteBuffer(integer: length)
        var assembler = FrameAssembler(byteCountMax: 1000)
        #expect(throws: FrameAssembler.Failure.self) { try assembler.next(from: &wire) }
    }
}

struct BackoffTests {
    @Test func delaysDoubleUpToTheGreatest() {
        let backoff = Backoff(initialMs: 100, maximumMs: 1000)
        #expect((1...6).map { backoff.delayMs(attempt: $0, jitter: 0) } == [100, 200, 400, 800, 1000, 1000])
        #expect(backoff.delayMs(attempt: 1, jitter: -0.2) == 80)
        #expect(backoff.delayMs(attempt: 1_000_000, jitter: 0.2) == 1200)
    }
}
