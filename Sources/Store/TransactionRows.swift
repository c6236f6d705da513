internal import KafkaProtocol
internal import LMDB

/// The databases of transactions; a store of a format before 3 has none yet.
struct TransactionDatabases: Sendable {
    /// Under `TransactionKey`, and under `PendingOffsetRowKey`.
    let states: Database
    /// Under `AbortedKey`.
    let aborted: Database
}

/// A key of `transactions`: 'T' (1 byte) ‖ transactional id.
struct TransactionKey: Key {
    static let kind = UInt8(ascii: "T")

    var transactionalID: String

    init(_ transactionalID: String) { self.transactionalID = transactionalID }

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        ([Self.kind] + Array(transactionalID.utf8)).withUnsafeBytes(body)
    }
}

/// What the store and the coordinator keep of a transactional id, in the journal and in its row.
struct TransactionFields: Fields {
    var producerID: Int64 = -1
    var producerEpoch: Int16 = -1
    var isOpen = false
    var partitions: [Int32] = []
    var groupIDs: [String] = []
    var coordinatorState: [UInt8] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&producerID)
        wire.int16(&producerEpoch)
        wire.bool(&isOpen)
        wire.array(&partitions)
        wire.array(&groupIDs)
        wire.bytes(&coordinatorState)
        wire.tags()
    }

    init() {}

    init(_ state: TransactionState) {
        producerID = state.producerID
        producerEpoch = state.producerEpoch
        isOpen = state.isOpen
        partitions = state.partitions.map { Int32(bitPattern: $0.rawValue) }
        groupIDs = state.groupIDs
        coordinatorState = state.coordinatorState
    }

    var state: TransactionState {
        TransactionState(
            producerID: producerID, producerEpoch: producerEpoch, isOpen: isOpen,
            partitions: partitions.map { PartitionID(rawValue: UInt32(bitPattern: $0)) }, groupIDs: groupIDs,
            coordinatorState: coordinatorState)
    }
}

/// `transactions`: a `TransactionKey` → this.
struct TransactionRow: Row {
    var value = TransactionFields()
    var asOf: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        value.fields(&wire)
        wire.int64(&asOf)
        wire.tags()
    }
}

/// A key of `transactions`: 'P' (1 byte) ‖ producer id (8) ‖ length of the group id (1) ‖ group id ‖ topic id (16) ‖ partition (4),
/// big-endian.
struct PendingOffsetRowKey: Key {
    static let kind = UInt8(ascii: "P")

    var producerID: Int64
    var key: PendingOffsetKey

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes: [UInt8] = [Self.kind]
        bytes.reserveCapacity(key.groupID.utf8.count + 30)
        withUnsafeBytes(of: producerID.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(truncatingIfNeeded: key.groupID.utf8.count))
        bytes.append(contentsOf: key.groupID.utf8)
        key.offset.append(to: &bytes)
        return bytes.withUnsafeBytes(body)
    }

    init(_ producerID: Int64, _ key: PendingOffsetKey) {
        self.producerID = producerID
        self.key = key
    }

    /// Nil where `bytes` is no such key.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= 30, bytes.unsafeLoad(as: UInt8.self) == Self.kind else { return nil }
        producerID = Int64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 1, as: Int64.self))
        let length = Int(bytes.unsafeLoad(fromByteOffset: 9, as: UInt8.self))
        guard bytes.byteCount == 30 + length else { return nil }
        let groupID = bytes.extracting(10..<(10 + length)).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        key = PendingOffsetKey(groupID: groupID, offset: PackedOffsetKey(bytes, at: 10 + length))
    }
}

/// `transactions`: a `PendingOffsetRowKey` → this.
///
/// It need not say as of when it stands: the operations that change it set or drop it whatever it was, so replaying them once more
/// leads to the same.
struct PendingOffsetRow: Row {
    var value = OffsetFields()

    mutating func fields(_ wire: inout some Wire) {
        value.fields(&wire)
        wire.tags()
    }
}

/// A key of `aborted`: partition (4 bytes) ‖ offset of the marker that ended the transaction (8), big-endian.
struct AbortedKey: Key, Equatable {
    var partition: PartitionID
    var lastOffset: Int64

    init(_ partition: PartitionID, _ lastOffset: Int64) {
        self.partition = partition
        self.lastOffset = lastOffset
    }

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        LogKey(partition, lastOffset).withKeyBytes(body)
    }

    /// Nil where `bytes` is no such key.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 12, let key = LogKey(bytes) else { return nil }
        partition = key.partition
        lastOffset = key.baseOffset
    }
}

/// `aborted`: an `AbortedKey` → this, written in the commit of the marker. Never changed.
struct AbortedRow: Row {
    var producerID: Int64 = -1
    /// Of the transaction's first batch in the partition.
    var firstOffset: Int64 = -1
    /// The partition's last stable offset after this end: every transaction that ended later began there or behind it, so a search
    /// for what began below it need not go on.
    var lastStableOffset: Int64 = -1

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&producerID)
        wire.int64(&firstOffset)
        wire.int64(&lastStableOffset)
        wire.tags()
    }
}
