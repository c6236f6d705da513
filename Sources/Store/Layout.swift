internal import LMDB

/// The named databases of a store and the bytes of their keys. `docs/LAYOUT.md` draws them.
struct Databases: Sendable {
    let meta: Database
    let journal: Database
    /// The newest entries of the journal (`JournalTail`). Nil in a store of a format before 5 that is only looked at.
    let tail: Database?
    let log: Database
    let times: Database
    let partitions: Database
    let topics: Database
    let producers: Database
    /// Nil in a store of format 1 that is only looked at.
    let groups: GroupDatabases?
    /// Nil in a store of format 1 or 2 that is only looked at.
    let transactions: TransactionDatabases?

    /// The format this code reads and writes; a store of a greater one is refused, of a lesser one raised when it is opened to write.
    /// Format 2 has groups and committed offsets, which a broker that knows nothing of them would neither serve nor keep in step
    /// with the topics. Format 3 has transactions. Format 4 has logs with gaps, over which an older broker would not read. Format 5 has the journal's
    /// newest entries in a database of their own, which an older broker would not find.
    static let format: Int32 = 5

    /// What a store of a format must have: none of them is made where it was lost.
    static func names(inFormat format: Int32) -> [String] {
        ["meta", "journal", "log", "times", "partitions", "topics", "producers"] + (format > 1 ? ["groups", "offsets"] : [])
            + (format > 2 ? ["transactions", "aborted"] : []) + (format > 4 ? ["tail"] : [])
    }

    /// Each by its name; a store of an older format has fewer.
    var named: [(name: String, database: Database)] {
        var all = [
            ("meta", meta), ("journal", journal), ("log", log), ("times", times), ("partitions", partitions), ("topics", topics),
            ("producers", producers),
        ]
        if let tail { all.append(("tail", tail)) }
        if let groups { all += [("groups", groups.records), ("offsets", groups.offsets)] }
        if let transactions { all += [("transactions", transactions.states), ("aborted", transactions.aborted)] }
        return all
    }

    init(creatingIn transaction: inout Transaction) throws(LMDBError) {
        meta = try transaction.database("meta")
        journal = try transaction.database("journal", .integers)
        tail = try transaction.database("tail", .integers)
        log = try transaction.database("log")
        times = try transaction.database("times")
        partitions = try transaction.database("partitions")
        topics = try transaction.database("topics")
        producers = try transaction.database("producers")
        groups = GroupDatabases(records: try transaction.database("groups"), offsets: try transaction.database("offsets"))
        transactions = TransactionDatabases(
            states: try transaction.database("transactions"), aborted: try transaction.database("aborted"))
    }

    init(existingIn snapshot: borrowing Snapshot) throws(LMDBError) {
        meta = try snapshot.database("meta")
        journal = try snapshot.database("journal", .integers)
        do { tail = try snapshot.database("tail", .integers) } catch {
            guard error == .notFound else { throw error }
            tail = nil
        }
        log = try snapshot.database("log")
        times = try snapshot.database("times")
        partitions = try snapshot.database("partitions")
        topics = try snapshot.database("topics")
        producers = try snapshot.database("producers")
        do {
            groups = GroupDatabases(records: try snapshot.database("groups"), offsets: try snapshot.database("offsets"))
        } catch {
            guard error == .notFound else { throw error }
            groups = nil
        }
        do {
            transactions = TransactionDatabases(states: try snapshot.database("transactions"), aborted: try snapshot.database("aborted"))
        } catch {
            guard error == .notFound else { throw error }
            transactions = nil
        }
    }
}

/// The largest value put into the journal or the log, 64 pages. Longer ones make LMDB's search for contiguous free pages slow
/// (see `docs/decisions/0001-journal-and-extents.md`), and sometimes these do (`ExtentSizing`).
let extentByteCountMax = valueByteCount(pages: ExtentSizing.pagesMax)

/// What a value of so many pages holds: LMDB's overflow pages begin with a header.
func valueByteCount(pages: Int) -> Int { pages * 4096 - 16 }

/// An append of at least this many bytes goes straight into its partition's keyspace.
let directByteCountMin = 64 * 1024

/// A place in `log`: partition (4 bytes) ‖ base offset (8) ‖ part (4, absent for part 0), big-endian.
struct LogKey: Key, Equatable {
    var partition: PartitionID
    var baseOffset: Int64
    /// A batch larger than an extent goes on in parts 1, 2, …
    var part: UInt32 = 0

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes = (
            partition.rawValue.bigEndian, UInt32(truncatingIfNeeded: baseOffset >> 32).bigEndian,
            UInt32(truncatingIfNeeded: baseOffset).bigEndian, part.bigEndian
        )
        return withUnsafeBytes(of: &bytes) { body(UnsafeRawBufferPointer(rebasing: $0[..<(part == 0 ? 12 : 16)])) }
    }

    init(_ partition: PartitionID, _ baseOffset: Int64, part: UInt32 = 0) {
        self.partition = partition
        self.baseOffset = baseOffset
        self.part = part
    }

    /// Nil where `bytes` is no such key.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 12 || bytes.byteCount == 16 else { return nil }
        partition = PartitionID(rawValue: UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)))
        baseOffset = Int64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: Int64.self))
        part = bytes.byteCount == 16 ? UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 12, as: UInt32.self)) : 0
    }
}

/// A place in `times`: partition (4 bytes) ‖ running maximum of timestamps (8, sign bit flipped so that bytes sort) ‖
/// base offset of the extent (8), big-endian.
///
/// The running maximum is over everything in the partition up to and including the extent, so the keys of one
/// partition ascend in offset order as well as in time: the first key at or after a timestamp names the first extent
/// that can hold a record of that time or later. The value is the extent's own maximum (8 bytes); see `ExtentTime`.
struct TimeKey: Key, Equatable {
    var partition: PartitionID
    var runningMaximum: Int64
    var baseOffset: Int64

    init(_ partition: PartitionID, runningMaximum: Int64, baseOffset: Int64) {
        self.partition = partition
        self.runningMaximum = runningMaximum
        self.baseOffset = baseOffset
    }

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        let time = UInt64(bitPattern: runningMaximum) ^ (1 << 63)
        var bytes = (
            partition.rawValue.bigEndian, UInt32(truncatingIfNeeded: time >> 32).bigEndian, UInt32(truncatingIfNeeded: time).bigEndian,
            UInt32(truncatingIfNeeded: baseOffset >> 32).bigEndian, UInt32(truncatingIfNeeded: baseOffset).bigEndian
        )
        return withUnsafeBytes(of: &bytes) { body($0) }
    }

    init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 20 else { return nil }
        partition = PartitionID(rawValue: UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)))
        let time = UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt64.self))
        runningMaximum = Int64(bitPattern: time ^ (1 << 63))
        baseOffset = Int64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 12, as: Int64.self))
    }
}

/// A key of `partitions`: the partition id; of `producers`: the partition id ‖ producer id (8).
struct PartitionKey: Key {
    var partition: PartitionID
    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeBytes(of: partition.rawValue.bigEndian) { body($0) }
    }
}

struct ProducerKey: Key {
    var partition: PartitionID
    var producerID: Int64

    init(_ partition: PartitionID, _ producerID: Int64) {
        self.partition = partition
        self.producerID = producerID
    }

    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes = (
            partition.rawValue.bigEndian, UInt32(truncatingIfNeeded: producerID >> 32).bigEndian,
            UInt32(truncatingIfNeeded: producerID).bigEndian
        )
        return withUnsafeBytes(of: &bytes) { body($0) }
    }

    init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 12 else { return nil }
        partition = PartitionID(rawValue: UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)))
        producerID = Int64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: Int64.self))
    }
}
