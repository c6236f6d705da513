import KafkaProtocol
import Testing

/// Five milliseconds behind the newest record of the captured batches.
private let now: Int64 = 1_700_000_000_010

@Suite struct RecordsValidationTests {
    private var rules: ValidationRules { ValidationRules(maxBytes: 1 << 20, now: now) }

    private func code(_ bytes: [UInt8], _ rules: ValidationRules? = nil, opening: Bool = false) -> Int16 {
        do {
            _ = try check(bytes, rules, opening: opening)
            return 0
        } catch { return error.code }
    }

    private func check(_ bytes: [UInt8], _ rules: ValidationRules? = nil, opening: Bool = false) throws(RecordError) -> RecordBatchHeader {
        try bytes.span.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) throws(RecordError) in
            try validate(raw, rules ?? self.rules, opening: opening)
        }
    }

    @Test func capturedBatchesPass() throws {
        for (codec, bytes) in CapturedBatch.byCodec {
            for opening in [false, true] {
                let header = try check(bytes, rules, opening: opening)
                #expect(header.codec == codec && header.maxTimestamp == 1_700_000_000_005)
            }
        }
        #expect(try check(CapturedBatch.transactional).producerID == 4711)
    }

    @Test func nothingIsNoBatch() { #expect(code([]) == 87) }

    @Test func aBatchCutOffAnywhereIsCorrupt() {
        for length in 1..<CapturedBatch.plain.count { #expect(code(Array(CapturedBatch.plain.prefix(length))) == 2, "\(length)") }
    }

    @Test(arguments: [-1, 0, 1, 48, 49, 50, 294, 296, Int32.max]) func aLyingLengthIsCorrupt(length: Int32) {
        #expect(code(CapturedBatch.plain.with(length, at: 8)) == 2)
    }

    @Test func oneByteTooManyIsCorrupt() { #expect(code(CapturedBatch.plain + [0]) == 2) }

    @Test func aSecondBatchIsRefused() {
        #expect(throws: RecordError.severalBatches) { try check(CapturedBatch.plain + CapturedBatch.lz4) }
        #expect(RecordError.severalBatches.code == 87)
    }

    @Test func everyFlippedBitUnderTheChecksumIsSeen() {
        for position in 21..<CapturedBatch.plain.count where position != 22 {
            var bytes = CapturedBatch.plain
            bytes[position] ^= 0x10
            #expect(throws: RecordError.checksum) { try check(bytes) }
        }
        #expect(RecordError.checksum.code == 2)
    }

    @Test func otherFormatsAreRefused() {
        #expect(code(CapturedBatch.plain.with(Int8(0), at: 16)) == 87)
        #expect(code(CapturedBatch.plain.with(Int8(1), at: 16)) == 87)
        #expect(code(CapturedBatch.plain.with(Int8(3), at: 16)) == 2)
        #expect(code(CapturedBatch.plain.with(Int8(-1), at: 16)) == 2)
    }

    @Test func theLimitIsOnTheWholeBatch() {
        var rules = ValidationRules(maxBytes: CapturedBatch.plain.count, now: now)
        #expect(code(CapturedBatch.plain, rules) == 0)
        rules.maxBytes -= 1
        #expect(code(CapturedBatch.plain, rules) == 10)
    }

    @Test func codecsThatAreUnknownOrTooNewAreRefused() {
        for codec: Int16 in 5...7 { #expect(code(CapturedBatch.plain.signed(codec, at: 21)) == 76) }
        var rules = rules
        rules.allowsZstd = false
        #expect(code(CapturedBatch.zstd, rules) == 76)
        #expect(code(CapturedBatch.lz4, rules) == 0)
    }

    @Test func offsetsBelongToTheBroker() { #expect(code(CapturedBatch.plain.with(Int64(1), at: 0)) == 87) }

    @Test func theCountMatchesTheOffsets() {
        for (codec, bytes) in CapturedBatch.byCodec {
            for count: Int32 in [0, -1, 3, 5, .max, .min] { #expect(code(bytes.signed(count, at: 57)) == 87, "\(codec)") }
            #expect(code(bytes.signed(Int32(-1), at: 23)) == 87)
        }
    }

    @Test(arguments: [0, 1, 3, 5, 6, 1000, Int32.max]) func theCountMatchesTheRecords(count: Int32) {
        for (codec, bytes) in CapturedBatch.byCodec {
            let lying = bytes.with(count &- 1, at: 23).signed(count, at: 57)
            #expect(code(lying, opening: true) == 87, "\(codec)")
            // Compressed records are believed unless somebody asks.
            if count > 0 { #expect(code(lying) == (codec == .none ? 87 : 0)) }
        }
    }

    @Test func controlBatchesAndDeleteHorizonsAreRefused() {
        #expect(code(CapturedBatch.plain.signed(Int16(0x20), at: 21)) == 87)
        #expect(code(CapturedBatch.plain.signed(Int16(0x40), at: 21)) == 87)
    }

    @Test func producersGoTogetherWithTheirSequences() {
        #expect(code(CapturedBatch.transactional.signed(Int32(-1), at: 53)) == 87)
        #expect(code(CapturedBatch.transactional.signed(Int16(-1), at: 51)) == 87)
        #expect(code(CapturedBatch.plain.signed(Int16(0x10), at: 21)) == 87)
    }

    @Test func onlyTheBrokerSetsTheTimestampType() { #expect(code(CapturedBatch.plain.signed(Int16(0x08), at: 21)) == 32) }

    @Test func timesOutOfBoundsNameTheirRecords() {
        var rules = rules
        rules.timestampBeforeMax = 7
        #expect(throws: RecordError.rejected([.init(index: 0, reason: .timestamp), .init(index: 2, reason: .timestamp)])) {
            try check(CapturedBatch.plain, rules)
        }
        #expect(code(CapturedBatch.plain, rules) == 32)
        rules.timestampBeforeMax = 10
        #expect(code(CapturedBatch.plain, rules) == 0)
        rules.timestampAfterMax = 5
        rules.now = 1_700_000_000_000
        #expect(code(CapturedBatch.plain, rules) == 0)
        rules.timestampAfterMax = 4
        for (_, bytes) in CapturedBatch.byCodec { #expect(code(bytes, rules) == 32) }
        rules.timestampType = .logAppendTime
        for (_, bytes) in CapturedBatch.byCodec { #expect(code(bytes, rules) == 0) }
    }

    @Test func boundsFarAwayDoNotOverflow() {
        var rules = rules
        for (now, before, after) in [(Int64.max, Int64.max, Int64.max), (.min, .max, .max), (0, .max, .max)] {
            (rules.now, rules.timestampBeforeMax, rules.timestampAfterMax) = (now, before, after)
            _ = code(CapturedBatch.plain, rules)
        }
        #expect(code(CapturedBatch.plain, rules) == 0)
    }

    @Test func compactedTopicsNeedKeys() {
        var rules = rules
        rules.requireKeys = true
        for (_, bytes) in CapturedBatch.byCodec {
            #expect(throws: RecordError.rejected([.init(index: 1, reason: .noKey)])) { try check(bytes, rules, opening: true) }
            #expect(code(bytes, rules, opening: true) == 87)
        }
    }

    @Test func aWrongMaxTimestampComesBackRight() throws {
        let header = try check(CapturedBatch.plain.signed(Int64(12), at: 35))
        #expect(header.maxTimestamp == 1_700_000_000_005)
    }

    @Test func whatComesOutOfACompressedBatchIsBounded() {
        var rules = rules
        rules.decompressedLimit = 245
        for (codec, bytes) in CapturedBatch.byCodec where codec != .none { #expect(code(bytes, rules, opening: true) == 10) }
        rules.decompressedLimit = 246
        for (_, bytes) in CapturedBatch.byCodec { #expect(code(bytes, rules, opening: true) == 0) }
    }

    @Test func recordsThatLieAreRefusedOrReadExactly() {
        // Each byte of the records takes each value in turn: what still passes must be a different key, value or time.
        let original = CapturedBatch.plain
        for position in 61..<140 {
            for value in UInt8.min...UInt8.max {
                var bytes = original
                bytes[position] = value
                bytes = bytes.signed()
                #expect([0, 87, 32].contains(code(bytes)))
            }
        }
        // The lengths of the first record, its key and its value.
        for position in [61, 64, 65, 69] { #expect(code(original.signed(original[position] &+ 2, at: position)) == 87) }
    }

    @Test func randomDamageNeverPassesUnseenNorCrashes() {
        var random = SeededGenerator(seed: 42)
        for round in 0..<20_000 {
            var bytes = CapturedBatch.byCodec[round % 5].1
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if round % 3 == 0 { bytes.removeLast(Int.random(in: 0...20, using: &random)) }
            if bytes.count >= 61, round % 2 == 0 { bytes = bytes.with(Int32(bytes.count - 12), at: 8).signed() }
            #expect([0, 2, 10, 32, 76, 87].contains(code(bytes, opening: true)))
        }
    }
}

/// Looks at all that a producer sent, in compressed batches too where they are to be opened.
func validate(_ bytes: UnsafeRawBufferPointer, _ rules: ValidationRules, opening: Bool) throws(RecordError) -> RecordBatchHeader {
    var header = try ProducedBatch.validate(bytes, rules: rules)
    guard opening else { return header }
    var decompressed = 0
    header.maxTimestamp = try ProducedBatch.open(bytes, header, rules: rules, decompressedByteCount: &decompressed).maxTimestamp
    return header
}

@Suite struct RecordsWalkTests {
    private func check(_ bytes: [UInt8], _ change: (inout ValidationRules) -> Void = { _ in }) throws(RecordError) -> RecordBatchHeader {
        var rules = ValidationRules(maxBytes: .max, now: 0)
        rules.timestampAfterMax = .max
        change(&rules)
        return try bytes.span.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) throws(RecordError) in
            try ProducedBatch.validate(raw, rules: rules)
        }
    }

    /// Records whose numbers take one, two and three bytes, among them the last ones of the batch, where no room is left to look ahead.
    private func batch(_ count: Int, value: Int = 0, timeStep: Int64 = 1) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        let value = [UInt8](repeating: 1, count: value)
        for index in 0..<count { builder.append(key: index % 3 == 0 ? nil : [1], value: value, timestamp: Int64(index) * timeStep) }
        return try builder.finish()
    }

    @Test(arguments: [1, 2, 63, 64, 65, 8191, 8192, 8193, 20_000]) func batchesOfAnyNumberPass(count: Int) throws {
        for step: Int64 in [0, 1, -1, 1000, 1 << 40] {
            let header = try check(batch(count, timeStep: step))
            #expect(header.recordCount == count && header.maxTimestamp == max(0, Int64(count - 1) * step))
        }
    }

    @Test func valuesOfAnyLengthPass() throws {
        for length in Array(0...300) + Array(8150...8210) { #expect(try check(batch(3, value: length)).recordCount == 3) }
    }

    @Test func aRecordOutOfOrderIsNamed() throws {
        // Each record takes 8 bytes (no key) or 9 (with one); the offset is the fourth.
        var bytes = try batch(50)
        var position = RecordBatchHeader.headerByteCount
        for index in 0..<50 {
            bytes[position + 3] ^= 2
            #expect(throws: RecordError.malformed(record: index)) { try check(bytes.signed()) }
            bytes[position + 3] ^= 2
            position += Int(bytes[position] / 2) + 1
        }
        #expect(position == bytes.count)
    }

    @Test func aRecordWithoutATimePassesAnyBounds() throws {
        var builder = RecordBatchBuilder()
        for time: Int64 in [-1, 1000, -1] { builder.append(key: nil, value: nil, timestamp: time) }
        let bytes = try builder.finish()
        #expect(try check(bytes) { ($0.now, $0.timestampBeforeMax, $0.timestampAfterMax) = (1000, 1, 1) }.maxTimestamp == 1000)
        #expect(throws: RecordError.rejected([.init(index: 1, reason: .timestamp)])) {
            try check(bytes) { ($0.now, $0.timestampBeforeMax, $0.timestampAfterMax) = (2000, 1, 1) }
        }
    }

    @Test func anErrorNamesNoMoreRecordsThanTheLimit() throws {
        let bytes = try batch(1000)
        let named = (0..<Int32(ProducedBatch.rejectedRecordLimit)).map { RejectedRecord(index: $0 * 3, reason: .noKey) }
        #expect(throws: RecordError.rejected(named)) { try check(bytes) { $0.requireKeys = true } }
    }

    @Test func lengthsBelowMinusOneAreLies() throws {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: nil, timestamp: 0)
        let bytes = try builder.finish()
        #expect(try check(bytes).recordCount == 1)
        // Key and value lengths of −2, and a header count of −1.
        for (position, value) in [(65, 3), (66, 3), (67, 1)] as [(Int, UInt8)] {
            #expect(throws: RecordError.malformed(record: 0)) { try check(bytes.signed(value, at: position)) }
        }
    }
}
