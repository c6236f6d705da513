// Reading and patching a header where it lies. The offsets are those drawn at `RecordBatchHeader`.

extension RecordBatchHeader {
    /// The header of the batch at `offset`. Nil unless the whole batch, as long as it says it is, lies within `bytes`.
    @inlinable public init?(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0) {
        guard let header = unsafe RecordBatchHeader(headOf: bytes, at: offset), header.byteCount <= bytes.count &- offset else {
            return nil
        }
        self = header
    }

    /// The header at `offset` of a batch that may go on beyond `bytes`. Nil if the header itself is not all
    /// there, is of another format, or states a length shorter than itself.
    @inlinable public init?(headOf bytes: UnsafeRawBufferPointer, at offset: Int = 0) {
        guard offset >= 0, offset <= bytes.count, bytes.count &- offset >= Self.headerByteCount, let base = bytes.baseAddress else {
            return nil
        }
        unsafe self.init(uncheckedHeaderAt: base + offset)
        guard magic == 2, byteCount >= Self.headerByteCount else { return nil }
    }

    /// The header of the batch at `offset`. Nil unless the whole batch, as long as it says it is, lies within `bytes`.
    @inlinable public init?(_ bytes: RawSpan, at offset: Int = 0) {
        guard let header = unsafe bytes.withUnsafeBytes({ unsafe RecordBatchHeader($0, at: offset) }) else { return nil }
        self = header
    }

    /// The header at `offset` of a batch that may go on beyond `bytes`, as `init(headOf:at:)` over a pointer.
    @inlinable public init?(headOf bytes: RawSpan, at offset: Int = 0) {
        guard let header = unsafe bytes.withUnsafeBytes({ unsafe RecordBatchHeader(headOf: $0, at: offset) }) else { return nil }
        self = header
    }

    /// 61 readable bytes must follow `head`. Believes everything they say.
    @inlinable @inline(__always) init(uncheckedHeaderAt head: UnsafeRawPointer) {
        unsafe self.init(
            baseOffset: Self.load(head, 0), batchLength: Self.load(head, 8), partitionLeaderEpoch: Self.load(head, 12),
            magic: Self.load(head, 16), crc: Self.load(head, 17), attributes: Self.load(head, 21), lastOffsetDelta: Self.load(head, 23),
            baseTimestamp: Self.load(head, 27), maxTimestamp: Self.load(head, 35), producerID: Self.load(head, 43),
            producerEpoch: Self.load(head, 51), baseSequence: Self.load(head, 53), recordCount: Self.load(head, 57))
    }

    @inlinable @inline(__always) static func load<T: FixedWidthInteger & BitwiseCopyable>(_ head: UnsafeRawPointer, _ at: Int) -> T {
        unsafe T(bigEndian: head.loadUnaligned(fromByteOffset: at, as: T.self))
    }

    @inlinable @inline(__always) static func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, _ head: UnsafeMutableRawPointer, _ at: Int
    ) {
        unsafe head.storeBytes(of: value.bigEndian, toByteOffset: at, as: T.self)
    }

    /// Writes all 61 bytes as they are, the checksum included. `bytes` must hold them.
    @inlinable public func write(to bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.headerByteCount, "a record batch header takes 61 bytes")
        guard let head = bytes.baseAddress else { return }
        unsafe Self.store(baseOffset, head, 0)
        unsafe Self.store(batchLength, head, 8)
        unsafe Self.store(partitionLeaderEpoch, head, 12)
        unsafe Self.store(magic, head, 16)
        unsafe Self.store(crc, head, 17)
        unsafe Self.store(attributes, head, 21)
        unsafe Self.store(lastOffsetDelta, head, 23)
        unsafe Self.store(baseTimestamp, head, 27)
        unsafe Self.store(maxTimestamp, head, 35)
        unsafe Self.store(producerID, head, 43)
        unsafe Self.store(producerEpoch, head, 51)
        unsafe Self.store(baseSequence, head, 53)
        unsafe Self.store(recordCount, head, 57)
    }

    /// Gives the batch that begins at `bytes` its place in the log. The checksum does not cover these fields.
    @inlinable public static func patch(_ bytes: UnsafeMutableRawBufferPointer, baseOffset: Int64, partitionLeaderEpoch: Int32) {
        precondition(bytes.count >= headerByteCount, "a record batch header takes 61 bytes")
        guard let head = bytes.baseAddress else { return }
        unsafe store(baseOffset, head, 0)
        unsafe store(partitionLeaderEpoch, head, 12)
    }

    /// Stamps the batch in `bytes`, which is exactly one whole batch, with the time of its append in milliseconds
    /// since 1970, and computes its checksum anew.
    public static func patch(_ bytes: UnsafeMutableRawBufferPointer, logAppendTime: Int64) {
        unsafe patch(bytes, timestampType: .logAppendTime, maxTimestamp: logAppendTime)
    }

    /// Corrects the max timestamp of the batch in `bytes`, which is exactly one whole batch. Costs nothing when it
    /// is right already, as it is from every well-behaved client.
    public static func patch(_ bytes: UnsafeMutableRawBufferPointer, maxTimestamp: Int64) {
        precondition(bytes.count >= headerByteCount, "a record batch header takes 61 bytes")
        guard let head = bytes.baseAddress else { return }
        let current: Int64 = unsafe load(UnsafeRawPointer(head), 35)
        if current != maxTimestamp { unsafe patch(bytes, timestampType: .createTime, maxTimestamp: maxTimestamp) }
    }

    private static func patch(_ bytes: UnsafeMutableRawBufferPointer, timestampType: TimestampType, maxTimestamp: Int64) {
        precondition(bytes.count >= headerByteCount, "a record batch header takes 61 bytes")
        guard let head = bytes.baseAddress else { return }
        let attributes: Int16 = unsafe load(UnsafeRawPointer(head), 21)
        let typeBit = timestampType == .logAppendTime ? timestampTypeBit : 0
        unsafe store(attributes & ~timestampTypeBit | typeBit, head, 21)
        unsafe store(maxTimestamp, head, 35)
        unsafe store(checksum(ofBatch: UnsafeRawBufferPointer(bytes)), head, 17)
    }

    /// The checksum that the batch in `bytes`, exactly one whole batch, ought to have.
    public static func checksum(ofBatch bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[Self.checksummedFrom...]))
    }

    /// Position of the first byte under the checksum: the attributes.
    @usableFromInline static let checksummedFrom = 21
}
