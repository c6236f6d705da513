public import KafkaProtocol

/// Whole record batches of one partition, as they came: a part of a response, neither copied nor unpacked until its
/// records are asked for. None at all where reading goes on elsewhere (`ConsumerOptions.outOfRange`) and nothing has come from
/// there yet: then they only tell the offset.
public struct FetchedRecords: Sendable {
    public let partition: TopicPartition
    /// Records before it came along in their batch, and are passed over.
    public let firstOffset: Int64
    /// The offset behind the last record.
    public let nextOffset: Int64
    /// The epoch of the leader that took in the last of the batches (KIP-101), −1 when unknown.
    public let leaderEpoch: Int32
    /// The end of the partition, as readers saw it when this was fetched.
    public let highWatermark: Int64
    /// Bytes of all batches, compressed as they are.
    public var byteCount: Int { slice.length }
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
        var position = slice.offset
        var filter = AbortedFilter(aborted)
        while position < slice.offset + slice.length {
            guard let header = RecordBatchHeader(frame.span, at: position) else { throw damage("a batch is cut short") }
            let end = position + header.byteCount
            let batch = frame.span.extracting(position..<end)
            position = end
            guard batch.withUnsafeBytes({ RecordBatchHeader.checksum(ofBatch: $0) }) == header.crc else {
                throw damage("the batch at offset \(header.baseOffset) does not match its checksum")
            }
            if header.isControl {
                if isolation == .readCommitted { filter.end(header) }
                continue
            }
            if isolation == .readCommitted, filter.drops(header) { continue }
            guard try visit(batch, header, body) else { return }
        }
    }

    private func visit(
        _ batch: RawSpan, _ header: RecordBatchHeader, _ body: (Record, borrowing RecordReader) throws -> Bool
    ) throws -> Bool {
        let records = batch.extracting(RecordBatchHeader.headerByteCount..<batch.byteCount)
        guard let codec = header.codec else { throw damage("the batch at offset \(header.baseOffset) has an unknown codec") }
        if codec == .none { return try visit(RecordReader(records, of: header), body) }
        let unpacked: [UInt8]
        do throws(CompressionError) {
            unpacked = try records.withUnsafeBytes { (bytes) throws(CompressionError) in
                try codec.decompress(bytes, limit: batchByteCountMax)
            }
        } catch {
            throw damage("the batch at offset \(header.baseOffset) cannot be decompressed: \(error)")
        }
        return try visit(RecordReader(unpacked.span.bytes, of: header), body)
    }

    private func visit(_ reader: consuming RecordReader, _ body: (Record, borrowing RecordReader) throws -> Bool) throws -> Bool {
        while true {
            let next: Record?
            do throws(RecordError) { next = try reader.next() } catch { throw damage("\(error)") }
            guard let record = next else { return true }
            if record.offset >= firstOffset, try !body(record, reader) { return false }
        }
    }

    private func damage(_ sentence: String) -> ClientError { .malformed("\(partition): \(sentence)") }
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
        advance(to: header.baseOffset - 1)
        open.remove(header.producerID)
    }

    private mutating func advance(to offset: Int64) {
        while let next = coming.first, next.firstOffset <= offset {
            open.insert(next.producerID)
            coming = coming.dropFirst()
        }
    }
}
