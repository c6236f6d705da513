internal import KafkaProtocol
internal import Synchronization

/// A group that has committed offsets or records: what readers may know of it, and what the committer does with it.
///
/// Kept while anything of it is not settled, so that each journal entry leads to the one object that knows what is.
final class StoredGroup: Sendable, Hashable {
    let id: String
    let published = Mutex(PublishedGroup())
    /// The committer's own, touched on its thread only.
    nonisolated(unsafe) var state = GroupState()

    init(_ id: String) { self.id = id }

    static func == (left: StoredGroup, right: StoredGroup) -> Bool { left === right }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// What readers see of a group: changed by the committer when a commit is on disk, never before.
struct PublishedGroup: Sendable {
    var offsets = OffsetTable()
    /// Records whose rows are behind; they go before what the database says.
    var unsettledRecords: [[UInt8]: RecordValue] = [:]
    var recordCount = 0
    /// Another object has taken the place of this one, or none.
    var isRetired = false

    var isListed: Bool { recordCount > 0 || !offsets.isEmpty }
}

struct RecordValue: Sendable {
    /// Nil: deleted.
    var bytes: [UInt8]?
}

/// What the committer alone knows of a group.
struct GroupState {
    struct UnsettledRecord {
        var value: [UInt8]?
        /// The first journal entry with a change of the record that is not in its row.
        var since: UInt64
    }

    var recordCount = 0
    /// By offset, the first journal entry with a change that is not in its row.
    var unsettledOffsets: [PackedOffsetKey: UInt64] = [:]
    var unsettledRecords: [[UInt8]: UnsettledRecord] = [:]

    // Of the commit being made; `publish` empties them.
    var isTouched = false
    var changedOffsets: [PackedOffsetKey: CommittedOffset?] = [:]
    var changedRecords: Set<[UInt8]> = []
    var settledRecords: [[UInt8]] = []

    mutating func forgetCommit() {
        isTouched = false
        changedOffsets = [:]
        changedRecords = []
        settledRecords = []
    }
}

/// A topic's id and a partition, in 20 bytes without padding.
struct PackedOffsetKey: Hashable, Sendable {
    private var words: (UInt32, UInt32, UInt32, UInt32)
    private var number: UInt32

    init(_ key: OffsetKey) {
        words = (
            UInt32(truncatingIfNeeded: key.topicID.high >> 32), UInt32(truncatingIfNeeded: key.topicID.high),
            UInt32(truncatingIfNeeded: key.topicID.low >> 32), UInt32(truncatingIfNeeded: key.topicID.low)
        )
        number = UInt32(bitPattern: key.partition)
    }

    /// The last 20 bytes of a key of `offsets`, from `at` on.
    init(_ bytes: RawSpan, at: Int) {
        func word(_ index: Int) -> UInt32 { UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: at + 4 * index, as: UInt32.self)) }
        words = (word(0), word(1), word(2), word(3))
        number = word(4)
    }

    var topicID: Uuid { Uuid(high: UInt64(words.0) << 32 | UInt64(words.1), low: UInt64(words.2) << 32 | UInt64(words.3)) }
    var partition: Int32 { Int32(bitPattern: number) }
    var key: OffsetKey { OffsetKey(topicID: topicID, partition: partition) }

    func append(to bytes: inout [UInt8]) {
        for word in [words.0, words.1, words.2, words.3, number] {
            withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) }
        }
    }

    static func == (left: PackedOffsetKey, right: PackedOffsetKey) -> Bool { left.words == right.words && left.number == right.number }

    func hash(into hasher: inout Hasher) {
        hasher.combine(UInt64(words.0) << 32 | UInt64(words.1))
        hasher.combine(UInt64(words.2) << 32 | UInt64(words.3))
        hasher.combine(number)
    }
}

/// The committed offsets of a group, for what most of them are: 40 bytes each, in a table that is half full or more.
struct OffsetTable: Sendable {
    /// Without padding.
    private struct Packed {
        var offset: (UInt32, UInt32)
        var commitTimeMs: (UInt32, UInt32)
        var leaderEpoch: Int32
    }

    /// What few offsets have.
    private struct Extra {
        var metadata: String
        var expireTimeMs: Int64
    }

    private var packed: [PackedOffsetKey: Packed] = [:]
    private var extras: [PackedOffsetKey: Extra] = [:]

    var isEmpty: Bool { packed.isEmpty }
    var count: Int { packed.count }
    var keys: some Sequence<PackedOffsetKey> { packed.keys }

    subscript(key: PackedOffsetKey) -> CommittedOffset? {
        guard let found = packed[key] else { return nil }
        let extra = extras.isEmpty ? nil : extras[key]
        return CommittedOffset(
            offset: Self.whole(found.offset), leaderEpoch: found.leaderEpoch, metadata: extra?.metadata ?? "",
            commitTimeMs: Self.whole(found.commitTimeMs), expireTimeMs: extra?.expireTimeMs ?? -1)
    }

    /// Returns whether there was one before.
    @discardableResult
    mutating func set(_ key: PackedOffsetKey, _ value: CommittedOffset?) -> Bool {
        if let value, !value.metadata.isEmpty || value.expireTimeMs != -1 {
            extras[key] = Extra(metadata: value.metadata, expireTimeMs: value.expireTimeMs)
        } else if !extras.isEmpty {
            extras[key] = nil
        }
        guard let value else { return packed.removeValue(forKey: key) != nil }
        let new = Packed(
            offset: Self.halves(value.offset), commitTimeMs: Self.halves(value.commitTimeMs), leaderEpoch: value.leaderEpoch)
        return packed.updateValue(new, forKey: key) != nil
    }

    private static func halves(_ value: Int64) -> (UInt32, UInt32) {
        (UInt32(truncatingIfNeeded: value >> 32), UInt32(truncatingIfNeeded: value))
    }

    private static func whole(_ halves: (UInt32, UInt32)) -> Int64 { Int64(bitPattern: UInt64(halves.0) << 32 | UInt64(halves.1)) }
}
