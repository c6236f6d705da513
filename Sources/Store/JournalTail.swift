internal import LMDB

/// The newest journal entries, as long as one page holds them: a database of their own, of that page alone.
///
/// A commit writes each page that it changes anew, with those above it. An entry behind all others of the journal costs its leaf and the
/// branches above that; here it costs the one page (`docs/decisions/0015-the-journals-tail.md`). The entry that finds no room takes them all
/// along to the journal.
struct JournalTail: Sendable {
    private(set) var entryCount = 0
    /// Of the page.
    private var byteCount = 0

    var isEmpty: Bool { entryCount == 0 }

    /// Larger ones would soon fill the page, or stand on pages of their own.
    private static let entryByteCountMax = 1_024
    /// A page without its header.
    private static let pageByteCount = 4096 - 16

    /// Whether there is room for an entry of so many bytes.
    func takes(byteCount: Int) -> Bool {
        byteCount <= Self.entryByteCountMax && self.byteCount + Self.nodeByteCount(byteCount) <= Self.pageByteCount
    }

    mutating func add(byteCount: Int) {
        entryCount += 1
        self.byteCount += Self.nodeByteCount(byteCount)
    }

    mutating func remove(byteCount: Int) {
        entryCount -= 1
        self.byteCount -= Self.nodeByteCount(byteCount)
    }

    /// What LMDB takes for a value in a leaf: its place there, a header, the key, and an even number of bytes.
    private static func nodeByteCount(_ byteCount: Int) -> Int { 2 + 8 + 8 + (byteCount + 1) & ~1 }
}

extension Snapshot {
    /// The journal entry of that sequence, wherever it stands; nil where it is not in this snapshot.
    @_lifetime(borrow self)
    borrowing func journalEntry(_ sequence: UInt64, _ databases: Databases) throws(LMDBError) -> RawSpan? {
        if let entry = try value(sequence, in: databases.journal) { return entry }
        guard let tail = databases.tail else { return nil }
        return try value(sequence, in: tail)
    }
}

extension Transaction {
    /// As of `Snapshot`, valid until the next change.
    @_lifetime(borrow self)
    borrowing func journalEntry(_ sequence: UInt64, _ databases: Databases) throws(LMDBError) -> RawSpan? {
        if let entry = try value(sequence, in: databases.journal) { return entry }
        guard let tail = databases.tail else { return nil }
        return try value(sequence, in: tail)
    }
}
