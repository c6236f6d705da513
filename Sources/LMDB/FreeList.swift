internal import CLMDB

/// Free pages as they stand at the front of the free list, from which a commit takes first.
public struct FreeListFront: Sendable, Equatable {
    /// Rows that were read, each what one commit freed or wrote back.
    public fileprivate(set) var rowCount = 0
    /// In the order in which they were read, without the first few, which may go to the tree before a value is given any.
    fileprivate var pages: [Int] = []

    public var pageCount: Int { pages.count }

    /// Rows that would hold the pages if each were full.
    public var rowCountMin: Int { (pages.count + Self.pagesPerRow - 1) / Self.pagesPerRow }

    /// How long values must be, in pages, for LMDB to look through many of these rows and find room for all in them.
    ///
    /// As long as the longest runs of adjoining pages. Each value touches one run, so there always is one that none before it has touched
    /// and that is long enough, unless pages that were not read join runs, so that a value touches several. To be sure of room even
    /// then, pass over as many runs behind the longest: the values are shorter then, and LMDB looks through fewer rows.
    func joiningLengths(lengthMin: Int, isSure: Bool) -> [Int] {
        // For a value of n pages LMDB reads 60 n rows, and then no more.
        let lengthMin = max(lengthMin, rowCount / 60 + 1)
        let passedOver = 1..<(isSure ? 1 + Self.strayPageCount : 1)
        var lengths: [Int] = []
        var pageCount = 0
        for (index, run) in runs().enumerated() where !passedOver.contains(index) {
            // The tree may take pages of a run while the values before this one are reserved.
            let length = min(index == 0 ? run : run - Self.splitPageCount, Self.joiningLengthMax)
            guard length >= lengthMin, lengths.count < Self.joiningCount else { break }
            guard pageCount + length <= Self.joiningPagesMax else { continue }
            lengths.append(length)
            pageCount += length
        }
        return lengths
    }

    /// Lengths of runs of adjoining pages, whatever rows they stand in, longest first.
    private func runs() -> [Int] {
        var lengths: [Int] = []
        var previous = -1
        for page in pages.sorted() {
            if page == previous + 1, !lengths.isEmpty { lengths[lengths.count - 1] += 1 } else { lengths.append(1) }
            previous = page
        }
        return lengths.sorted(by: >)
    }

    /// What LMDB puts into a row when it writes back: as many as a page of 4,096 bytes holds behind its header and their number.
    private static let pagesPerRow = 509
    /// Pages that can join runs or split them: those that were not counted, and what the tree may take while values are reserved.
    private static let strayPageCount = treePageCount + splitPageCount
    private static let splitPageCount = 4
    private static let joiningCount = 64
    /// LMDB writes dirty pages early when half of all that a transaction may hold is too few for a value.
    private static let joiningLengthMax = 60_000
    /// LMDB allocates memory for all of them, which nobody touches.
    private static let joiningPagesMax = 1 << 17
    /// A commit takes so many pages at most for its tree before it takes any for a value: the lowest of the first rows.
    fileprivate static let treePageCount = 16
}

extension Environment {
    /// Reads rows of the free list from its front, as far as LMDB could merge them with some 64 million steps.
    public func freeListFront() throws(LMDBError) -> FreeListFront {
        // A commit takes nothing that the oldest reader may still see, nor what the one before it has freed.
        let oldest = laggingReader()?.transactionID ?? information().lastTransactionID
        let snapshot = try snapshot()
        var cursor = try unsafe Cursor(snapshot.handle, .freeList)
        var front = FreeListFront()
        var steps = 0
        var passedOver = FreeListFront.treePageCount
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
    /// reserved in `database`, of byte strings, and deleted again; nothing is written into them. False, and nothing has happened, when
    /// there is no room for them any more, since the file would grow, or where LMDB has no memory for them.
    ///
    /// - Throws: what went wrong with the commit.
    public func joinFreePages(of front: FreeListFront, lengthMin: Int, in database: Database) throws(LMDBError) -> Bool {
        if try joinFreePages(lengths: front.joiningLengths(lengthMin: lengthMin, isSure: false), in: database) { return true }
        return try joinFreePages(lengths: front.joiningLengths(lengthMin: lengthMin, isSure: true), in: database)
    }

    func joinFreePages(lengths: [Int], in database: Database) throws(LMDBError) -> Bool {
        guard !lengths.isEmpty, var transaction = try? begin() else { return false }
        guard (try? transaction.takeFreeRuns(lengths, in: database, of: information())) == true else { return false }
        try transaction.commit()
        return true
    }

    private static let mergeStepsMax = 64_000_000
    private static let frontPagesMax = 1 << 19
}

extension Transaction {
    /// Reserves and deletes values of so many pages; false where one would make the file grow.
    fileprivate mutating func takeFreeRuns(
        _ lengths: [Int], in database: Database, of information: EnvironmentInformation
    ) throws(LMDBError) -> Bool {
        for (index, length) in lengths.enumerated() {
            var page = Int.max
            try unsafe reserve(
                Self.joiningKey(index), byteCount: length * information.pageByteCount - Self.pageHeadByteCount, in: database
            ) { bytes in
                guard let start = bytes.baseAddress else { return }
                page = unsafe (start - Self.pageHeadByteCount).loadUnaligned(as: Int.self)
            }
            guard page < information.pageCount else { return false }
        }
        for index in lengths.indices.reversed() { try delete(Self.joiningKey(index), in: database) }
        return true
    }

    private static func joiningKey(_ index: Int) -> String { "free pages \(index)" }

    /// In front of a value that has pages of its own: the number of the first, flags, and how many they are.
    private static let pageHeadByteCount = 16
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
