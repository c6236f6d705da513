/// How long the values of the log and of the journal are made: as long as LMDB finds room for without a long search.
///
/// A value stands in adjoining pages. While LMDB finds no such run among the free pages that it has looked at, it merges more of the
/// free list into what it has, and looks again from the beginning, and writes all of it back with the commit. Where a lot is
/// free but in short runs, every commit does that. So when finding room takes long, values are made shorter, and after
/// a while longer again (`docs/decisions/0011-extent-sizes.md`).
struct ExtentSizing {
    /// At most this many bytes go into a value. What is longer and cannot be cut goes into one of its own.
    var byteCountMax: Int { valueByteCount(pages: pages) }
    private(set) var pages: Int
    private var changedNs: UInt64
    private var isOnTrial = false
    /// What finding room for a value took lately.
    private var meanNs = 0.0
    /// For how long values stay short; longer each time that longer ones have failed at once.
    private var patienceNs = Self.patienceNsMin

    static let pagesMax = 64
    private static let pagesMin = 8
    static let byteCountMin = valueByteCount(pages: pagesMin)
    private static let patienceNsMin: UInt64 = 10_000_000_000
    private static let patienceNsMax: UInt64 = 160_000_000_000
    /// Ten times what it takes where the first run will do.
    private static let longNs = 100_000.0
    /// One wait for the processor says nothing about the free list.
    private static let countedNsMax = 800_000.0

    init(pages: Int = Self.pagesMax, nowNs: UInt64) {
        self.pages = pages
        changedNs = nowNs
    }

    /// A value of several pages was given its place, and LMDB took so long to find it.
    mutating func placed(inNs ns: UInt64) { meanNs += (min(Double(ns), Self.countedNsMax) - meanNs) / 16 }

    /// Whether finding room takes so long that values are to become shorter, unless something else is done about it.
    var isSearchLong: Bool { meanNs > Self.longNs }

    /// The free list is in better order than it was while `placed` was told.
    mutating func freeListWasJoined() { meanNs = 0 }

    /// To be told between two commits: within one, values do not change.
    mutating func committed(nowNs: UInt64) {
        let age = nowNs - changedNs
        if isSearchLong, pages > Self.pagesMin {
            patienceNs = isOnTrial && age < Self.patienceNsMin ? min(2 * patienceNs, Self.patienceNsMax) : Self.patienceNsMin
            resize(to: pages / 2, nowNs, isOnTrial: false)
        } else if age >= patienceNs, pages < Self.pagesMax {
            resize(to: pages * 2, nowNs, isOnTrial: true)
        }
    }

    private mutating func resize(to pages: Int, _ nowNs: UInt64, isOnTrial: Bool) {
        self.pages = pages
        self.isOnTrial = isOnTrial
        changedNs = nowNs
        meanNs = 0
    }
}
