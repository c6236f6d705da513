/// Builds record batches: records are appended in their final form, and `finish` compresses and signs them.
public struct RecordBatchBuilder: ~Copyable {
    private var bytes: GrowingBytes
    public private(set) var recordCount: Int32 = 0
    private var baseTimestamp: Int64 = -1
    private var maxTimestamp: Int64 = -1

    /// - Parameter capacity: bytes to take memory for up front; it grows as needed.
    public init(capacity: Int = 16 << 10) {
        bytes = GrowingBytes(capacity: capacity)
        clear()
    }

    /// Length in bytes of the batch so far, uncompressed.
    public var byteCount: Int { bytes.count }
    public var isEmpty: Bool { recordCount == 0 }

    /// The most bytes that a record adds to a batch, to know before appending whether it still fits.
    public static func greatestByteCount(key: Int, value: Int, headers: [RecordHeader] = []) -> Int {
        headers.reduce(greatestRecordOverhead + key + value) { $0 + 10 + $1.key.utf8.count + ($1.value?.count ?? 0) }
    }

    /// Numbers of a record at their longest: five of five bytes, the time of ten, the attributes.
    private static let greatestRecordOverhead = 5 * 5 + 10 + 1

    /// Appends a record. Nil is null, and `timestamp` counts milliseconds since 1970.
    @_disfavoredOverload  // `append(key: nil, value: nil, …)` would be ambiguous.
    public mutating func append(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader] = [], timestamp: Int64
    ) {
        if recordCount == 0 {
            baseTimestamp = timestamp
            maxTimestamp = timestamp
        } else if timestamp > maxTimestamp {
            maxTimestamp = timestamp
        }
        let timeDelta = Varint.zigzag(timestamp &- baseTimestamp)
        let offsetDelta = Varint.zigzag(Int64(recordCount))
        let keyLength = Varint.zigzag(unsafe Int64(key?.count ?? -1))
        let valueLength = Varint.zigzag(unsafe Int64(value?.count ?? -1))
        let headerCount = Varint.zigzag(Int64(headers.count))
        var length = unsafe 1 + (key?.count ?? 0) + (value?.count ?? 0)
        length += Varint.byteCount(timeDelta) + Varint.byteCount(offsetDelta) + Varint.byteCount(keyLength)
        length += Varint.byteCount(valueLength) + Varint.byteCount(headerCount)
        for header in headers { length += Varint.byteCount(of: header) }
        precondition(bytes.count + length + 5 <= Int32.max, "a record batch holds 2 GiB at the most")

        bytes.reserve(length + 5)
        bytes.put(Varint.zigzag(Int64(length)))
        bytes.put(0)  // attributes, a byte like a varint
        bytes.put(timeDelta)
        bytes.put(offsetDelta)
        bytes.put(keyLength)
        if let key = unsafe key { unsafe bytes.put(key) }
        bytes.put(valueLength)
        if let value = unsafe value { unsafe bytes.put(value) }
        bytes.put(headerCount)
        for header in headers { bytes.put(header) }
        recordCount += 1
    }

    /// Appends a record. Nil is null, and `timestamp` counts milliseconds since 1970.
    public mutating func append(key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestamp: Int64) {
        unsafe (key ?? []).withUnsafeBytes { keyBytes in
            unsafe (value ?? []).withUnsafeBytes { valueBytes in
                unsafe append(
                    key: key == nil ? nil : keyBytes, value: value == nil ? nil : valueBytes, headers: headers, timestamp: timestamp)
            }
        }
    }

    /// The finished batch, from base offset 0 and without a leader epoch. The builder is empty again, and keeps its memory.
    ///
    /// - Parameters:
    ///   - level: as in `CompressionCodec.compress`.
    ///   - producerID: −1 unless the producer is idempotent; then with its epoch and the sequence of the first record.
    public mutating func finish(
        codec: CompressionCodec = .none, level: Int? = nil, producerID: Int64 = -1, producerEpoch: Int16 = -1, baseSequence: Int32 = -1,
        transactional: Bool = false
    ) throws(CompressionError) -> [UInt8] {
        precondition(recordCount > 0, "a record batch holds a record at the least")
        defer { clear() }
        var header = RecordBatchHeader(
            batchLength: 0, lastOffsetDelta: recordCount - 1, baseTimestamp: baseTimestamp, maxTimestamp: maxTimestamp,
            producerID: producerID, producerEpoch: producerEpoch, baseSequence: baseSequence, recordCount: recordCount)
        header.attributes = Int16(codec.rawValue) | (transactional ? RecordBatchHeader.transactionalBit : 0)
        return try finish(header, level: level)
    }

    /// The batch that marks the end of a transaction in a partition it wrote to.
    /// - Parameter timestamp: milliseconds since 1970.
    public static func controlBatch(_ control: ControlRecord, producerID: Int64, producerEpoch: Int16, timestamp: Int64) -> [UInt8] {
        var builder = RecordBatchBuilder(capacity: 128)
        builder.append(key: control.key, value: control.value, timestamp: timestamp)
        let header = RecordBatchHeader(
            batchLength: 0, attributes: RecordBatchHeader.transactionalBit | RecordBatchHeader.controlBit, baseTimestamp: timestamp,
            maxTimestamp: timestamp, producerID: producerID, producerEpoch: producerEpoch)
        builder.sign(header)
        return builder.bytes.array
    }

    private mutating func finish(_ header: RecordBatchHeader, level: Int?) throws(CompressionError) -> [UInt8] {
        let codec = header.codec ?? .none
        if codec != .none {
            let records = unsafe UnsafeRawBufferPointer(rebasing: bytes.written[RecordBatchHeader.headerByteCount...])
            let compressed = unsafe try codec.compress(records, level: level)
            bytes.count = RecordBatchHeader.headerByteCount
            bytes.reserve(compressed.count)
            unsafe compressed.withUnsafeBytes { unsafe bytes.put($0) }
        }
        sign(header)
        return bytes.array
    }

    /// Puts the header before the records, with its length and checksum.
    private mutating func sign(_ header: RecordBatchHeader) {
        var header = header
        header.batchLength = Int32(bytes.count - RecordBatchHeader.uncountedByteCount)
        unsafe header.write(to: bytes.whole)
        header.crc = unsafe RecordBatchHeader.checksum(ofBatch: bytes.written)
        unsafe header.write(to: bytes.whole)
    }

    private mutating func clear() {
        bytes.count = 0
        bytes.reserve(RecordBatchHeader.headerByteCount)
        bytes.count = RecordBatchHeader.headerByteCount
        recordCount = 0
    }
}

/// Numbers of seven bits a byte, the sign in the lowest bit.
enum Varint {
    @inline(__always) static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value &<< 1 ^ value &>> 63) }

    @inline(__always) static func byteCount(_ zigzag: UInt64) -> Int {
        (70 &- (zigzag | 1).leadingZeroBitCount) / 7
    }

    static func byteCount(of header: RecordHeader) -> Int {
        let key = header.key.utf8.count
        let value = header.value?.count
        return byteCount(zigzag(Int64(key))) + key + byteCount(zigzag(Int64(value ?? -1))) + (value ?? 0)
    }
}

// What a record is made of. Room for it has been reserved.
extension GrowingBytes {
    @inline(__always) mutating func put(_ zigzag: UInt64) {
        var rest = zigzag
        while rest >= 0x80 {
            unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: count, as: UInt8.self)
            count &+= 1
            rest &>>= 7
        }
        unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always) mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        unsafe (base + count).copyMemory(from: source, byteCount: bytes.count)
        count &+= bytes.count
    }

    mutating func put(_ header: RecordHeader) {
        var key = header.key
        key.withUTF8 {
            put(Varint.zigzag(Int64($0.count)))
            unsafe put(UnsafeRawBufferPointer($0))
        }
        put(Varint.zigzag(Int64(header.value?.count ?? -1)))
        unsafe header.value?.withUnsafeBytes { unsafe put($0) }
    }

    var whole: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: base, count: count) }
}
