/// When the free list is to be joined: rarely enough that nobody notices, and only for what many commits have left
/// (`docs/decisions/0012-joining-the-free-list.md`).
struct FreeListUpkeep {
    /// The last transaction when it was looked at last. A store that has just been opened has it coming.
    private var lookedAt = 0
    private var notBeforeNs: UInt64 = 0
    private var writtenByteCount = 0

    /// Each leaves one row.
    private static let commitCountMin = 64
    /// Joining takes one part of so many of the time.
    private static let timeShare: UInt64 = 100
    /// Written into pieces of a hundred pages, so much costs a few ms of CPU more than into long runs.
    private static let muchByteCount = 64 << 20

    func isDue(lastTransactionID: Int, nowNs: UInt64) -> Bool {
        lastTransactionID - lookedAt >= Self.commitCountMin && nowNs >= notBeforeNs
    }

    mutating func wrote(_ byteCount: Int) { writtenByteCount += byteCount }

    /// So much since it was looked at last that a few ms for the next as much are well spent, even if somebody waits.
    var wasMuchWritten: Bool { writtenByteCount >= Self.muchByteCount }

    /// There was too much of it to be joined while somebody waits.
    mutating func wasTooLong() { writtenByteCount = 0 }

    mutating func looked(lastTransactionID: Int, fromNs: UInt64, toNs: UInt64) {
        lookedAt = lastTransactionID
        writtenByteCount = 0
        notBeforeNs = toNs + Self.timeShare * (toNs - fromNs)
    }
}
