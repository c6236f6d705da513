internal import CLMDB

/// Free pages as they stand at the front of the free list, from which a commit takes first.
public struct FreeListFront: Sendable, Equatable {
    /// Rows that were read, each what one commit freed or wrote back.
    public fileprivate(set) var rowCount = 0
    /// In the order in which they were read, without the few that a change takes before it takes any for a value.
    fileprivate var pages: [Int] = []

    /// Rows that would hold the pages if each were full.
    public var rowCountMin: Int { (pages.count + Self.pagesPerRow - 1) / Self.pagesPerRow }

    /// The lengths of the longest runs of adjoining pages, longest first: at most `count`, of at least `lengthMin` pages. Pages of
    /// one run may stand in different rows.
    public func runs(lengthMin: Int, count: Int) -> [Int] {
        var lengths: [Int] = []
        var previous = -1
        for page in pages.sorted() {
            if page == previous + 1, !lengths.isEmpty { lengths[lengths.count - 1] += 1 } else { lengths.append(1) }
            previous = page
        }
        return Array(lengths.filter { $0 >= lengthMin }.sorted(by: >).prefix(count))
    }

    /// What LMDB puts into a row when it writes back: a page of 4,096 bytes, less its header, the length in front, and one entry of reserve.
    private static let pagesPerRow = 509
}

extension Environment {
    /// Reads rows of the free list from its front, as far as LMDB could merge them with some 64 million steps.
    /// No snapshot of this environment may be held by the caller.
    public func freeListFront() throws(LMDBError) -> FreeListFront {
        // A commit takes nothing that the oldest reader may still see, nor what the one before it has freed.
        let oldest = laggingReader()?.transactionID ?? information().lastTransactionID
        let snapshot = try snapshot()
        var cursor = try unsafe Cursor(snapshot.handle, .freeList)
        var front = FreeListFront()
        var steps = 0
        var passedOver = Self.treePageCount
        while steps < Self.mergeStepsMax, front.pages.count < Self.frontPagesMax, try cursor.move(.next), cursor.freedBy < oldest {
            front.rowCount += 1
            // Each row is merged into what was read before.
            steps += front.pages.count
            cursor.appendFreedPages(to: &front.pages, passingOver: &passedOver)
        }
        return front
    }

    /// Has LMDB merge the front of the free list and write it back: in full rows, in the order of the pages.
    ///
    /// LMDB merges rows until it has found the run of pages that a value needs, and what it has merged goes back sorted. So values are
    /// reserved in `database`, of byte strings, that are as long as the free runs are (`FreeListFront.runs`), and
    /// deleted again. Nothing is written into them. False when there are no such runs any more: then nothing happens, since the file
    /// would grow.
    public func joinFreePages(runs: [Int], in database: Database) throws(LMDBError) -> Bool {
        var count = runs.count
        while count > 0 {
            var transaction = try begin()
            let found = try transaction.takeFreeRuns(runs.prefix(count), in: database, of: information())
            if found == count {
                try transaction.commit()
                return true
            }
            // The tree's own pages came out of the middle of a run: what was found before is found again.
            count = found
        }
        return false
    }

    private static let mergeStepsMax = 64_000_000
    private static let frontPagesMax = 1 << 19
    /// A change takes so many pages at most for the tree above it, the lowest of the first rows, before it takes any for a value.
    private static let treePageCount = 16
}

extension Transaction {
    /// Reserves and deletes values of so many pages. How many found room within the file; where not all did, the transaction must be
    /// dropped.
    fileprivate mutating func takeFreeRuns(
        _ runs: ArraySlice<Int>, in database: Database, of information: EnvironmentInformation
    ) throws(LMDBError) -> Int {
        for (index, run) in runs.enumerated() {
            // Each finds a run that none before it has touched: they are made longest first.
            let byteCount = min(run, Self.takenRunMax) * information.pageByteCount - Self.pageHeadByteCount
            var page = 0
            try unsafe reserve(Self.takenKey(index), byteCount: byteCount, in: database) { bytes in
                guard let start = bytes.baseAddress else { return }
                page = unsafe (start - Self.pageHeadByteCount).loadUnaligned(as: Int.self)
            }
            guard page < information.pageCount else { return index }
        }
        for index in (0..<runs.count).reversed() { try delete(Self.takenKey(index), in: database) }
        return runs.count
    }

    private static func takenKey(_ index: Int) -> String { "free pages \(index)" }

    /// In front of a value that has pages of its own: the number of the first, flags, and how many they are.
    private static let pageHeadByteCount = 16
    /// LMDB writes dirty pages early when a value is as long as a good part of all that a transaction may hold; this is an eighth.
    private static let takenRunMax = 1 << 14
}

extension Database {
    /// LMDB's own, number 0: transactions as keys, and as values lists of the pages that they freed, each with its length in front.
    static let freeList = Database(index: 0)
}

/// Of a cursor in the free list.
extension Cursor {
    var freedBy: Int { unsafe key.unsafeLoadUnaligned(fromByteOffset: 0, as: Int.self) }
    var freedPageCount: Int { unsafe value.unsafeLoadUnaligned(fromByteOffset: 0, as: Int.self) }

    /// Appends all but the lowest `passedOver` pages, which are the last ones, and counts that down.
    func appendFreedPages(to pages: inout [Int], passingOver passedOver: inout Int) {
        let count = max(freedPageCount - passedOver, 0)
        passedOver -= freedPageCount - count
        for index in 0..<count {
            pages.append(unsafe value.unsafeLoadUnaligned(fromByteOffset: (1 + index) * MemoryLayout<Int>.stride, as: Int.self))
        }
    }
}
