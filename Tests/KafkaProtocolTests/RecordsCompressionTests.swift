import KafkaProtocol
import Testing

@Suite struct RecordsCompressionTests {
    private static let compressed = CompressionCodec.allCases.filter { $0 != .none }

    private func pack(_ codec: CompressionCodec, _ bytes: [UInt8], level: Int? = nil) throws(CompressionError) -> [UInt8] {
        try bytes.span.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) throws(CompressionError) in
            try codec.compress(raw, level: level)
        }
    }

    private func unpack(_ codec: CompressionCodec, _ bytes: [UInt8], limit: Int = 1 << 20) throws(CompressionError) -> [UInt8] {
        try bytes.span.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) throws(CompressionError) in
            try codec.decompress(raw, limit: limit)
        }
    }

    @Test(arguments: CompressionCodec.allCases) func whatGoesInComesOut(codec: CompressionCodec) throws {
        var random = SeededGenerator(seed: 3)
        for size in [0, 1, 31, 32_767, 32_768, 32_769, 65_536, 65_537, 1 << 20] {
            let noise = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(try unpack(codec, pack(codec, noise)) == noise)
            let text = (0..<size).map { UInt8(truncatingIfNeeded: $0 / 100) }
            #expect(try unpack(codec, pack(codec, text)) == text)
        }
    }

    @Test func foreignStreamsAreRead() throws {
        // Two members or frames in a row, by Python's gzip, lz4 (the second linked, with checksum) and zstandard (no size).
        let joined: [(CompressionCodec, String)] = [
            (.gzip, "1f8b08000000000002034bcb2c2a2ed10100d7364715060000001f8b08000000000002032b4e4dcecf4b010069111fb606000000"),
            (
                .lz4,
                "04224d1868400600000000000000590600008066697273742c0000000004224d186c40060000000000000089060000807365636f6e6400000000dd5dd6ef"
            ),
            (.zstd, "28b52ffd005831000066697273742c28b52ffd00583100007365636f6e64"),
            (.snappy, "0c2c66697273742c7365636f6e64"),  // a raw block
        ]
        for (codec, hex) in joined { #expect(try unpack(codec, CapturedBatch.bytes(hex)) == Array("first,second".utf8), "\(codec)") }
    }

    /// Java's producer at its highest level streams frames that do not tell their content's size and ask for a window of 2^27 bytes.
    @Test func aZstdFrameMayAskForTheWindowOfTheHighestLevel() throws {
        // One raw block, the last, of two bytes; the window's power of two, less ten, stands in the upper five bits.
        func frame(windowLog: UInt8) -> [UInt8] { [0x28, 0xb5, 0x2f, 0xfd, 0x00, (windowLog - 10) << 3, 0x11, 0x00, 0x00, 1, 2] }
        for limit in [2, 1 << 20, 64 << 20] { #expect(try unpack(.zstd, frame(windowLog: 27), limit: limit) == [1, 2]) }
        #expect(throws: CompressionError.corrupt(.zstd)) { try unpack(.zstd, frame(windowLog: 28)) }
    }

    @Test func framedSnappyStreamsMayBeJoined() throws {
        let joined = try pack(.snappy, Array("first,".utf8)) + pack(.snappy, Array("second".utf8))
        #expect(try unpack(.snappy, joined) == Array("first,second".utf8))
        #expect(joined.prefix(16) == [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
    }

    @Test func lz4BlocksAreThoseJavaReads() throws {
        let packed = try pack(.lz4, [UInt8](repeating: 1, count: 200_000))
        #expect(packed.prefix(4) == [0x04, 0x22, 0x4d, 0x18])
        #expect(packed[4] == 0x60, "version 1, independent blocks, no checksums, no size")
        #expect(packed[5] == 0x40, "blocks of 64 KiB")
    }

    @Test(arguments: compressed) func bombsEndAtTheLimit(codec: CompressionCodec) throws {
        let size = 64 << 20
        let bomb = try pack(codec, [UInt8](repeating: 0, count: size))
        for limit in [0, 1, 1000, 1 << 20, size - 1] {
            #expect(throws: CompressionError.limitExceeded(limit)) { try unpack(codec, bomb, limit: limit) }
        }
        #expect(try unpack(codec, bomb, limit: size).count == size)
        #expect(throws: CompressionError.limitExceeded(1 << 20)) { try unpack(codec, bomb + bomb, limit: 1 << 20) }
    }

    @Test func aSnappyBlockThatClaimsTooMuchTakesNoMemory() {
        // 268 million bytes out of one literal.
        #expect(throws: CompressionError.corrupt(.snappy)) {
            try unpack(.snappy, [0xff, 0xff, 0xff, 0x7f, 0x00, 0x61], limit: .max)
        }
    }

    @Test(arguments: compressed) func streamsCutOffAnywhereAreCorrupt(codec: CompressionCodec) throws {
        var random = SeededGenerator(seed: 5)
        let packed = try pack(codec, (0..<500).map { _ in UInt8.random(in: 0...20, using: &random) })
        for length in 0..<packed.count {
            // A framed snappy stream may end behind its header: it has no end mark.
            if codec == .snappy, length == 16 { continue }
            #expect(throws: CompressionError.corrupt(codec), "\(length)") { try unpack(codec, Array(packed.prefix(length))) }
        }
    }

    @Test(arguments: compressed) func garbageBehindTheEndIsCorrupt(codec: CompressionCodec) throws {
        let packed = try pack(codec, Array("records".utf8))
        #expect(throws: CompressionError.corrupt(codec)) { try unpack(codec, packed + [1, 2, 3, 4, 5, 6, 7, 8]) }
    }

    @Test(arguments: compressed) func randomDamageNeverCrashesNorPassesTheLimit(codec: CompressionCodec) throws {
        var random = SeededGenerator(seed: 9)
        let packed = try pack(codec, (0..<2000).map { UInt8(truncatingIfNeeded: $0 / 3) })
        for _ in 0..<3000 {
            var bytes = packed
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if let unpacked = try? unpack(codec, bytes, limit: 4000) { #expect(unpacked.count <= 4000) }
        }
    }

    @Test func levelsTradeTimeForSize() throws {
        var random = SeededGenerator(seed: 13)
        var words: [[UInt8]] = []
        for _ in 0..<200 {
            words.append((0..<Int.random(in: 3...9, using: &random)).map { _ in UInt8.random(in: 97...122, using: &random) })
        }
        var text: [UInt8] = []
        for index in 0..<40_000 {
            // Sentences that come back, each time with some other words, far apart: what only a thorough search finds.
            let chance = Int.random(in: 0..<200, using: &random)
            text += words[chance < 40 ? chance : (index % 400) * (index % 7 + 1) % 200] + [32]
        }
        for (codec, low, high) in [(CompressionCodec.gzip, 1, 9), (.lz4, 1, 12), (.zstd, 1, 19)] {
            let fast = try pack(codec, text, level: low), small = try pack(codec, text, level: high)
            #expect(small.count < fast.count, "\(codec)")
            #expect(try unpack(codec, small) == text)
        }
        #expect(throws: CompressionError.library(.gzip)) { try pack(.gzip, text, level: 99) }
    }
}
