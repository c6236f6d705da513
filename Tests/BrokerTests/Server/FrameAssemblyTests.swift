import KafkaProtocol
import NIOCore
import Testing

@testable import Broker

@Suite struct FrameAssemblyTests {
    private let stream: [UInt8] = [0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 1, 9]

    private func frames(_ pieces: [[UInt8]]) -> [[UInt8]] {
        var assembly = FrameAssembly(byteCountMax: 100)
        var frames: [[UInt8]] = []
        for piece in pieces {
            var bytes = ByteBuffer(bytes: piece)
            while bytes.readableBytes > 0 {
                guard case .frame(let frame) = assembly.take(&bytes) else { break }
                frames.append(frame.withUnsafeBytes { Array($0) })
            }
        }
        return frames
    }

    @Test func framesAreTheSameHoweverTheStreamIsCut() {
        let whole = frames([stream])
        #expect(whole == [[1, 2, 3], [], [9]])
        #expect(frames(stream.map { [$0] }) == whole)
        for first in 0...stream.count {
            for second in first...stream.count {
                #expect(frames([Array(stream[..<first]), Array(stream[first..<second]), Array(stream[second...])]) == whole)
            }
        }
    }

    @Test(arguments: [Int32(-1), .min, 101, .max]) func impossibleLengthsAreRefused(length: Int32) {
        var assembly = FrameAssembly(byteCountMax: 100)
        var bytes = ByteBuffer(integer: length)
        guard case .refused(length) = assembly.take(&bytes) else {
            Issue.record("\(length) was not refused")
            return
        }
    }

    @Test func theLargestLengthIsTaken() {
        var assembly = FrameAssembly(byteCountMax: 100)
        var bytes = ByteBuffer(integer: Int32(100))
        bytes.writeRepeatingByte(7, count: 100)
        guard case .frame(let frame) = assembly.take(&bytes) else {
            Issue.record("no frame")
            return
        }
        #expect(frame.byteCount == 100)
    }

    /// However much `take` was given before, what `fill` puts in place stands behind it, and no byte past the frame is asked for.
    @Test(arguments: 4..<104) func theRestOfAFrameIsReceivedInItsPlace(given: Int) throws {
        let sent = (0..<100).map { UInt8($0) }
        var assembly = FrameAssembly(byteCountMax: 100)
        var bytes = ByteBuffer(integer: Int32(100))
        bytes.writeBytes(sent[..<(given - 4)])
        #expect(frame(assembly.take(&bytes)) == nil)
        var rest = sent[(given - 4)...]
        var whole: Frame?
        while whole == nil {
            #expect(assembly.missing == rest.count)
            try #require(frame(assembly.fill { _ in -1 }) == nil, "whole of nothing")
            whole = frame(
                assembly.fill { place in
                    #expect(place.count == rest.count)
                    let piece = rest.prefix(7)
                    place.copyBytes(from: piece)
                    rest = rest.dropFirst(7)
                    return piece.count
                })
        }
        #expect(rest.isEmpty)
        #expect(whole?.withUnsafeBytes { Array($0) } == sent)
        #expect(!assembly.isWithinFrame)
    }

    private func frame(_ outcome: FrameAssembly.Outcome) -> Frame? {
        if case .frame(let frame) = outcome { frame } else { nil }
    }
}
