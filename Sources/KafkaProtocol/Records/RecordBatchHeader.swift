/// The fixed head of a record batch of format 2 (KIP-98), which everything a broker decides is read from.
///
///     byte  0  base offset             Int64   ┐ set by the broker; not under the checksum
///           8  batch length            Int32   │ bytes behind this field
///          12  partition leader epoch  Int32   ┘
///          16  magic                   Int8      always 2
///          17  CRC-32C                 UInt32    of everything behind it
///          21  attributes              Int16     bits 0–2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
///          23  last offset delta       Int32
///          27  base timestamp          Int64     milliseconds since 1970
///          35  max timestamp           Int64
///          43  producer id             Int64     −1 for none
///          51  producer epoch          Int16
///          53  base sequence           Int32
///          57  record count            Int32
///          61  records, compressed as a whole by the codec
///
/// All integers are big-endian.
@frozen public struct RecordBatchHeader: Equatable, Sendable {
    /// Length of the header in bytes.
    public static let headerByteCount = 61
    /// What `batchLength` does not count: the base offset and itself.
    @usableFromInline static let uncountedByteCount = 12

    public var baseOffset: Int64
    /// Length in bytes of what follows this field.
    public var batchLength: Int32
    public var partitionLeaderEpoch: Int32
    /// The format, 2 for all that this type describes.
    public var magic: Int8
    /// CRC-32C over everything from the attributes to the end of the batch.
    public var crc: UInt32
    public var attributes: Int16
    /// Offset of the last record, from the base offset. Stays when compaction removes records.
    public var lastOffsetDelta: Int32
    /// Milliseconds since 1970 that records count from, or the delete horizon (`hasDeleteHorizon`).
    public var baseTimestamp: Int64
    /// The greatest timestamp of a record, in milliseconds since 1970, or when the broker appended the batch.
    public var maxTimestamp: Int64
    /// −1 for a producer that is not idempotent.
    public var producerID: Int64
    public var producerEpoch: Int16
    /// Sequence of the first record, −1 for none.
    public var baseSequence: Int32
    public var recordCount: Int32

    @inlinable public init(
        baseOffset: Int64 = 0, batchLength: Int32, partitionLeaderEpoch: Int32 = -1, magic: Int8 = 2, crc: UInt32 = 0,
        attributes: Int16 = 0, lastOffsetDelta: Int32 = 0, baseTimestamp: Int64 = -1, maxTimestamp: Int64 = -1,
        producerID: Int64 = -1, producerEpoch: Int16 = -1, baseSequence: Int32 = -1, recordCount: Int32 = 1
    ) {
        self.baseOffset = baseOffset
        self.batchLength = batchLength
        self.partitionLeaderEpoch = partitionLeaderEpoch
        self.magic = magic
        self.crc = crc
        self.attributes = attributes
        self.lastOffsetDelta = lastOffsetDelta
        self.baseTimestamp = baseTimestamp
        self.maxTimestamp = maxTimestamp
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.baseSequence = baseSequence
        self.recordCount = recordCount
    }
}

// What follows from the fields.
extension RecordBatchHeader {
    /// Length of the whole batch in bytes.
    @inlinable public var byteCount: Int { Self.uncountedByteCount &+ Int(batchLength) }
    @inlinable public var lastOffset: Int64 { baseOffset &+ Int64(lastOffsetDelta) }
    /// The offset behind the last record.
    @inlinable public var nextOffset: Int64 { lastOffset &+ 1 }
    /// Nil for a codec that no Kafka knows.
    @inlinable public var codec: CompressionCodec? { CompressionCodec(rawValue: UInt8(truncatingIfNeeded: attributes & 0x07)) }
    @inlinable public var timestampType: TimestampType { attributes & Self.timestampTypeBit == 0 ? .createTime : .logAppendTime }
    @inlinable public var isTransactional: Bool { attributes & Self.transactionalBit != 0 }
    @inlinable public var isControl: Bool { attributes & Self.controlBit != 0 }
    /// True when the cleaner has put into `baseTimestamp` when tombstones may go (KIP-534).
    @inlinable public var hasDeleteHorizon: Bool { attributes & Self.deleteHorizonBit != 0 }
    @inlinable public var hasProducer: Bool { producerID >= 0 }

    /// Sequence of the last record, −1 for none.
    @inlinable public var lastSequence: Int32 {
        baseSequence < 0 ? -1 : Self.sequence(baseSequence, advancedBy: lastOffsetDelta)
    }

    /// A sequence some records on. As in Kafka, 0 follows `Int32.max`.
    @inlinable public static func sequence(_ sequence: Int32, advancedBy count: Int32) -> Int32 {
        Int32(truncatingIfNeeded: (Int64(sequence) + Int64(count)) & 0x7fff_ffff)
    }

    static let codecBits: Int16 = 0x07
    @usableFromInline static let timestampTypeBit: Int16 = 0x08
    @usableFromInline static let transactionalBit: Int16 = 0x10
    @usableFromInline static let controlBit: Int16 = 0x20
    @usableFromInline static let deleteHorizonBit: Int16 = 0x40
}

/// Whether records keep their producer's time or get that of the append.
@frozen public enum TimestampType: UInt8, Sendable {
    case createTime = 0
    case logAppendTime = 1
}

/// How the records of a batch are compressed, as a whole.
@frozen public enum CompressionCodec: UInt8, Sendable, CaseIterable {
    case none = 0
    case gzip = 1
    case snappy = 2
    case lz4 = 3
    case zstd = 4
}
