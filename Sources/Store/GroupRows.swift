internal import KafkaProtocol
internal import LMDB

/// The databases of groups and their committed offsets; a store of format 1 has none yet.
struct GroupDatabases: Sendable {
    let records: Database
    let offsets: Database
}

/// A key of `groups`: length of the group id (1 byte) ‖ group id ‖ length of the record's key (1) ‖ the key ‖ part (1, absent for
/// part 0).
struct GroupRecordKey: Key {
    var groupID: [UInt8]
    var key: [UInt8]
    /// A value longer than an extent goes on in parts 1, 2, …
    var part: UInt8 = 0

    init(_ groupID: String, _ key: [UInt8], part: UInt8 = 0) {
        self.groupID = Array(groupID.utf8)
        self.key = key
        self.part = part
    }

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(groupID.count + key.count + 3)
        bytes.append(UInt8(truncatingIfNeeded: groupID.count))
        bytes += groupID
        bytes.append(UInt8(truncatingIfNeeded: key.count))
        bytes += key
        if part > 0 { bytes.append(part) }
        return bytes.withUnsafeBytes(body)
    }

    /// Nil where `bytes` is no such key.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= 2 else { return nil }
        let groupLength = Int(bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self))
        guard bytes.byteCount >= 2 + groupLength else { return nil }
        let keyLength = Int(bytes.unsafeLoad(fromByteOffset: 1 + groupLength, as: UInt8.self))
        let end = 2 + groupLength + keyLength
        guard bytes.byteCount == end || bytes.byteCount == end + 1 else { return nil }
        groupID = bytes.extracting(1..<(1 + groupLength)).withUnsafeBytes { Array($0) }
        key = bytes.extracting((2 + groupLength)..<end).withUnsafeBytes { Array($0) }
        if bytes.byteCount > end {
            part = bytes.unsafeLoad(fromByteOffset: end, as: UInt8.self)
            // The number of the first part is never written.
            guard part > 0 else { return nil }
        }
    }
}

/// `groups`: the above → this.
struct GroupRecordRow: Row {
    /// The bytes of a value in one row, so that the row is no longer than an extent.
    static let byteCountMax = extentByteCountMax - 64

    /// First, so that it can be read without the value.
    var asOf: Int64 = 0
    /// Of the whole value.
    var totalByteCount: Int32 = 0
    var bytes: [UInt8] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&asOf)
        wire.int32(&totalByteCount)
        wire.bytes(&bytes)
        wire.tags()
    }

    static func partCount(of byteCount: Int) -> Int { max((byteCount + byteCountMax - 1) / byteCountMax, 1) }

    /// The sequence the row stands at, unchecked. Nil where the row is too short to be one.
    static func asOf(_ row: RawSpan) -> UInt64? {
        guard row.byteCount >= 13 else { return nil }
        return UInt64(bigEndian: row.unsafeLoadUnaligned(fromByteOffset: 5, as: UInt64.self))
    }
}

/// A key of `offsets`: length of the group id (1 byte) ‖ group id ‖ topic id (16) ‖ partition (4), big-endian.
struct GroupOffsetKey: Key {
    var groupID: String
    var key: PackedOffsetKey

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(groupID.utf8.count + 21)
        bytes.append(UInt8(truncatingIfNeeded: groupID.utf8.count))
        bytes.append(contentsOf: groupID.utf8)
        key.append(to: &bytes)
        return bytes.withUnsafeBytes(body)
    }

    /// Length of the group id in the key; nil where `bytes` is no such key.
    static func groupByteCount(_ bytes: RawSpan) -> Int? {
        guard bytes.byteCount >= 21 else { return nil }
        let length = Int(bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self))
        return bytes.byteCount == 21 + length ? length : nil
    }
}

/// `offsets`: the above → this.
struct OffsetRow: Row {
    var value = OffsetFields()
    var asOf: Int64 = 0

    mutating func fields(_ wire: inout some Wire) {
        value.fields(&wire)
        wire.int64(&asOf)
        wire.tags()
    }
}
