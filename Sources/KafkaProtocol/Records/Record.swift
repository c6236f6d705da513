/// One record, as places within the decompressed records of its batch (`RecordReader`). Copying it copies no data.
@frozen public struct Record: Equatable, Sendable {
    public var offset: Int64
    /// Milliseconds since 1970: of its creation, or of its batch's append (`TimestampType`); −1 for none.
    public var timestamp: Int64
    /// Nil for a null key.
    public var key: FrameSlice?
    /// Nil for a null value: a tombstone, in a compacted topic.
    public var value: FrameSlice?
    public var headerCount: Int
    /// All headers, to be read by `RecordReader.headers(of:)`.
    @usableFromInline var headers: FrameSlice
}

/// A record's header: application metadata (KIP-82).
public struct RecordHeader: Equatable, Sendable {
    public var key: String
    /// Nil for null.
    public var value: [UInt8]?

    public init(key: String, value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// What the only record of a control batch says: how a transaction ended (KIP-98).
///
///     key    version Int16 = 0, type Int16 (0 abort, 1 commit)
///     value  version Int16 = 0, coordinator epoch Int32
public struct ControlRecord: Equatable, Sendable {
    public enum Outcome: Int16, Sendable {
        case abort = 0
        case commit = 1
    }
    public var outcome: Outcome
    public var coordinatorEpoch: Int32

    public init(outcome: Outcome, coordinatorEpoch: Int32) {
        self.outcome = outcome
        self.coordinatorEpoch = coordinatorEpoch
    }

    /// Nil if key and value are not those of a transaction's end. Later versions may have more at the end.
    public init?(key: RawSpan, value: RawSpan) {
        guard key.byteCount >= 4, value.byteCount >= 6 else { return nil }
        let type = unsafe Int16(bigEndian: key.unsafeLoadUnaligned(fromByteOffset: 2, as: Int16.self))
        guard let outcome = Outcome(rawValue: type) else { return nil }
        self.outcome = outcome
        coordinatorEpoch = unsafe Int32(bigEndian: value.unsafeLoadUnaligned(fromByteOffset: 2, as: Int32.self))
    }

    var key: [UInt8] { [0, 0, 0, UInt8(outcome.rawValue)] }

    var value: [UInt8] {
        [0, 0] + stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: coordinatorEpoch >> Int32($0)) }
    }
}
