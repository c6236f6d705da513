internal import KafkaProtocol

/// A row of a transactional id that cannot be made sense of: written by a newer broker, or not by a broker at all.
public enum TransactionStateError: Error, Equatable {
    case unreadable(transactionalID: String)
}

/// The coordinator's own part of a row: a format byte, then the fields in the compact encoding of Kafka's flexible
/// versions. The store adds a checksum.
struct TransactionDetail: Fields, Equatable {
    static let format: UInt8 = 1

    /// 1 with the id's first step, and one more with each. The first field, so that the gate need not read the rest.
    var revision: Int64 = 0
    var phase: Int8 = 0
    var timeoutMs: Int32 = 0
    /// Milliseconds since 1970; −1 when no transaction is open.
    var startedMs: Int64 = -1
    /// Milliseconds since 1970.
    var changedMs: Int64 = 0
    var previousProducerID: Int64 = -1
    var previousEpoch: Int16 = -1
    var isBumpedByEnd = false
    var markerProducerID: Int64 = -1
    var markerEpoch: Int16 = -1
    var participants: [Participant] = []

    init() {}

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&revision)
        wire.int8(&phase)
        wire.int32(&timeoutMs)
        wire.int64(&startedMs)
        wire.int64(&changedMs)
        wire.int64(&previousProducerID)
        wire.int16(&previousEpoch)
        wire.bool(&isBumpedByEnd)
        wire.int64(&markerProducerID)
        wire.int16(&markerEpoch)
        wire.array(&participants)
        wire.tags()
    }

    /// The part of the transaction that is in another store.
    struct Participant: Fields, Equatable {
        var store: Int32 = 0
        var partitions: [Int32] = []
        var groupIDs: [String] = []

        mutating func fields(_ wire: inout some Wire) {
            wire.int32(&store)
            wire.array(&partitions)
            wire.array(&groupIDs)
            wire.tags()
        }
    }

    /// What cannot be read is told apart by whoever asks, who knows whose row it is.
    struct Unreadable: Error {}

    init(_ bytes: [UInt8]) throws(Unreadable) {
        guard bytes.first == Self.format else { throw Unreadable() }
        self.init()
        var reader = unsafe Reader(bytes.span.bytes, at: 1, version: Int16(Self.format), flexible: true)
        fields(&reader)
        do { try reader.finish() } catch { throw Unreadable() }
    }

    /// Without reading the rest; nil where there is none.
    static func revision(of bytes: [UInt8]) -> Int64? {
        guard bytes.first == format, bytes.count >= 9 else { return nil }
        return bytes[1..<9].reduce(0) { $0 << 8 | Int64($1) }
    }

    func encoded() -> [UInt8] {
        var copy = self
        var writer = Writer(version: Int16(Self.format), flexible: true)
        copy.fields(&writer)
        return [Self.format] + writer.finish().bytes
    }
}
