internal import KafkaProtocol

/// What a commit did, as the journal tells it: enough to rebuild every state that is not yet in its database.
enum Operation {
    case appended(AppendedBatch)
    case topicCreated(TopicCreated)
    case topicDeleted(TopicDeleted)
    case partitionsCreated(PartitionsCreated)
    case topicConfigured(TopicConfigured)
    case brokerConfigured(BrokerConfigured)
    case logStartMoved(LogStartMoved)
    case producerIDAllocated(ProducerIDAllocated)
    case groupChanged(GroupChanged)
    case transactionChanged(TransactionChanged)
    case offsetsPending(OffsetsPending)
    case pendingOffsetsEnded(PendingOffsetsEnded)

    /// The byte that names the operation in the journal.
    enum Kind: UInt8 {
        case appended = 1
        case topicCreated, topicDeleted, partitionsCreated, topicConfigured, brokerConfigured, logStartMoved, producerIDAllocated
        case groupChanged
        case transactionChanged, offsetsPending, pendingOffsetsEnded
    }
}

/// One record batch taken into a partition. Fixed layout, 56 bytes, big-endian:
///
///     0  kind (1)            1  flags (1): 1 = in the keyspace, not in this entry; 2 = a marker that aborts
///     2  attributes (2)      4  partition (4)        8  base offset (8)
///     16 last offset delta (4)   20 byte count (4)   24 position (4), from the start of the entry's payload
///     28 base sequence (4)   32 max timestamp (8)    40 producer id (8)
///     48 producer epoch (2)  50 zero (2)             52 record count (4)
///
/// A marker, which ends a transaction, has the coordinator's epoch in place of a base sequence, and −1 for its time: nobody looks
/// for records there.
struct AppendedBatch: Equatable {
    static let byteCount = 56

    var partition: PartitionID
    var baseOffset: Int64
    var lastOffsetDelta: Int32
    var batchByteCount: UInt32
    var position: UInt32
    var isDirect: Bool
    /// A marker that aborts.
    var isAbort: Bool
    var attributes: Int16
    /// Of a marker, the epoch of its coordinator.
    var baseSequence: Int32
    var maxTimestamp: Int64
    var producerID: Int64
    var producerEpoch: Int16
    var recordCount: Int32

    var lastOffset: Int64 { baseOffset + Int64(lastOffsetDelta) }
    var isTransactional: Bool { attributes & 0x10 != 0 }
    /// A marker: the end of a transaction.
    var isControl: Bool { attributes & 0x20 != 0 }

    /// What retention keeps it by: its records' greatest time, or that of the commit where none has one (Kafka's
    /// `LogSegment.largestTimestamp`). Nothing keeps a marker.
    func keptTimestamp(at commitMs: Int64) -> Int64 { isControl || maxTimestamp >= 0 ? maxTimestamp : commitMs }

    func encode(into bytes: inout [UInt8]) {
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) } }
        put(Operation.Kind.appended.rawValue)
        put(UInt8((isDirect ? 1 : 0) | (isAbort ? 2 : 0)))
        put(attributes)
        put(partition.rawValue)
        put(baseOffset)
        put(lastOffsetDelta)
        put(batchByteCount)
        put(position)
        put(baseSequence)
        put(maxTimestamp)
        put(producerID)
        put(producerEpoch)
        put(Int16(0))
        put(recordCount)
    }

    /// `bytes` holds at least `byteCount` bytes from `at` on.
    init(_ bytes: UnsafeRawBufferPointer, at: Int) {
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: T.Type) -> T {
            T(bigEndian: bytes.loadUnaligned(fromByteOffset: at + offset, as: T.self))
        }
        isDirect = bytes[at + 1] & 1 != 0
        isAbort = bytes[at + 1] & 2 != 0
        attributes = load(2, Int16.self)
        partition = PartitionID(rawValue: load(4, UInt32.self))
        baseOffset = load(8, Int64.self)
        lastOffsetDelta = load(16, Int32.self)
        batchByteCount = load(20, UInt32.self)
        position = load(24, UInt32.self)
        baseSequence = load(28, Int32.self)
        maxTimestamp = load(32, Int64.self)
        producerID = load(40, Int64.self)
        producerEpoch = load(48, Int16.self)
        recordCount = load(52, Int32.self)
    }

    init(_ append: Append, baseOffset: Int64, position: UInt32, isDirect: Bool) {
        let header = append.header
        partition = append.partition.id
        self.baseOffset = baseOffset
        lastOffsetDelta = header.lastOffsetDelta
        batchByteCount = UInt32(header.byteCount)
        self.position = position
        self.isDirect = isDirect
        isAbort = append.marker?.outcome == .abort
        attributes = header.attributes
        baseSequence = append.marker?.coordinatorEpoch ?? header.baseSequence
        maxTimestamp = header.searchedTimestamp
        producerID = header.producerID
        producerEpoch = header.producerEpoch
        recordCount = header.recordCount
    }
}

struct TopicCreated: Fields {
    var name = ""
    var id = Uuid()
    var partitions = PartitionRun()
    var configs: [ConfigEntry] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.string(&name)
        wire.uuid(&id)
        partitions.fields(&wire)
        wire.array(&configs)
        wire.tags()
    }
}

struct TopicDeleted: Fields {
    var id = Uuid()

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&id)
        wire.tags()
    }
}

struct PartitionsCreated: Fields {
    var topicID = Uuid()
    var partitions = PartitionRun()

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&topicID)
        partitions.fields(&wire)
        wire.tags()
    }
}

struct TopicConfigured: Fields {
    var topicID = Uuid()
    var configs: [ConfigEntry] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&topicID)
        wire.array(&configs)
        wire.tags()
    }
}

struct BrokerConfigured: Fields {
    var configs: [ConfigEntry] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.array(&configs)
        wire.tags()
    }
}

struct LogStartMoved: Fields {
    var partition: Int32 = 0
    var offset: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&partition)
        wire.int64(&offset)
        wire.tags()
    }
}

struct ProducerIDAllocated: Fields {
    var producerID: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&producerID)
        wire.tags()
    }
}
