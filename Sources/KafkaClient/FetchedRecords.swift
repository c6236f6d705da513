public import KafkaProtocol

/// Whole record batches of one partition, as they came: a part of a response, neither copied nor unpacked until its
/// records are asked for. None at all where reading goes on elsewhere (`ConsumerOptions.outOfRange`) and nothing has come from
/// there yet: then they only tell the offset.
public struct FetchedRecords: Sendable {
    public let partition: TopicPartition
    /// Records before it came along in their batch, and are passed over.
    public internal(set) var firstOffset: Int64
    /// The offset behind the last record.
    public let nextOffset: Int64
    /// The epoch of the leader that took in the last of the batches (KIP-101), −1 when unknown.
    public let leaderEpoch: Int32
    /// The end of the partition, as readers saw it when this was fetched.
    public let highWatermark: Int64
    /// Bytes of all batches, compressed as they are.
    public var byteCount: Int { slice.length }
    /// Of batches at the front that are not looked at again, whatever they hold.
    var passedByteCount = 0
    let frame: Frame
    let slice: FrameSlice
    let aborted: [FetchResponse.AbortedTransaction]
    let isolation: IsolationLevel
    let batchByteCountMax: Int

    /// Calls `body` for each record, in order, until it returns false. The record's key and value are places in what
    /// `reader` reads from, valid until `body` returns.
    ///
    /// Control records, and with `IsolationLevel.readCommitted` those of aborted transactions, are passed over.
    /// - Throws: `malformed` for a batch whose checksum or records are wrong, and what `body` throws.
    public func forEachRecord(_ body: (Record, borrowing RecordReader) throws -> Bool) throws {
        var batches = BatchWalk(self)
        while let batch = try batches.next() {
            if batch.header.codec == CompressionCodec.none {
                guard try visit(RecordReader(frame.span.extracting(batch.records), of: batch.header), body) else { return }
            } else {
                let unpacked = try unpack(batch)
                guard try visit(RecordReader(unpacked.span.bytes, of: batch.header), body) else { return }
            }
        }
    }

    /// The records of a batch, decompressed and with bytes of their own.
    func unpack(_ batch: BatchWalk.Batch) throws(ClientError) -> [UInt8] {
        let offset = batch.header.baseOffset
        guard let codec = batch.header.codec else { throw damage("the batch at offset \(offset) has an unknown codec") }
        // What is not compressed is as long as it is.
        let limit = codec == .none ? batch.records.count : batchByteCountMax
        do throws(CompressionError) {
            return try frame.span.extracting(batch.records).withUnsafeBytes { (bytes) throws(CompressionError) in
                try codec.decompress(bytes, limit: limit)
            }
        } catch {
            throw damage("the batch at offset \(offset) cannot be decompressed: \(error)")
        }
    }

    private func visit(_ reader: consuming RecordReader, _ body: (Record, borrowing RecordReader) throws -> Bool) throws -> Bool {
        while true {
            let next: Record?
            do throws(RecordError) { next = try reader.next() } catch { throw damage("\(error)") }
            guard let record = next else { return true }
            if record.offset >= firstOffset, try !body(record, reader) { return false }
        }
    }

    func damage(_ sentence: String) -> ClientError { .malformed("\(partition): \(sentence)") }
}

/// Goes through the batches of a fetch that hold records for its reader.
struct BatchWalk {
    struct Batch {
        let header: RecordBatchHeader
        /// Where they are in the frame, compressed as they are.
        let records: Range<Int>
    }

    private let fetched: FetchedRecords
    private var position: Int
    private var filter: AbortedFilter
    private var nextOffset: Int64

    /// What comes behind the batch that was looked at last.
    var rest: FetchedRecords {
        var rest = fetched
        (rest.firstOffset, rest.passedByteCount) = (nextOffset, position - fetched.slice.offset)
        return rest
    }

    init(_ fetched: FetchedRecords) {
        self.fetched = fetched
        position = fetched.slice.offset
        nextOffset = fetched.firstOffset
        filter = AbortedFilter(fetched.aborted)
    }

    /// The next of them, nil behind the last.
    /// - Throws: `malformed` for a batch whose checksum is wrong.
    mutating func next() throws(ClientError) -> Batch? {
        let isCommittedOnly = fetched.isolation == .readCommitted
        while position < fetched.slice.offset + fetched.slice.length {
            guard let header = RecordBatchHeader(fetched.frame.span, at: position) else { throw fetched.damage("a batch is cut short") }
            let (start, end) = (position, position + header.byteCount)
            position = end
            nextOffset = max(nextOffset, header.nextOffset)
            let isPassed = end - fetched.slice.offset <= fetched.passedByteCount
            let checksum = fetched.frame.span.extracting(start..<end).withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) }
            guard isPassed || checksum == header.crc else {
                throw fetched.damage("the batch at offset \(header.baseOffset) does not match its checksum")
            }
            if header.isControl {
                if isCommittedOnly { filter.end(header) }
                continue
            }
            if isPassed || isCommittedOnly && filter.drops(header) { continue }
            return Batch(header: header, records: start + RecordBatchHeader.headerByteCount..<end)
        }
        return nil
    }
}

/// Tells which batches belong to transactions that were aborted, from the list that came with them (KIP-98).
struct AbortedFilter {
    private var coming: ArraySlice<FetchResponse.AbortedTransaction>
    private var open: Set<Int64> = []

    init(_ aborted: [FetchResponse.AbortedTransaction]) {
        coming = aborted.sorted { $0.firstOffset < $1.firstOffset }[...]
    }

    /// Called for batches in order.
    mutating func drops(_ header: RecordBatchHeader) -> Bool {
        advance(to: header.lastOffset)
        return header.isTransactional && open.contains(header.producerID)
    }

    /// The transaction of the control batch's producer has ended.
    mutating func end(_ header: RecordBatchHeader) {
        advance(to: header.baseOffset &- 1)
        open.remove(header.producerID)
    }

    private mutating func advance(to offset: Int64) {
        while let next = coming.first, next.firstOffset <= offset {
            open.insert(next.producerID)
            coming = coming.dropFirst()
        }
    }
}
