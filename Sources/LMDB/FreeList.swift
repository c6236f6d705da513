internal import CLMDB

/// Free pages as they stand at the front of the free list, from which a commit takes first.
public struct FreeListFront: Sendable, Equatable {
    /// Rows that were read, each what one commit freed or wrote back.
    public let rowCount: Int
    public let pageCount: Int
    /// Whether these are all rows that a commit could take from now.
    private let isWhole: Bool
    /// Whatever rows they stand in, longest first, and of those of one length first what is complete in fewer rows.
    private let runs: [FreeRun]

    init(_ rows: FreeListRows, isWhole: Bool) {
        rowCount = rows.rowCount
        pageCount = rows.pageCount
        self.isWhole = isWhole
        var runs: [FreeRun] = []
        for piece in rows.pieces.sorted(by: { $0.start < $1.start }) {
            if let last = runs.last, last.end == piece.start {
                runs[runs.count - 1].add(piece)
            } else {
                runs.append(piece)
            }
        }
        self.runs = runs.sorted { ($1.length, $0.lastRow) < ($0.length, $1.lastRow) }
    }

    /// Rows that would hold the pages if each were full.
    public var rowCountMin: Int { (pageCount + Self.pagesPerRow - 1) / Self.pagesPerRow }

    /// Whether LMDB would find less than half of it once it is joined: of the rows up to the last that has part of a run of at least
    /// `lengthMin` pages, or of the pieces in which these runs stand in them. A commit fills, and writes, each piece by itself.
    public func isScattered(lengthMin: Int) -> Bool {
        let long = runs.prefix { $0.length >= lengthMin }
        if long.reduce(0, { max($0, $1.lastRow) }) > Self.slack + 2 * rowCountMin { return true }
        return long.reduce(0) { $0 + $1.pieceCount } > Self.slack + 2 * long.count
    }

    /// How long values must be, in pages, for LMDB to look through these rows and find room for all in them.
    ///
    /// As long as the longest runs of adjoining pages, as many of these as it takes until one ends in the last rows: each value takes
    /// one, so there is one left for the next. Unless pages that were not read join runs, so that a value takes several. Where it takes
    /// many runs, as many as such pages are passed over behind the longest, which makes sure of room for all. Where it takes few, that
    /// would leave most of them as they are, and it is tried if it may be.
    func joiningLengths(lengthMin: Int, mayTry: Bool = true) -> [Int] {
        // For a value of n pages LMDB reads 60 n rows, and then no more.
        let lengthMin = max(lengthMin, rowCount / 60 + 1)
        let runs = runs.prefix { $0.length >= lengthMin }
        let neededCount = neededCount(of: runs)
        // What is missing would have LMDB go through the whole list, so that must be known not to take long.
        let mayTry = mayTry && isWhole && neededCount <= Self.fewRunCount
        var lengths: [Int] = []
        var pageCount = 0
        for (index, run) in runs.enumerated() where mayTry ? index < neededCount : index == 0 || index > Self.strayPageCount {
            // The tree may take pages of a run while the values before this one are reserved.
            let tried = index > 0 ? max(run.length - Self.splitPageCount, lengthMin) : run.length
            let length = min(mayTry ? tried : run.length, Self.joiningLengthMax)
            guard lengths.count < Self.joiningCount, pageCount + length <= Self.joiningPagesMax else { break }
            lengths.append(length)
            pageCount += length
        }
        return lengths
    }

    /// How many of the runs, the longest first, must be taken before LMDB has read all rows but the last few that have part of one.
    private func neededCount(of runs: ArraySlice<FreeRun>) -> Int {
        let lastRow = runs.reduce(0) { max($0, $1.lastRow) } - rowCount / Self.restOfRows
        guard let index = runs.firstIndex(where: { $0.lastRow >= lastRow }) else { return 0 }
        // A value takes the first run that is complete and no shorter than what is asked for.
        let asked = index > 0 ? runs[index].length - Self.splitPageCount : runs[index].length
        let alike = runs[(index + 1)...].prefix { $0.length >= asked }
        return index + 1 + alike.filter { $0.lastRow < runs[index].lastRow }.count
    }

    /// Rows or pieces too many that are not worth a commit.
    private static let slack = 32
    /// What LMDB puts into a row when it writes back: as many as a page of 4,096 bytes holds behind its header and their number.
    private static let pagesPerRow = 509
    /// Pages that can join runs or split them: those that were not counted, and what the tree may take while values are reserved.
    private static let strayPageCount = treePageCount + splitPageCount
    private static let splitPageCount = 4
    private static let fewRunCount = 2 * strayPageCount
    /// One part of so many of the rows may be left as they are.
    private static let restOfRows = 16
    private static let joiningCount = 64
    /// LMDB writes dirty pages early when half of all that a transaction may hold is too few for a value.
    private static let joiningLengthMax = 60_000
    /// LMDB allocates memory for all of them, which hardly anybody touches.
    private static let joiningPagesMax = 1 << 17
    /// A commit takes so many pages at most for its tree before it takes any for a value: the lowest of the first rows.
    fileprivate static let treePageCount = 16
}

/// Rows of the free list as they are read, without the first few pages, which may go to the tree before a value is given any.
struct FreeListRows {
    fileprivate private(set) var rowCount = 0
    fileprivate private(set) var pageCount = 0
    /// Adjoining pages as they stand in the rows.
    fileprivate private(set) var pieces: [FreeRun] = []

    mutating func beginRow() { rowCount += 1 }

    /// The next higher one of the row.
    mutating func append(_ page: Int) {
        pageCount += 1
        if let last = pieces.last, last.end == page {
            pieces[pieces.count - 1].length += 1
            pieces[pieces.count - 1].lastRow = rowCount
        } else {
            pieces.append(FreeRun(start: page, length: 1, lastRow: rowCount))
        }
    }
}

/// Adjoining pages, in how many pieces they were found, and the last row that had one, from 1.
private struct FreeRun: Equatable {
    var start: Int
    var length: Int
    var lastRow: Int
    var pieceCount = 1

    var end: Int { start + length }

    mutating func add(_ next: FreeRun) {
        length += next.length
        lastRow = max(lastRow, next.lastRow)
        pieceCount += next.pieceCount
    }
}

extension Environment {
    /// Reads rows of the free list from its front, as far as LMDB could merge them with some 64 million steps: in 30 to 40 ms.
    public func freeListFront() throws(LMDBError) -> FreeListFront {
        let (rows, isWhole) = try freeListRows(mergeStepsMax: Self.mergeStepsMax, piecesMax: Self.frontPagesMax)
        return FreeListFront(rows, isWhole: isWhole)
    }

    /// All of the free list that a commit could take from now, if LMDB could merge it with some 8 million steps, in a few ms; nil otherwise.
    public func shortFreeList() throws(LMDBError) -> FreeListFront? {
        let (rows, isWhole) = try freeListRows(mergeStepsMax: Self.quickMergeSteps, piecesMax: Self.quickPieces)
        return isWhole ? FreeListFront(rows, isWhole: true) : nil
    }

    /// And whether these are all.
    func freeListRows(mergeStepsMax: Int, piecesMax: Int) throws(LMDBError) -> (FreeListRows, isWhole: Bool) {
        // A commit takes nothing that the oldest reader may still see, nor what the one before it has freed.
        let oldest = laggingReader()?.transactionID ?? information().lastTransactionID
        let snapshot = try snapshot()
        var cursor = try unsafe Cursor(snapshot.handle, .freeList)
        var rows = FreeListRows()
        var steps = 0
        var passedOver = FreeListFront.treePageCount
        while steps < mergeStepsMax, rows.pageCount < Self.frontPagesMax, rows.pieces.count < piecesMax {
            guard try cursor.move(.next), cursor.freedBy < oldest else { return (rows, true) }
            // Each row is merged into what was read before.
            steps += rows.pageCount
            rows.beginRow()
            cursor.forEachFreedPage(passingOver: &passedOver) { rows.append($0) }
        }
        return (rows, false)
    }

    /// Has LMDB merge the front of the free list and write it back: in full rows, in the order of the pages.
    ///
    /// LMDB merges rows until it has found the run of pages that a value needs, and what it has merged goes back sorted. So values are
    /// reserved in `database`, of byte strings, and deleted again; nothing is written into them. One for which there is no room after
    /// all, since the file would grow, or no memory, is left out. False, and nothing has happened, when none is left
    /// or `attempts` were not enough.
    ///
    /// - Throws: what went wrong with the commit.
    public func joinFreePages(of front: FreeListFront, lengthMin: Int, in database: Database, attempts: Int) throws(LMDBError) -> Bool {
        var lengths = front.joiningLengths(lengthMin: lengthMin)
        for attempt in 1...attempts where !lengths.isEmpty {
            let count = try joinFreePages(lengths: lengths, in: database)
            if count == lengths.count { return true }
            // Before the last attempt, all that was not there this time.
            lengths.removeSubrange(count..<(attempt + 1 < attempts ? count + 1 : lengths.count))
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

    private static let mergeStepsMax = 64_000_000
    private static let frontPagesMax = 1 << 19
    private static let quickMergeSteps = 8_000_000
    /// They are sorted.
    private static let quickPieces = 1 << 14
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

    /// From the lowest page on, all but the first `passedOver`, which is counted down.
    func forEachFreedPage(passingOver passedOver: inout Int, _ body: (Int) -> Void) {
        let count = max(freedPageCount - passedOver, 0)
        passedOver -= freedPageCount - count
        // The lowest is the last.
        for index in (0..<count).reversed() {
            body(unsafe value.unsafeLoadUnaligned(fromByteOffset: (1 + index) * MemoryLayout<Int>.stride, as: Int.self))
        }
    }
}
