import KafkaProtocol

/// Takes single records out of a fetch, copied piece by piece: a few bytes may unpack to very many of them.
struct RecordPieces {
    private static let recordCountMax = 1_000
    private static let byteCountMax = 1 << 20

    let fetched: FetchedRecords
    private var batches: BatchWalk
    /// Of the batch that is being taken apart; nil between two.
    private var header: RecordBatchHeader?
    private var unpacked: [UInt8] = []
    /// Of the next record in it.
    private var place = RecordReader.Place()
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
                (self.header, place) = (batch.header, RecordReader.Place())
            } else {
                return nil
            }
        }
        return piece.removeFirst()
    }

    /// The next records of the batch, from where the last piece has ended.
    private mutating func cut(_ header: RecordBatchHeader) throws(ClientError) -> [ConsumedRecord] {
        let bytes = unpacked
        var records: [ConsumedRecord] = []
        var reader = RecordReader(bytes.span.bytes, of: header, from: place)
        var isOver = false
        while records.count < Self.recordCountMax, reader.place.position - place.position < Self.byteCountMax {
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
            if record.offset >= fetched.firstOffset { records.append(ConsumedRecord(record, reader, of: fetched.partition)) }
        }
        place = reader.place
        if isOver { (self.header, unpacked) = (nil, []) }
        return records
    }
}

extension ConsumedRecord {
    init(_ record: Record, _ reader: borrowing RecordReader, of partition: TopicPartition) {
        self.init(
            partition: partition, offset: record.offset, timestampMs: record.timestamp, key: reader.array(record.key),
            value: reader.array(record.value), headers: reader.headers(of: record))
    }
}
