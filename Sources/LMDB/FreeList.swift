internal import CLMDB

/// Free pages as they stand at the front of the free list, from which a commit takes first.
public struct FreeListFront: Sendable, Equatable {
    /// Rows that were read, each what one commit freed or wrote back.
    public fileprivate(set) var rowCount = 0
    /// Whether these are all rows that a commit could take from now.
    fileprivate var isWhole = false
    /// In the order in which they were read, without the first few, which may go to the tree before a value is given any.
    fileprivate var pages: [Int] = []

    public var pageCount: Int { pages.count }

    /// Rows that would hold the pages if each were full.
    public var rowCountMin: Int { (pages.count + Self.pagesPerRow - 1) / Self.pagesPerRow }

    /// How long values must be, in pages, for LMDB to look through many of these rows and find room for all in them.
    ///
    /// As long as the longest runs of adjoining pages: each value touches one, so there is one left for the next. Unless pages that were
    /// not read join runs, so that a value touches several. Where there are many runs, as many as such pages are passed over behind the
    /// longest, which makes sure of room for all. Where there are few, that would leave most of them as they are, and it is tried if it may be.
    func joiningLengths(lengthMin: Int, mayTry: Bool = true) -> [Int] {
        // For a value of n pages LMDB reads 60 n rows, and then no more.
        let lengthMin = max(lengthMin, rowCount / 60 + 1)
        let runs = runs().prefix { $0 >= lengthMin }
        // What is missing would have LMDB go through the whole list, so that must be known not to take long.
        let mayTry = mayTry && isWhole && runs.count <= Self.fewRunCount
        var lengths: [Int] = []
        var pageCount = 0
        for (index, run) in runs.enumerated() where mayTry || index == 0 || index > Self.strayPageCount {
            // The tree may take pages of a run while the values before this one are reserved.
            let length = min(mayTry && index > 0 ? run - Self.splitPageCount : run, Self.joiningLengthMax)
            guard length >= lengthMin, lengths.count < Self.joiningCount, pageCount + length <= Self.joiningPagesMax else { break }
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
    private static let fewRunCount = 2 * strayPageCount
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
        while steps < Self.mergeStepsMax, front.pages.count < Self.frontPagesMax {
            guard try cursor.move(.next), cursor.freedBy < oldest else {
                front.isWhole = true
                break
            }
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
    /// reserved in `database`, of byte strings, and deleted again; nothing is written into them. One for which there is no room after
    /// all, since the file would grow, or no memory, is left out. False, and nothing has happened, when none is left.
    ///
    /// - Throws: what went wrong with the commit.
    public func joinFreePages(of front: FreeListFront, lengthMin: Int, in database: Database) throws(LMDBError) -> Bool {
        var lengths = front.joiningLengths(lengthMin: lengthMin)
        for attempt in 1...Self.joiningAttempts where !lengths.isEmpty {
            let count = try joinFreePages(lengths: lengths, in: database)
            if count == lengths.count { return true }
            // Before the last attempt, all that was not there this time.
            lengths.removeSubrange(count..<(attempt + 1 < Self.joiningAttempts ? count + 1 : lengths.count))
        }
        return false
    }

    /// Returns for how many of the values there was room: if not for all, nothing has happened.
    func joinFreePages(lengths: [Int], in database: Database) throws(LMDBError) -> Int {
        guard var transaction = try? begin() else { return 0 }
        let count = transaction.takeFreeRuns(lengths, in: database, of: information())
        if count == lengths.count { try transaction.commit() }
        return count
    }

    private static let joiningAttempts = 8
    private static let mergeStepsMax = 64_000_000
    private static let frontPagesMax = 1 << 19
}

extension Transaction {
    /// Reserves and deletes values of so many pages, and returns for how many there was room.
    fileprivate mutating func takeFreeRuns(_ lengths: [Int], in database: Database, of information: EnvironmentInformation) -> Int {
        for (index, length) in lengths.enumerated() {
            guard let page = try? startOfRun(Self.joiningKey(index), length, in: database, of: information), page < information.pageCount else {
                return index
            }
        }
        for index in lengths.indices.reversed() {
            guard (try? delete(Self.joiningKey(index), in: database)) != nil else { return index }
        }
        return lengths.count
    }

    /// The first page of a value of so many pages, which is reserved.
    private mutating func startOfRun(
        _ key: String, _ length: Int, in database: Database, of information: EnvironmentInformation
    ) throws(LMDBError) -> Int {
        var page = Int.max
        try unsafe reserve(key, byteCount: length * information.pageByteCount - Self.pageHeadByteCount, in: database) { bytes in
            guard let start = bytes.baseAddress else { return }
            page = unsafe (start - Self.pageHeadByteCount).loadUnaligned(as: Int.self)
        }
        return page
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
