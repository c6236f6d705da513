internal import KafkaProtocol

/// A value that the store builds: a format byte, the CRC-32C of what follows (big-endian), and the fields in the
/// compact encoding of Kafka's flexible versions.
protocol Row: Fields {
    static var format: UInt8 { get }
}

extension Row {
    static var format: UInt8 { 1 }

    func encoded() -> [UInt8] {
        var copy = self
        var writer = Writer(version: Int16(Self.format), flexible: true)
        copy.fields(&writer)
        let body = writer.finish().bytes
        let checksum = body.withUnsafeBytes { CRC32C.checksum($0) }
        var bytes: [UInt8] = [Self.format]
        bytes.reserveCapacity(5 + body.count)
        withUnsafeBytes(of: checksum.bigEndian) { bytes.append(contentsOf: $0) }
        return bytes + body
    }

    init(_ bytes: RawSpan, _ what: @autoclosure () -> String) throws(StoreError) {
        guard bytes.byteCount >= 5 else { throw .corrupt("\(what()) is only \(bytes.byteCount) bytes long") }
        let format = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        guard format == Self.format else { throw .corrupt("\(what()) has format \(format), which this version does not know") }
        let body = bytes.extracting(5..<bytes.byteCount)
        let checksum = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 1, as: UInt32.self))
        guard body.withUnsafeBytes({ CRC32C.checksum($0) }) == checksum else { throw .corrupt("\(what()) fails its checksum") }
        self.init()
        var reader = Reader(body, version: Int16(format), flexible: true)
        fields(&reader)
        do { try reader.finish() } catch { throw .corrupt("\(what()) ends too early") }
    }
}

/// One configuration override.
struct ConfigEntry: Fields, Equatable, Sendable {
    var name = ""
    var value = ""

    mutating func fields(_ wire: inout some Wire) {
        wire.string(&name)
        wire.string(&value)
        wire.tags()
    }
}

extension [String: String] {
    var entries: [ConfigEntry] {
        sorted { $0.key < $1.key }.map { name, value in
            var entry = ConfigEntry()
            entry.name = name
            entry.value = value
            return entry
        }
    }

    init(_ entries: [ConfigEntry]) {
        self = Dictionary(entries.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    }
}

/// Consecutive partition ids: the partitions of a topic come in as many runs as times it was given some.
struct PartitionRun: Fields, Equatable, Sendable {
    var first: Int32 = 0
    var count: Int32 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&first)
        wire.int32(&count)
    }
}

/// `topics`: name → this.
struct TopicRow: Row, Sendable {
    var id = Uuid()
    var runs: [PartitionRun] = []
    var configs: [ConfigEntry] = []
    /// The journal sequence whose effects, and those of all before it, are in the row.
    var asOf: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&id)
        wire.array(&runs)
        wire.array(&configs)
        wire.int64(&asOf)
        wire.tags()
    }
}

/// Where a leader epoch began (KIP-101).
struct EpochStart: Fields, Equatable, Sendable {
    var epoch: Int32 = 0
    var startOffset: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&epoch)
        wire.int64(&startOffset)
    }
}

/// `partitions`: partition id → this.
struct PartitionRow: Row, Sendable {
    var topicID = Uuid()
    var index: Int32 = 0
    var logStartOffset: Int64 = 0
    var nextOffset: Int64 = 0
    /// Everything below is in the keyspace; what is above is in the journal, or in extents that the journal names.
    var sealedEnd: Int64 = 0
    /// Bytes of the partition's extents in the keyspace.
    var logByteCount: Int64 = 0
    /// Greatest timestamp of everything appended so far, and of what is sealed; −1 before the first.
    var maxTimestamp: Int64 = -1
    var sealedMaxTimestamp: Int64 = -1
    var epochs: [EpochStart] = []
    /// The topic is gone and a sweep is taking the extents away; the row goes last.
    var deleted = false
    var asOf: Int64 = 0
    var cleaning = CleaningState()

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&topicID)
        wire.int32(&index)
        wire.int64(&logStartOffset)
        wire.int64(&nextOffset)
        wire.int64(&sealedEnd)
        wire.int64(&logByteCount)
        wire.int64(&maxTimestamp)
        wire.int64(&sealedMaxTimestamp)
        wire.array(&epochs)
        wire.bool(&deleted)
        wire.int64(&asOf)
        wire.tagged(0, &cleaning.cleanedEnd, default: 0)
        wire.tagged(1, &cleaning.gapsEnd, default: 0)
        wire.tagged(2, &cleaning.dueMs, default: -1)
        wire.tags()
    }
}

/// How far compaction has come with a partition.
struct CleaningState: Equatable, Sendable {
    /// Below it each key has its latest record only; what is superseded from here on is found by the next pass.
    var cleanedEnd: Int64 = 0
    /// Below it offsets may be missing. Extents that begin there are all sealed.
    var gapsEnd: Int64 = 0
    /// When the last of the tombstones and markers may go that the last pass left for their time, in ms since 1970; −1: none.
    var dueMs: Int64 = -1
}

/// `producers`: partition id ‖ producer id → this, as of the partition's row.
struct ProducerRow: Row, Sendable {
    var epoch: Int16 = 0
    /// When the producer last appended, by the broker's clock, in ms: what expiry goes by.
    var lastAppendTimeMs: Int64 = 0
    var batches: [ProducerBatch] = []
    /// Offset of the first batch of its transaction; −1 where none is open.
    var transactionStart: Int64 = -1
    var coordinatorEpoch: Int32 = -1

    mutating func fields(_ wire: inout some Wire) {
        wire.int16(&epoch)
        wire.int64(&lastAppendTimeMs)
        wire.array(&batches)
        wire.tagged(0, &transactionStart, default: -1)
        wire.tagged(1, &coordinatorEpoch, default: -1)
        wire.tags()
    }
}

/// `meta`, under "counters".
struct CountersRow: Row, Sendable {
    var nextPartitionID: Int32 = 1
    var nextProducerID: Int64 = 0
    var asOf: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&nextPartitionID)
        wire.int64(&nextProducerID)
        wire.int64(&asOf)
        wire.tags()
    }
}

/// `meta`, under "configs": the broker's dynamic configuration.
struct BrokerConfigsRow: Row, Sendable {
    var configs: [ConfigEntry] = []
    var asOf: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.array(&configs)
        wire.int64(&asOf)
        wire.tags()
    }
}

/// `meta`, under "identity": written when the store is made.
struct IdentityRow: Row, Sendable {
    var storeFormat = Databases.format
    var clusterID = ""
    var storeID = Uuid()
    var createdMs: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&storeFormat)
        wire.string(&clusterID)
        wire.uuid(&storeID)
        wire.int64(&createdMs)
        wire.tags()
    }
}

/// `meta`, under "shutdown": the sequence of the last commit of a shutdown that sealed everything.
struct ShutdownRow: Row, Sendable {
    var sequence: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&sequence)
        wire.tags()
    }
}
