/// When the free list is to be joined: rarely enough that nobody notices, and only for what many commits have left
/// (`docs/decisions/0012-joining-the-free-list.md`).
struct FreeListUpkeep {
    /// The last transaction when it was looked at last. A store that has just been opened has it coming.
    private var lookedAt = 0
    private var notBeforeNs: UInt64 = 0

    /// Each leaves one row.
    private static let commitCountMin = 64
    /// Joining takes one part of so many of the time.
    private static let timeShare: UInt64 = 100

    func isDue(lastTransactionID: Int, nowNs: UInt64) -> Bool {
        lastTransactionID - lookedAt >= Self.commitCountMin && nowNs >= notBeforeNs
    }

    mutating func looked(lastTransactionID: Int, fromNs: UInt64, toNs: UInt64) {
        lookedAt = lastTransactionID
        notBeforeNs = toNs + Self.timeShare * (toNs - fromNs)
    }
}
