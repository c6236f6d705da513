import LMDB
import Testing

/// A database whose free pages adjoin in the file, and stand in a row for each commit.
@Suite struct FreeListTests {
    private let directory: TemporaryDirectory
    private let environment: Environment
    private let values: Database
    private let names: Database
    private static let valueCount = 256

    init() throws {
        directory = try TemporaryDirectory()
        environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 28))
        var transaction = try environment.begin()
        values = try transaction.database("values", .integers)
        names = try transaction.database("names")
        for key in 0..<UInt64(Self.valueCount) { try transaction.put(key, [UInt8](repeating: UInt8(key), count: 8 * 4096 - 16), in: values) }
        try transaction.commit()
        // All but the last, in an order that leaves no two neighbours together.
        for index in 0..<UInt64(Self.valueCount - 1) {
            let database = values
            try environment.write { transaction throws(LMDBError) in _ = try transaction.delete(index * 97 % 255, in: database) }
        }
    }

    @Test func whatManyCommitsHaveFreedBecomesFullRowsAgain() throws {
        let before = try environment.freePages()
        let size = environment.information().fileByteCount
        let front = try environment.freeListFront()
        #expect(front.rowCount > 100)
        #expect(try environment.joinFreePages(runs: front.runs(lengthMin: 64, count: 64), in: names))
        let after = try environment.freePages()
        #expect(after.rowCount <= front.rowCountMin + 4, "\(before) became \(after)")
        #expect(abs(after.count - before.count) < 8, "no page is lost, and none is free twice: \(before), \(after)")
        #expect(environment.information().fileByteCount == size)
        let snapshot = try environment.snapshot()
        #expect(try snapshot.value(UInt64(Self.valueCount - 1), in: values)?.byteCount == 8 * 4096 - 16)
        #expect(try snapshot.statistics(of: names).entryCount == 0)
    }

    @Test func whatAReaderMaySeeIsLeftAlone() throws {
        let database = names
        let snapshot = try environment.snapshot()
        for count in 0..<100 { try environment.write { transaction throws(LMDBError) in try transaction.put("a", [UInt8(count)], in: database) } }
        let before = try environment.freePages()
        let front = try environment.freeListFront()
        #expect(front.rowCount + 100 <= before.rowCount + 2)
        #expect(try environment.joinFreePages(runs: front.runs(lengthMin: 64, count: 64), in: names))
        #expect(try environment.freePages().heldCount >= before.heldCount)
        #expect(try snapshot.value(UInt64(Self.valueCount - 1), in: values)?.byteCount == 8 * 4096 - 16)
    }

    /// Or the file would grow with every attempt.
    @Test func runsThatAreNotThereAreSaidToBeMissing() throws {
        let size = environment.information().fileByteCount
        let front = try environment.freeListFront()
        let longest = try #require(front.runs(lengthMin: 64, count: 1).first)
        #expect(try !environment.joinFreePages(runs: [longest + 1 + 16], in: names))
        #expect(environment.information().fileByteCount == size)
        #expect(try environment.freeListFront() == front)
    }
}
