/// Why record batches are not accepted, each with the error that Kafka answers it with.
public enum RecordError: Error, Equatable, Sendable {
    /// No batch at all.
    case empty
    /// The length that the batch states is not that of the bytes sent.
    case length
    /// The CRC-32C does not match.
    case checksum
    /// A format other than 2; Kafka 4 has dropped those before (KIP-724), and there is none after.
    case format(Int8)
    /// A produce request carries exactly one batch per partition.
    case severalBatches
    case tooLarge(byteCount: Int, limit: Int)
    case unknownCodec(UInt8)
    /// Zstandard in a produce request before version 7 (KIP-110).
    case codecNotAllowed(CompressionCodec)
    /// A producer counts from 0; the broker assigns offsets.
    case baseOffset(Int64)
    /// The number of records stated, in the header or by its offset range, is not that of the records.
    case recordCount(stated: Int32)
    /// Clients write no control batches, and set no delete horizon.
    case control
    /// The producer id, epoch and sequence do not go together.
    case producer
    /// Only the broker says that a timestamp is the time of the append.
    case timestampType
    /// A compressed batch whose times are out of bounds, known from its header.
    case timestamp(Int64)
    /// The record at this index of the batch is not laid out as a record: a length or a number within it lies.
    case malformed(record: Int)
    /// Well-formed records that the topic does not take; the first ones of them.
    case rejected([RejectedRecord])
    /// The records cannot be decompressed.
    case compression(CompressionError)

    /// Kafka's error code (https://kafka.apache.org/protocol#protocol_error_codes).
    public var code: Int16 {
        switch self {
        case .length, .checksum: Self.corruptMessage
        case .format(let magic): magic == 0 || magic == 1 ? Self.invalidRecord : Self.corruptMessage
        case .tooLarge: Self.messageTooLarge
        case .unknownCodec, .codecNotAllowed: Self.unsupportedCompressionType
        case .timestampType, .timestamp: Self.invalidTimestamp
        case .rejected(let records):
            records.contains { $0.reason == .timestamp } ? Self.invalidTimestamp : Self.invalidRecord
        case .compression(.limitExceeded): Self.messageTooLarge
        case .empty, .severalBatches, .baseOffset, .recordCount, .control, .producer, .malformed, .compression: Self.invalidRecord
        }
    }

    static let corruptMessage: Int16 = 2
    static let messageTooLarge: Int16 = 10
    static let invalidTimestamp: Int16 = 32
    static let unsupportedCompressionType: Int16 = 76
    static let invalidRecord: Int16 = 87
}

/// One record that a topic does not take, for the reply's record errors (KIP-467).
public struct RejectedRecord: Equatable, Sendable {
    public enum Reason: Equatable, Sendable {
        /// A compacted topic needs keys.
        case noKey
        /// Outside of `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
        case timestamp
    }
    /// Index of the record within its batch.
    public var index: Int32
    public var reason: Reason

    public init(index: Int32, reason: Reason) {
        self.index = index
        self.reason = reason
    }
}

/// Why bytes cannot be decompressed, or not compressed.
public enum CompressionError: Error, Equatable, Sendable {
    /// Not what the codec writes, or cut short.
    case corrupt(CompressionCodec)
    /// More than the limit, in bytes, would come out.
    case limitExceeded(Int)
    /// The codec's library has refused: out of memory, or a level it does not know.
    case library(CompressionCodec)
}

extension RecordError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: "There is no record batch."
        case .length: "The record batch is not as long as it says."
        case .checksum: "The record batch does not match its checksum."
        case .format(let magic): "The record batch is of format \(magic); only format 2 is accepted."
        case .severalBatches: "There is more than one record batch."
        case .tooLarge(let byteCount, let limit): "The record batch takes \(byteCount) bytes, and the limit is \(limit)."
        case .unknownCodec(let codec): "There is no compression codec \(codec)."
        case .codecNotAllowed(let codec): "Produce requests before version 7 cannot carry \(codec)."
        case .baseOffset(let offset): "The base offset of a produced batch is 0, not \(offset)."
        case .recordCount(let stated): "The record batch says it holds \(stated) records, and does not."
        case .control: "Clients cannot write control batches or set a delete horizon."
        case .producer: "The producer id, epoch and sequence of the record batch do not go together."
        case .timestampType: "Producers cannot set the timestamp type to LogAppendTime."
        case .timestamp(let time): "The timestamp \(time) is out of bounds."
        case .malformed(let index): "Record \(index) of the batch is malformed."
        case .rejected(let records):
            "One or more records have been rejected: " + records.prefix(3).map { "\($0)" }.joined(separator: "; ") + "."
        case .compression(let error): "The records cannot be decompressed: \(error)."
        }
    }
}

extension RejectedRecord: CustomStringConvertible {
    public var description: String {
        switch reason {
        case .noKey: "record \(index) has no key, which a compacted topic needs"
        case .timestamp: "the timestamp of record \(index) is out of bounds"
        }
    }
}
