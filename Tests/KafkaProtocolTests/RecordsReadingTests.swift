import KafkaProtocol
import Testing

/// A record with its bytes copied out, to compare.
struct PlainRecord: Equatable {
    var offset: Int64 = 0
    var timestamp: Int64
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [RecordHeader] = []
}

func plainRecords(_ batch: [UInt8], limit: Int = 64 << 20) throws(RecordError) -> [PlainRecord] {
    let decoded = try DecodedBatch(batch.span.bytes, limit: limit)
    var reader = decoded.reader
    var records: [PlainRecord] = []
    while let record = try reader.next() {
        records.append(
            PlainRecord(
                offset: record.offset, timestamp: record.timestamp, key: reader.array(record.key), value: reader.array(record.value),
                headers: reader.headers(of: record)))
    }
    return records
}

@Suite struct RecordsReadingTests {
    private let captured = [
        PlainRecord(offset: 0, timestamp: 1_700_000_000_000, key: Array("key".utf8), value: Array("value".utf8)),
        PlainRecord(
            offset: 1, timestamp: 1_700_000_000_005, key: nil, value: [],
            headers: [.init(key: "h", value: Array("1".utf8)), .init(key: "n", value: nil)]),
        PlainRecord(offset: 2, timestamp: 1_700_000_000_002, key: [], value: nil),
        PlainRecord(
            offset: 3, timestamp: 1_700_000_000_003, key: Array("k".utf8), value: [UInt8](repeating: UInt8(ascii: "x"), count: 200)),
    ]

    @Test func capturedBatchesHoldTheirRecords() throws {
        for (_, bytes) in CapturedBatch.byCodec { #expect(try plainRecords(bytes) == captured) }
        #expect(try plainRecords(CapturedBatch.transactional) == captured)
    }

    @Test func offsetsCountFromTheBase() throws {
        var bytes = CapturedBatch.gzip
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: 1 << 40, partitionLeaderEpoch: 0) }
        #expect(try plainRecords(bytes).map(\.offset) == [0, 1, 2, 3].map { 1 << 40 + $0 })
    }

    @Test func theTimeOfTheAppendIsThatOfAllRecords() throws {
        var bytes = CapturedBatch.lz4
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, logAppendTime: 99) }
        #expect(try plainRecords(bytes).map(\.timestamp) == [99, 99, 99, 99])
    }

    @Test func theBuilderWritesWhatKafkaPythonWrites() throws {
        var builder = RecordBatchBuilder()
        for record in captured {
            builder.append(key: record.key, value: record.value, headers: record.headers, timestamp: record.timestamp)
        }
        // kafka-python writes leader epoch 0, which the checksum does not cover.
        let bytes = try builder.finish(producerID: 4711, producerEpoch: 3, baseSequence: .max - 1, transactional: true)
        #expect(bytes.with(Int32(0), at: 12) == CapturedBatch.transactional)
        let empty = builder.isEmpty
        #expect(empty)
    }

    @Test func recordsOfAllSizesComeBackThroughEveryCodec() throws {
        var random = SeededGenerator(seed: 7)
        var builder = RecordBatchBuilder(capacity: 1)
        for codec in CompressionCodec.allCases {
            for size in [0, 1, 2, 62, 63, 64, 65, 127, 128, 8191, 8192, 100_000, 1_048_576] {
                let records = (0..<Int.random(in: 1...5, using: &random)).map { index in
                    randomRecord(size: size, offset: Int64(index), using: &random)
                }
                var bound = RecordBatchHeader.headerByteCount
                for record in records {
                    builder.append(key: record.key, value: record.value, headers: record.headers, timestamp: record.timestamp)
                    bound += RecordBatchBuilder.greatestByteCount(
                        key: record.key?.count ?? 0, value: record.value?.count ?? 0, headers: record.headers)
                }
                let built = builder.byteCount
                #expect(built <= bound)
                let batch = try builder.finish(codec: codec)
                #expect(try plainRecords(batch) == records, "\(codec) \(size)")
                var rules = ValidationRules(maxBytes: .max, now: 0)
                rules.timestampAfterMax = .max
                let header = try batch.span.bytes.withUnsafeBytes { try validate($0, rules, opening: true) }
                #expect(header.maxTimestamp == records.map(\.timestamp).max() && header.codec == codec)
            }
        }
    }

    private func randomRecord(size: Int, offset: Int64, using random: inout SeededGenerator) -> PlainRecord {
        // Half noise, half repetition, so that every codec has both kinds of blocks.
        let value = (0..<size).map { $0 % 64 < 32 ? UInt8.random(in: 0...255, using: &random) : UInt8(truncatingIfNeeded: $0 / 64) }
        let headers = (0..<Int.random(in: 0...3, using: &random)).map { index in
            RecordHeader(key: "kopf-ä-\(index)", value: Bool.random(using: &random) ? Array(value.prefix(20)) : nil)
        }
        return PlainRecord(
            offset: offset, timestamp: Int64.random(in: 0...(1 << 50), using: &random),
            key: Bool.random(using: &random) ? Array(value.prefix(70)) : nil, value: offset % 4 == 3 ? nil : value, headers: headers)
    }

    @Test func controlBatchesSayHowTheTransactionEnded() throws {
        for outcome in [ControlRecord.Outcome.abort, .commit] {
            let control = ControlRecord(outcome: outcome, coordinatorEpoch: 0x0102_0304)
            let bytes = RecordBatchBuilder.controlBatch(control, producerID: 9, producerEpoch: 2, timestamp: 1000)
            let decoded = try DecodedBatch(bytes.span.bytes, limit: 1000)
            #expect(decoded.header.isControl && decoded.header.isTransactional && decoded.header.producerID == 9)
            #expect(decoded.header.baseSequence == -1 && decoded.header.maxTimestamp == 1000 && decoded.header.producerEpoch == 2)
            var reader = decoded.reader
            let record = try #require(try reader.next())
            let read = reader.control(record)
            #expect(read == control)
            let end = try reader.next()
            #expect(end == nil)
            let plain = try plainRecords(bytes)
            #expect(plain.first?.key == [0, 0, 0, outcome == .commit ? 1 : 0] && plain.first?.value == [0, 0, 1, 2, 3, 4])
        }
    }

    @Test func dataIsNoControlRecord() throws {
        var builder = RecordBatchBuilder()
        builder.append(key: [0, 0, 0, 1], value: [0, 0, 0, 0, 0, 0], timestamp: 0)
        let bytes = try builder.finish()
        let decoded = try DecodedBatch(bytes.span.bytes, limit: 1000)
        var reader = decoded.reader
        let record = try #require(try reader.next())
        let control = reader.control(record)
        #expect(control == nil)
    }

    @Test func aWrongChecksumIsNotDecoded() {
        var bytes = CapturedBatch.zstd
        bytes[100] ^= 1
        #expect(throws: RecordError.checksum) { try plainRecords(bytes) }
    }

    @Test func fewerAndMoreRecordsThanStatedAreSeen() {
        for (_, bytes) in CapturedBatch.byCodec {
            #expect(throws: RecordError.recordCount(stated: 5)) { try plainRecords(bytes.signed(Int32(5), at: 57)) }
            #expect(throws: RecordError.recordCount(stated: 3)) { try plainRecords(bytes.signed(Int32(3), at: 57)) }
        }
    }

    @Test func recordsCutOffAnywhereThrow() {
        let bytes = CapturedBatch.plain
        for length in 61..<bytes.count {
            let cut = Array(bytes.prefix(length)).with(Int32(length - 12), at: 8).signed()
            #expect(throws: RecordError.self) { try plainRecords(cut) }
        }
    }

    @Test func randomDamageNeverCrashesTheReader() {
        var random = SeededGenerator(seed: 11)
        var read = 0
        for round in 0..<20_000 {
            var bytes = CapturedBatch.byCodec[round % 5].1
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 21..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            read += (try? plainRecords(bytes.signed(), limit: 1 << 20))?.count ?? 0
        }
        #expect(read > 0, "some damage leaves records readable")
    }
}
