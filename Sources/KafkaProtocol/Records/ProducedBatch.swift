/// What a topic takes from producers.
public struct ValidationRules: Sendable {
    /// `max.message.bytes`: the longest batch, in bytes.
    public var maxBytes: Int
    /// The broker's clock, in milliseconds since 1970.
    public var now: Int64
    /// `message.timestamp.before.max.ms`, in milliseconds.
    public var timestampBeforeMax: Int64 = .max
    /// `message.timestamp.after.max.ms`, in milliseconds.
    public var timestampAfterMax: Int64 = 3_600_000
    /// `message.timestamp.type`. With `logAppendTime` the producer's times do not matter.
    public var timestampType = TimestampType.createTime
    /// Each record needs a key: the topic is compacted.
    public var requireKeys = false
    /// The most that may come out of a compressed batch, in bytes.
    public var decompressedLimit = 64 << 20
    /// False for produce requests before version 7, which cannot carry Zstandard (KIP-110).
    public var allowsZstd = true

    public init(maxBytes: Int, now: Int64) {
        self.maxBytes = maxBytes
        self.now = now
    }
}

/// The check of what a producer sent for one partition.
///
/// Kafka's rules (LogValidator, UnifiedLog, ProduceRequest.validateRecords of 4.0), but for these:
/// - Compressed records are not looked at unless the caller opens them: their number, order and times are believed.
/// - Records of an uncompressed batch must count 0, 1, 2 … from the base offset, since batches are stored as they came.
/// - A batch that is cut off is corrupt, which a client tries again; Kafka takes it for no batch at all.
/// - An unknown codec is refused as such; Kafka fails without a proper error.
/// - A transactional batch without a producer, a negative epoch and a delete horizon are refused.
public enum ProducedBatch {
    /// How many rejected records an error names.
    public static let rejectedRecordLimit = 64

    /// Checks `bytes`, all that a producer sent for one partition, without changing them or opening what is compressed.
    ///
    /// - Returns: the header. Its `maxTimestamp` is the true one of the records where they were looked at, as Kafka
    ///   computes it anew; `RecordBatchHeader.patch(_:maxTimestamp:)` writes it, and does nothing if it was right.
    public static func validate(_ bytes: UnsafeRawBufferPointer, rules: ValidationRules) throws(RecordError) -> RecordBatchHeader {
        var header = unsafe try soleBatch(in: bytes, rules: rules)
        if header.byteCount > rules.maxBytes { throw .tooLarge(byteCount: header.byteCount, limit: rules.maxBytes) }
        if unsafe RecordBatchHeader.checksum(ofBatch: bytes) != header.crc { throw .checksum }
        try check(header)
        if header.codec == CompressionCodec.none {
            let records = unsafe UnsafeRawBufferPointer(rebasing: bytes[RecordBatchHeader.headerByteCount...])
            header.maxTimestamp = unsafe try RecordWalk(header, rules).check(records)
        } else {
            try checkTimes(header, rules)
        }
        return header
    }

    /// Exactly one batch of format 2 that fills `bytes`.
    private static func soleBatch(in bytes: UnsafeRawBufferPointer, rules: ValidationRules) throws(RecordError) -> RecordBatchHeader {
        guard bytes.count > 0, let base = bytes.baseAddress else { throw .empty }
        guard bytes.count > 16 else { throw .length }
        // The magic has the same place in all formats, and decides how the rest is to be read.
        let magic: Int8 = unsafe RecordBatchHeader.load(base, 16)
        guard magic == 2 else { throw .format(magic) }
        guard let header = unsafe RecordBatchHeader(bytes) else { throw .length }
        guard let codec = header.codec else { throw .unknownCodec(UInt8(truncatingIfNeeded: header.attributes & 0x07)) }
        if codec == .zstd, !rules.allowsZstd { throw .codecNotAllowed(.zstd) }
        if header.byteCount < bytes.count {
            throw unsafe RecordBatchHeader(bytes, at: header.byteCount) == nil ? .length : .severalBatches
        }
        return header
    }

    private static func check(_ header: RecordBatchHeader) throws(RecordError) {
        if header.baseOffset != 0 { throw .baseOffset(header.baseOffset) }
        guard header.recordCount > 0, header.recordCount &- 1 == header.lastOffsetDelta else {
            throw .recordCount(stated: header.recordCount)
        }
        if header.isControl || header.hasDeleteHorizon { throw .control }
        if header.hasProducer {
            if header.baseSequence < 0 || header.producerEpoch < 0 { throw .producer }
        } else if header.isTransactional {
            throw .producer
        }
        if header.timestampType == .logAppendTime { throw .timestampType }
    }

    /// Holds the times in the header against the rules, for records that are not looked at one by one.
    private static func checkTimes(_ header: RecordBatchHeader, _ rules: ValidationRules) throws(RecordError) {
        guard rules.timestampType == .createTime else { return }
        let bounds = rules.timestampBounds
        for time in [header.baseTimestamp, header.maxTimestamp] where time != -1 && !bounds.contains(time) { throw .timestamp(time) }
    }

    /// Decompresses the records of a batch that `validate` has let pass, and looks at those that come out; what came uncompressed
    /// `validate` has looked at.
    ///
    /// - Parameters:
    ///   - bytes: the batch, with its header.
    ///   - decompressedByteCount: grows by what comes out, or where that fails by what may have.
    /// - Returns: the records, and the greatest timestamp among them.
    public static func open(
        _ bytes: UnsafeRawBufferPointer, _ header: RecordBatchHeader, rules: ValidationRules, decompressedByteCount: inout Int
    ) throws(RecordError) -> (records: [UInt8], maxTimestamp: Int64) {
        let records: [UInt8]
        do throws(CompressionError) {
            let packed = unsafe UnsafeRawBufferPointer(rebasing: bytes[RecordBatchHeader.headerByteCount...])
            records = unsafe try (header.codec ?? .none).decompress(packed, limit: rules.decompressedLimit)
        } catch {
            decompressedByteCount += rules.decompressedLimit
            throw .compression(error)
        }
        decompressedByteCount += records.count
        if header.codec == CompressionCodec.none { return (records, header.maxTimestamp) }
        let latest = unsafe try records.span.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) throws(RecordError) -> Int64 in
            unsafe try RecordWalk(header, rules).check(raw)
        }
        return (records, latest)
    }
}

extension ValidationRules {
    /// The times that a record may have, in milliseconds since 1970. One of −1 has none, and passes.
    var timestampBounds: ClosedRange<Int64> {
        let earliest = now.subtractingReportingOverflow(timestampBeforeMax)
        let latest = now.addingReportingOverflow(timestampAfterMax)
        let lower = earliest.overflow ? Int64.min : earliest.partialValue
        let upper = latest.overflow ? Int64.max : latest.partialValue
        return lower...max(lower, upper)
    }
}
