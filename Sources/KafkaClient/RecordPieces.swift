import KafkaProtocol

/// Takes single records out of a fetch, copied piece by piece: a few bytes may unpack to very many of them.
struct RecordPieces {
    private static let recordCountMax = 1_000
    private static let byteCountMax = 1 << 20

    let fetched: FetchedRecords
    private var batches: BatchWalk
    /// Of what is left of the batch that is being taken apart; nil between two.
    private var header: RecordBatchHeader?
    private var unpacked: [UInt8] = []
    /// Of the next record in it.
    private var position = 0
    private var piece: ArraySlice<ConsumedRecord> = []

    init(_ fetched: FetchedRecords) {
        self.fetched = fetched
        batches = BatchWalk(fetched)
    }

    /// What comes behind the batch that is being taken apart, or that cannot be.
    var rest: FetchedRecords { batches.rest }

    /// The next record, nil behind the last one.
    /// - Throws: `malformed` for a batch whose checksum or records are wrong.
    mutating func next() throws(ClientError) -> ConsumedRecord? {
        while piece.isEmpty {
            if let header {
                piece = try cut(header)[...]
            } else if let batch = try batches.next() {
                unpacked = try fetched.unpack(batch)
                (self.header, position) = (batch.header, 0)
            } else {
                return nil
            }
        }
        return piece.removeFirst()
    }

    /// The next records of the batch, which begins anew, for its reader, where the last piece has ended.
    private mutating func cut(_ header: RecordBatchHeader) throws(ClientError) -> [ConsumedRecord] {
        let bytes = unpacked
        var rest = header
        var end = position
        var records: [ConsumedRecord] = []
        var reader = RecordReader(bytes.span.bytes.extracting(position..<bytes.count), of: header)
        var isOver = false
        while records.count < Self.recordCountMax, end - position < Self.byteCountMax {
            let next: Record?
            do throws(RecordError) { next = try reader.next() } catch {
                // What comes before it is handed out first.
                if records.isEmpty { throw fetched.damage("\(error)") }
                break
            }
            guard let record = next else {
                isOver = true
                break
            }
            rest.recordCount -= 1
            end = Self.end(ofRecordAt: end, in: bytes)
            if record.offset >= fetched.firstOffset { records.append(ConsumedRecord(record, reader, of: fetched.partition)) }
        }
        if isOver {
            (self.header, unpacked, position) = (nil, [], 0)
        } else {
            (self.header, position) = (rest, end)
        }
        return records
    }

    /// Its length stands before a record, as a varint. The reader has looked it over.
    private static func end(ofRecordAt start: Int, in bytes: [UInt8]) -> Int {
        var (position, zigzag, shift) = (start, UInt64(0), UInt64(0))
        while bytes[position] >= 0x80 {
            zigzag |= UInt64(bytes[position] & 0x7f) << shift
            (position, shift) = (position + 1, shift + 7)
        }
        zigzag |= UInt64(bytes[position]) << shift
        return position + 1 + Int(UInt32(truncatingIfNeeded: zigzag) >> 1)
    }
}

extension ConsumedRecord {
    init(_ record: Record, _ reader: borrowing RecordReader, of partition: TopicPartition) {
        self.init(
            partition: partition, offset: record.offset, timestampMs: record.timestamp, key: reader.array(record.key),
            value: reader.array(record.value), headers: reader.headers(of: record))
    }
}
