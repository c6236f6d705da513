import Testing

@testable import LMDB

/// A database whose free pages adjoin in the file, and stand in a row for each commit.
@Suite struct FreeListTests {
    private let directory: TemporaryDirectory
    private let environment: Environment
    private let values: Database
    private let names: Database
    private static let valueCount = 256

    init() throws {
        directory = try TemporaryDirectory()
        (environment, values, names) = try Self.filled(directory, valueCount: UInt64(Self.valueCount), pageCount: 8)
        // All but the last, in an order that leaves no two neighbours together.
        for index in 0..<UInt64(Self.valueCount - 1) {
            let database = values
            try environment.write { transaction throws(LMDBError) in _ = try transaction.delete(index * 97 % 255, in: database) }
        }
    }

    /// Every page of the file is LMDB's own, in a tree, or free: none is lost, and none is free twice.
    private func isEachPageAccountedFor() throws -> Bool {
        let snapshot = try environment.snapshot()
        // LMDB's own trees are numbers 0 and 1.
        var treePageCount = 0
        for database in [Database(index: 0), Database(index: 1), values, names] { treePageCount += try snapshot.statistics(of: database).pageCount }
        let free = try environment.freePages()
        let information = environment.information()
        return 2 + treePageCount + free.count + free.heldCount == information.pageCount
    }

    @Test func whatManyCommitsHaveFreedBecomesFullRowsAgain() throws {
        let size = environment.information().fileByteCount
        let front = try environment.freeListFront()
        #expect(front.rowCount > 100)
        #expect(try isEachPageAccountedFor())
        #expect(try environment.joinFreePages(of: front, lengthMin: 64, in: names, attempts: 8))
        #expect(try environment.freePages().rowCount <= front.rowCountMin + 4)
        #expect(try isEachPageAccountedFor())
        #expect(environment.information().fileByteCount == size)
        let snapshot = try environment.snapshot()
        #expect(try snapshot.value(UInt64(Self.valueCount - 1), in: values)?.byteCount == 8 * 4096 - 16)
        #expect(try snapshot.statistics(of: names).entryCount == 0)
    }

    /// As when the partitions of a topic are deleted in turn: few rows, each with pieces from all over the file.
    @Test func whatStandsInManyPiecesBecomesLongRunsAgain() throws {
        let directory = try TemporaryDirectory()
        let (environment, values, names) = try Self.filled(directory, valueCount: 161, pageCount: 16)
        #expect(try !environment.freeListFront().isScattered(lengthMin: 16))
        for row in 0..<UInt64(16) {
            try environment.write { transaction throws(LMDBError) in
                for value in 0..<UInt64(10) { try transaction.delete(row + 16 * value, in: values) }
            }
        }
        // Only what two commits before the last have freed may be taken yet.
        for _ in 0..<2 { try environment.write { transaction throws(LMDBError) in try transaction.put("a", [UInt8](), in: names) } }
        let size = environment.information().fileByteCount
        let front = try environment.freeListFront()
        #expect(front.rowCount <= 32, "not scattered for its rows alone")
        #expect(front.isScattered(lengthMin: 16))
        #expect(try environment.joinFreePages(of: front, lengthMin: 16, in: names, attempts: 8))
        let joined = try environment.freeListFront()
        #expect(joined.pageCount > 150 * 16)
        #expect(!joined.isScattered(lengthMin: 16))
        #expect(environment.information().fileByteCount == size)
    }

    @Test func rowsThatGoOnWhereTheOneBeforeEndsAreNotScattered() {
        let whole = FreeListFront(rows: (0..<200).map { row in [row * 500..<(row + 1) * 500] })
        #expect(!whole.isScattered(lengthMin: 64))
        #expect(whole.rowCount == 200)
        #expect(whole.pageCount == 100_000)
        let inPieces = FreeListFront(rows: (0..<50).map { row in (0..<10).map { piece($0 * 50 + row, of: 64) } })
        #expect(inPieces.isScattered(lengthMin: 64), "one run in 500 pieces")
        let short = FreeListFront(rows: (0..<50).map { row in (0..<10).map { piece($0 * 51 + row, of: 64) } })
        #expect(short.isScattered(lengthMin: 64), "ten runs in 500 pieces")
        #expect(!short.isScattered(lengthMin: 3_201), "no run is that long")
        let apart = FreeListFront(rows: (0..<50).map { row in (0..<10).map { piece(2 * ($0 * 50 + row), of: 64) } })
        #expect(!apart.isScattered(lengthMin: 64), "nothing adjoins")
    }

    /// What is asked for beyond that takes time, and may not be there.
    @Test func asManyRunsAreAskedForAsReachTheLastRows() {
        let one = FreeListFront(rows: (0..<50).map { row in (0..<10).map { piece($0 * 51 + row, of: 64) } })
        #expect(one.joiningLengths(lengthMin: 64) == [50 * 64], "the first of ten runs that end in the last row")
        // Ten pieces in the first ten rows, eight in every fifth row, three in the last rows.
        let two = FreeListFront(
            rows: (0..<40).map { row in
                (row < 10 ? [piece(row, of: 64)] : []) + (row % 5 == 4 ? [piece(100 + row / 5, of: 64)] : [])
                    + (row >= 37 ? [piece(200 + row, of: 64)] : [])
            })
        #expect(two.joiningLengths(lengthMin: 64) == [10 * 64, 8 * 64 - 4])
        let long = FreeListFront(rows: (0..<10).map { row in [piece(row, of: 10_000)] })
        #expect(long.joiningLengths(lengthMin: 64) == [60_000], "LMDB takes no more at once")
    }

    /// A value takes the first run that will do, so what is as long and complete earlier must be taken before.
    @Test func runsThatAreAlikeAreCounted() {
        let early = (0..<40).map { row in row < 10 ? [piece(2 * row, of: 97)] : [3_000 + 3 * row..<3_000 + 3 * row + 3] }
        let late = Array(early.dropLast()) + [early[39] + [100_000..<100_100]]
        #expect(FreeListFront(rows: late).joiningLengths(lengthMin: 64) == [100], "nothing else is as long")
        // All of which are shorter by no more than the tree may take.
        let second = FreeListFront(rows: [[200_000..<200_200]] + late)
        #expect(second.joiningLengths(lengthMin: 64) == [200, 96] + Array(repeating: 93, count: 10))
        let few = FreeListFront(rows: (0..<20).map { [piece(2 * $0, of: 64)] })
        #expect(few.joiningLengths(lengthMin: 64) == Array(repeating: 64, count: 19))
        // Extents that stand alone, in too many rows for that.
        let alone = FreeListFront(rows: (0..<200).map { [piece(2 * $0, of: 64)] })
        #expect(alone.isScattered(lengthMin: 64))
        #expect(alone.joiningLengths(lengthMin: 64) == Array(repeating: 64, count: 64))
    }

    /// Nothing can have LMDB merge them.
    @Test func rowsBehindTheLastLongRunAreNotScattered() {
        let crumbs = FreeListFront(rows: [[0..<64]] + (0..<200).map { [1_000 + 2 * $0..<1_001 + 2 * $0] })
        #expect(!crumbs.isScattered(lengthMin: 64))
        #expect(crumbs.isScattered(lengthMin: 1))
    }

    @Test func whatIsMergedIsInFewerRowsAfterwards() throws {
        let directory = try TemporaryDirectory()
        let (environment, values, names) = try Self.filled(directory, valueCount: 400, pageCount: 4)
        for key in 0..<UInt64(200) { try environment.write { transaction throws(LMDBError) in _ = try transaction.delete(2 * key, in: values) } }
        for _ in 0..<2 { try environment.write { transaction throws(LMDBError) in try transaction.put("a", [UInt8](), in: names) } }
        var rowCounts: [Int] = []
        while true {
            let front = try environment.freeListFront()
            rowCounts.append(front.rowCount)
            guard front.isScattered(lengthMin: 4), rowCounts.count < 10 else { break }
            #expect(try environment.joinFreePages(of: front, lengthMin: 4, in: names, attempts: 8))
        }
        #expect(rowCounts.count > 1)
        #expect(rowCounts == rowCounts.sorted(by: >), "each makes them fewer")
        #expect(rowCounts.last! <= 40)
    }

    @Test func aListThatTakesLongIsNotReadToItsEnd() throws {
        #expect(try environment.shortFreeList() == environment.freeListFront())
        #expect(try environment.freeListRows(mergeStepsMax: .max, piecesMax: .max).isWhole)
        #expect(try !environment.freeListRows(mergeStepsMax: 100_000, piecesMax: .max).isWhole)
        #expect(try !environment.freeListRows(mergeStepsMax: .max, piecesMax: 100).isWhole)
    }

    @Test func whereManyRunsAreNeededAllThatIsAskedForIsThere() {
        let rows = (0..<50).map { row in [row * 1_000..<row * 1_000 + 900 - row] }
        let lengths = [900] + (21..<50).map { 900 - $0 }
        #expect(FreeListFront(rows: rows).joiningLengths(lengthMin: 64) == lengths)
        // Nor is anything tried where more rows are than were read.
        #expect(FreeListFront(rows: rows, isWhole: false).joiningLengths(lengthMin: 64) == lengths)
        #expect(FreeListFront(rows: [[0..<900, 1_000..<1_800]], isWhole: false).joiningLengths(lengthMin: 64) == [900])
    }

    /// A new database with values of so many pages, side by side.
    private static func filled(
        _ directory: TemporaryDirectory, valueCount: UInt64, pageCount: Int
    ) throws -> (Environment, values: Database, names: Database) {
        let environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 28))
        var transaction = try environment.begin()
        let values = try transaction.database("values", .integers)
        let names = try transaction.database("names")
        let value = [UInt8](repeating: 1, count: pageCount * 4096 - 16)
        for key in 0..<valueCount { try transaction.put(key, value, in: values) }
        try transaction.commit()
        return (environment, values, names)
    }

    private func piece(_ index: Int, of pageCount: Int) -> Range<Int> { index * pageCount..<(index + 1) * pageCount }

    @Test func whatAReaderMaySeeIsLeftAlone() throws {
        let database = names
        let snapshot = try environment.snapshot()
        for count in 0..<100 { try environment.write { transaction throws(LMDBError) in try transaction.put("a", [UInt8(count)], in: database) } }
        let before = try environment.freePages()
        let front = try environment.freeListFront()
        #expect(front.rowCount + 100 <= before.rowCount + 2)
        #expect(try environment.joinFreePages(of: front, lengthMin: 64, in: names, attempts: 8))
        #expect(try environment.freePages().heldCount >= before.heldCount)
        #expect(try snapshot.value(UInt64(Self.valueCount - 1), in: values)?.byteCount == 8 * 4096 - 16)
    }

    /// Or the file would grow with every attempt.
    @Test func runsThatAreNotThereAreSaidToBeMissing() throws {
        let size = environment.information().fileByteCount
        let front = try environment.freeListFront()
        let longest = try #require(front.joiningLengths(lengthMin: 64).first)
        // Some pages adjoin that were passed over.
        #expect(try environment.joinFreePages(lengths: [longest + 17], in: names) == 0)
        #expect(try environment.joinFreePages(lengths: [longest, longest, longest], in: names) < 3)
        #expect(try !environment.joinFreePages(of: front, lengthMin: .max, in: names, attempts: 8), "nothing to ask for")
        #expect(environment.information().fileByteCount == size)
        #expect(try environment.freeListFront() == front)
    }

    /// Whatever order pages were freed in, and however few the rows that stand between the runs.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func whatIsAskedForIsAlwaysThere(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 28))
        var transaction = try environment.begin()
        let values = try transaction.database("values", .integers)
        let names = try transaction.database("names")
        // Half a page, so that keys soon take another one.
        try transaction.put("half", [UInt8](repeating: 0, count: 1_000), in: names)
        var state = seed
        func random(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        for key in 0..<UInt64(400) {
            try transaction.put(key, [UInt8](repeating: 1, count: Int(1 + random(40)) * 4096 - 16), in: values)
        }
        try transaction.commit()
        var left = Array(0..<UInt64(400))
        while left.count > 20 {
            var transaction = try environment.begin()
            for _ in 0...random(3) { try transaction.delete(left.remove(at: Int(random(UInt64(left.count)))), in: values) }
            try transaction.commit()
            if random(20) == 0 {
                let size = environment.information().fileByteCount
                // What is tried may be missing, and is left out then.
                if random(2) == 0 {
                    let front = try environment.freeListFront()
                    #expect(try front.joiningLengths(lengthMin: 2).isEmpty || environment.joinFreePages(of: front, lengthMin: 2, in: names, attempts: 8))
                    #expect(environment.information().fileByteCount == size)
                }
                let lengths = try environment.freeListFront().joiningLengths(lengthMin: 2, mayTry: false)
                #expect(try environment.joinFreePages(lengths: lengths, in: names) == lengths.count)
                #expect(environment.information().fileByteCount == size)
            }
        }
        let lengths = try environment.freeListFront().joiningLengths(lengthMin: 2, mayTry: false)
        #expect(lengths == lengths.sorted(by: >))
        #expect(!lengths.isEmpty)
        #expect(try environment.joinFreePages(lengths: lengths, in: names) == lengths.count)
    }
}

extension FreeListFront {
    /// Of runs of pages, from the lowest on in each row.
    fileprivate init(rows: [[Range<Int>]], isWhole: Bool = true) {
        var read = FreeListRows()
        for row in rows {
            read.beginRow()
            for page in row.joined() { read.append(page) }
        }
        self.init(read, isWhole: isWhole)
    }
}
