/// Reads the records of one batch, one after the other, without allocating anything for them.
public struct RecordReader: ~Copyable, ~Escapable {
    /// The decompressed records, which the slices of each `Record` are places in.
    public let records: RawSpan
    private let header: RecordBatchHeader
    /// Of the next record: another reader may go on from there.
    public private(set) var place: Place

    /// Where a reader stands.
    public struct Place: Sendable {
        public fileprivate(set) var position = 0
        fileprivate var index = 0

        /// At the first record.
        public init() {}
    }

    /// - Parameters:
    ///   - records: what follows the header of an uncompressed batch, or the same decompressed.
    ///   - place: where a reader of the same records has stood.
    @_lifetime(copy records)
    public init(_ records: RawSpan, of header: RecordBatchHeader, from place: Place = Place()) {
        self.records = records
        self.header = header
        self.place = place
    }

    /// The next record, nil behind the last one.
    ///
    /// Unlike for producers, the offsets may have gaps: compaction leaves them.
    /// - Throws: `RecordError.malformed` for a record that is not laid out as one, and `RecordError.recordCount` when
    ///   the records are fewer or more than the header says.
    @_lifetime(self: copy self)
    public mutating func next() throws(RecordError) -> Record? {
        guard place.index < Int(header.recordCount) else {
            if place.position != records.byteCount { throw .recordCount(stated: header.recordCount) }
            return nil
        }
        guard place.position < records.byteCount else { throw .recordCount(stated: header.recordCount) }
        let found = unsafe records.withUnsafeBytes { bytes in
            unsafe bytes.baseAddress.flatMap { base in
                unsafe Self.record(base, from: place.position, to: bytes.count, header)
            }
        }
        guard let found else { throw .malformed(record: place.index) }
        place.position = found.end
        place.index += 1
        return found.record
    }

    private static func record(
        _ base: UnsafeRawPointer, from start: Int, to end: Int, _ header: RecordBatchHeader
    ) -> (record: Record, end: Int)? {
        var cursor = unsafe RecordCursor(base, from: start, to: end)
        let length = cursor.varint()
        guard !cursor.failed, length > 0, length <= end - cursor.position else { return nil }
        cursor.end = cursor.position + length
        cursor.position += 1
        let timeDelta = cursor.varlong()
        let offsetDelta = cursor.varint()
        let key = cursor.slice()
        let value = cursor.slice()
        let headerCount = cursor.varint()
        let headers = FrameSlice(offset: cursor.position, length: cursor.end - cursor.position)
        cursor.skipHeaders(headerCount)
        guard !cursor.failed, cursor.position == cursor.end else { return nil }
        let time = header.timestampType == .logAppendTime ? header.maxTimestamp : header.baseTimestamp &+ timeDelta
        let record = Record(
            offset: header.baseOffset &+ Int64(offsetDelta), timestamp: time, key: key, value: value,
            headerCount: headerCount, headers: headers)
        return (record, cursor.end)
    }

    /// The bytes of a key or value that this reader has returned.
    @_lifetime(copy self)
    public func bytes(_ slice: FrameSlice) -> RawSpan {
        records.extracting(slice.offset..<(slice.offset + slice.length))
    }

    /// A copy of the bytes of a key or value that this reader has returned.
    public func array(_ slice: FrameSlice?) -> [UInt8]? {
        guard let slice else { return nil }
        return unsafe bytes(slice).withUnsafeBytes { unsafe Array($0) }
    }

    /// The headers of a record that this reader has returned, in the order they were given.
    public func headers(of record: Record) -> [RecordHeader] {
        guard record.headerCount > 0 else { return [] }
        var headers: [RecordHeader] = []
        headers.reserveCapacity(record.headerCount)
        unsafe records.extracting(0..<(record.headers.offset + record.headers.length)).withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var cursor = unsafe RecordCursor(base, from: record.headers.offset, to: bytes.count)
            for _ in 0..<record.headerCount {
                guard let key = cursor.slice() else { return }
                let value = cursor.slice()
                let name = unsafe UnsafeRawBufferPointer(start: base + key.offset, count: key.length)
                let content = value.map { unsafe Array(UnsafeRawBufferPointer(start: base + $0.offset, count: $0.length)) }
                unsafe headers.append(RecordHeader(key: String(decoding: name, as: UTF8.self), value: content))
            }
        }
        return headers
    }

    /// The end of a transaction that a record of a control batch marks, nil for other control records.
    public func control(_ record: Record) -> ControlRecord? {
        guard header.isControl, let key = record.key, let value = record.value else { return nil }
        return ControlRecord(key: bytes(key), value: bytes(value))
    }
}

extension RecordCursor {
    /// A length and as many bytes; nil for null.
    @inlinable @inline(__always) mutating func slice() -> FrameSlice? {
        let length = skipBytes()
        return length < 0 || failed ? nil : FrameSlice(offset: position &- length, length: length)
    }
}

/// One batch, decompressed, for those who keep it while they read its records.
public struct DecodedBatch: Sendable {
    public let header: RecordBatchHeader
    /// The decompressed records.
    public let records: [UInt8]

    /// - Parameters:
    ///   - batch: begins with one whole batch; what follows it is left alone.
    ///   - limit: the most that may come out of a compressed batch, in bytes.
    /// - Throws: `length`, `checksum`, `unknownCodec` or `compression`.
    public init(_ batch: RawSpan, limit: Int) throws(RecordError) {
        guard let header = RecordBatchHeader(batch) else { throw .length }
        guard let codec = header.codec else { throw .unknownCodec(UInt8(truncatingIfNeeded: header.attributes & 0x07)) }
        let whole = batch.extracting(0..<header.byteCount)
        guard unsafe whole.withUnsafeBytes({ unsafe RecordBatchHeader.checksum(ofBatch: $0) }) == header.crc else { throw .checksum }
        self.header = header
        do throws(CompressionError) {
            let body = whole.extracting(RecordBatchHeader.headerByteCount..<header.byteCount)
            records = unsafe try body.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws(CompressionError) -> [UInt8] in
                // What is not compressed is as long as it is.
                unsafe try codec.decompress(bytes, limit: codec == .none ? bytes.count : limit)
            }
        } catch {
            throw .compression(error)
        }
    }

    /// Looks over all records.
    /// - Throws: what reading one of them would, and `malformed` for an offset that is not greater than the one before, or not the batch's.
    public func check() throws(RecordError) {
        var reader = reader
        var last = header.baseOffset - 1
        var index = 0
        while let record = try reader.next() {
            guard record.offset > last, record.offset <= header.lastOffset else { throw .malformed(record: index) }
            last = record.offset
            index += 1
        }
    }

    /// Begins at the first record.
    public var reader: RecordReader {
        @_lifetime(borrow self)
        get { unsafe RecordReader(records.span.bytes, of: header) }
    }
}
