import KafkaProtocol
import Testing

@Suite struct RecordsHeaderTests {
    @Test(
        arguments: [
            ("", 0), ("123456789", 0xE306_9283), (String(repeating: "\0", count: 32), 0x8A91_36AA),
        ] as [(String, UInt32)])
    func theChecksumMatchesPublishedValues(text: String, expected: UInt32) {
        #expect(Array(text.utf8).withUnsafeBytes { CRC32C.checksum($0) } == expected)
    }

    @Test func theChecksumDoesNotDependOnThePieces() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let whole = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        for cut in [0, 1, 7, 8, 63, 500, 999, 1000] {
            var crc = CRC32C()
            crc.update(bytes.span.bytes.extracting(0..<cut))
            crc.update(bytes.span.bytes.extracting(cut..<1000))
            #expect(crc.value == whole)
        }
    }

    @Test func theFieldsOfACapturedBatchAreWhereTheyBelong() throws {
        let bytes = CapturedBatch.transactional
        let header = try #require(bytes.header())
        #expect(header.baseOffset == 0 && header.byteCount == bytes.count && header.magic == 2)
        #expect(header.crc == 0xab60_cc63 && header.codec == CompressionCodec.none)
        #expect(header.isTransactional && !header.isControl && !header.hasDeleteHorizon && header.timestampType == .createTime)
        #expect(header.lastOffset == 3 && header.nextOffset == 4 && header.recordCount == 4)
        #expect(header.baseTimestamp == 1_700_000_000_000 && header.maxTimestamp == 1_700_000_000_005)
        #expect(header.producerID == 4711 && header.producerEpoch == 3 && header.baseSequence == .max - 1)
        #expect(header.lastSequence == 1, "sequences go on from 0 after Int32.max")
        #expect(bytes.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
    }

    @Test func theCodecIsReadFromEachCapturedBatch() {
        for (codec, bytes) in CapturedBatch.byCodec { #expect(bytes.header()?.codec == codec) }
    }

    @Test func writingGivesBackTheSameBytes() throws {
        var bytes = CapturedBatch.transactional
        let header = try #require(bytes.header())
        bytes.withUnsafeMutableBytes { raw in
            raw.prefix(RecordBatchHeader.headerByteCount).copyBytes(from: [UInt8](repeating: 0xff, count: 61))
            header.write(to: raw)
        }
        #expect(bytes == CapturedBatch.transactional)
    }

    @Test func noHeaderWhereTheBatchIsNotWhole() {
        let bytes = CapturedBatch.plain
        for length in 0..<bytes.count {
            #expect(Array(bytes.prefix(length)).header() == nil)
            #expect((Array(bytes.prefix(length)).head() == nil) == (length < 61))
        }
        for offset in [-1, 1, 61, bytes.count, bytes.count + 1, .max, .min] {
            #expect(bytes.header(at: offset) == nil)
        }
        #expect((bytes + bytes).header(at: bytes.count)?.byteCount == bytes.count)
    }

    @Test(arguments: [-1, 0, 1, 48, Int32.max, Int32.min]) func aLyingLengthIsNoHeader(length: Int32) {
        let bytes = CapturedBatch.plain.with(length, at: 8)
        #expect(bytes.header() == nil)
    }

    @Test func anotherFormatIsNoHeader() {
        for magic: Int8 in [-1, 0, 1, 3] { #expect(CapturedBatch.plain.with(magic, at: 16).header() == nil) }
    }

    @Test func thePlaceInTheLogIsNotUnderTheChecksum() throws {
        var bytes = CapturedBatch.plain
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: 77, partitionLeaderEpoch: 5) }
        let header = try #require(bytes.header())
        #expect(header.baseOffset == 77 && header.partitionLeaderEpoch == 5 && header.lastOffset == 80)
        #expect(bytes.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
    }

    @Test func theTimeOfTheAppendIsStampedUnderTheChecksum() throws {
        var bytes = CapturedBatch.zstd
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, logAppendTime: 1234) }
        let header = try #require(bytes.header())
        #expect(header.timestampType == .logAppendTime && header.maxTimestamp == 1234 && header.codec == .zstd)
        #expect(bytes.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
    }

    @Test func correctingARightMaxTimestampChangesNothing() throws {
        var bytes = CapturedBatch.plain
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, maxTimestamp: 1_700_000_000_005) }
        #expect(bytes == CapturedBatch.plain)
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, maxTimestamp: 9) }
        let header = try #require(bytes.header())
        #expect(header.maxTimestamp == 9 && header.timestampType == .createTime)
        #expect(bytes.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
    }
}
