import Testing

@testable import KafkaProtocol

@Suite struct RecordsRewritingTests {
    private func batch(_ codec: CompressionCodec) throws -> DecodedBatch {
        var builder = RecordBatchBuilder()
        for index in 0..<50 {
            builder.append(
                key: Array("key \(index)".utf8), value: index % 7 == 0 ? nil : [UInt8](repeating: UInt8(index), count: index * 3),
                headers: index % 5 == 0 ? [RecordHeader(key: "h", value: [1, 2])] : [], timestamp: 1_000_000 + Int64(index * 37 % 11))
        }
        var bytes = try builder.finish(codec: codec, producerID: 9, producerEpoch: 3, baseSequence: 70, transactional: true)
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: 5_000, partitionLeaderEpoch: 4) }
        return try decoded(bytes)
    }

    private func decoded(_ bytes: [UInt8]) throws -> DecodedBatch { try DecodedBatch(bytes.span.bytes, limit: 1 << 20) }

    private struct Plain: Equatable {
        var offset: Int64, timestamp: Int64
        var key: [UInt8]?, value: [UInt8]?
        var headers: [RecordHeader]
    }

    private func records(_ batch: DecodedBatch) throws -> [Plain] {
        var reader = batch.reader
        var found: [Plain] = []
        while let record = try reader.next() {
            found.append(
                Plain(
                    offset: record.offset, timestamp: record.timestamp, key: reader.array(record.key), value: reader.array(record.value),
                    headers: reader.headers(of: record)))
        }
        return found
    }

    @Test(arguments: CompressionCodec.allCases, [nil, 500_000, 999_999_999] as [Int64?])
    func whatIsKeptIsAsItWas(codec: CompressionCodec, horizon: Int64?) throws {
        let before = try batch(codec)
        let kept = (0..<50).map { $0 % 3 == 1 }
        let after = try decoded(before.rewritten(keeping: kept, deleteHorizonMs: horizon))
        let expected = try records(before).enumerated().filter { kept[$0.offset] }.map(\.element)
        #expect(try records(after) == expected)
        var header = before.header
        header.recordCount = Int32(expected.count)
        header.maxTimestamp = try #require(expected.map(\.timestamp).max())
        if let horizon {
            header.baseTimestamp = horizon
            header.attributes |= 0x40
            #expect(after.header.hasDeleteHorizon)
        }
        (header.batchLength, header.crc) = (after.header.batchLength, after.header.crc)
        #expect(after.header == header)
        // Once more, from records whose times count from the horizon.
        let last = try decoded(after.rewritten(keeping: expected.indices.map { $0 == 2 }))
        #expect(try records(last) == [expected[2]])
    }

    @Test(arguments: CompressionCodec.allCases)
    func whatIsEmptyIsItsHeader(codec: CompressionCodec) throws {
        let before = try batch(codec)
        let bytes = try before.rewritten(keeping: Array(repeating: false, count: 50), deleteHorizonMs: 7)
        #expect(bytes.count == RecordBatchHeader.headerByteCount)
        let after = try decoded(bytes)
        #expect(try records(after).isEmpty)
        #expect(after.header.baseOffset == 5_000 && after.header.nextOffset == 5_050 && after.header.codec == CompressionCodec.none)
        #expect(after.header.isTransactional && !after.header.hasDeleteHorizon && after.header.producerID == 9 && after.header.baseSequence == 70)
    }
}
