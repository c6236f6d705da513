internal import LMDB

/// How long the values of the log and of the journal are made: as long as LMDB finds room for without a search.
///
/// A value stands in adjoining pages. While LMDB finds no such run among the free pages that it has looked at, it merges more of the
/// free list into what it has, and looks again; at last it takes pages behind the end of the file. Where a lot is free but in
/// short runs, each commit would do all of that again. So when the file grows though there is room, values are made
/// shorter, and after a while without growth longer again (`docs/decisions/0011-extent-sizes.md`).
struct ExtentSizing {
    /// At most this many bytes go into a value, behind the header of an overflow page. What is longer and cannot be cut goes into
    /// one of its own.
    var byteCountMax: Int { pages * 4096 - 16 }
    private var pages: Int
    private var filePages: Int
    private var changedNs: UInt64
    private var countedNs: UInt64 = 0
    /// How long the file is not to grow before longer values are tried; longer after each time that they made it grow.
    private var patienceNs = Self.patienceNsMin

    static let pagesMax = 64
    private static let pagesMin = 16
    private static let patienceNsMin: UInt64 = 10_000_000_000
    private static let patienceNsMax: UInt64 = 320_000_000_000
    /// With less than this and a 64th of the file free, growing is what the file is to do.
    private static let roomyPages = 4_096

    init(pages: Int = Self.pagesMax, filePages: Int, nowNs: UInt64) {
        self.pages = pages
        self.filePages = filePages
        changedNs = nowNs
    }

    /// To be told after each commit.
    /// - Parameter freePages: Counts pages that a commit may fill; called seldom, and only when the file has grown.
    mutating func committed(filePages: Int, nowNs: UInt64, freePages: () -> Int) {
        let hasGrown = filePages > self.filePages
        self.filePages = filePages
        if hasGrown {
            guard pages > Self.pagesMin, nowNs - countedNs >= 100_000_000 else { return }
            countedNs = nowNs
            guard freePages() >= max(Self.roomyPages, filePages / 64) else { return }
            resize(to: pages / 2, nowNs)
            patienceNs = min(2 * patienceNs, Self.patienceNsMax)
        } else if nowNs - changedNs >= patienceNs {
            if pages < Self.pagesMax { resize(to: pages * 2, nowNs) } else { patienceNs = Self.patienceNsMin }
        }
    }

    private mutating func resize(to pages: Int, _ nowNs: UInt64) {
        self.pages = pages
        changedNs = nowNs
    }
}
