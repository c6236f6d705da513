import Foundation
import Testing

@testable import LMDB

/// Files that are shorter than LMDB counts pages.
@Suite struct MissingPagesTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(readOnly: Bool = false) throws -> Environment {
        try Environment(path: directory.path, options: .init(mapByteCount: 1 << 26, readOnly: readOnly))
    }

    private func commit(_ environment: Environment, _ body: (inout Transaction, Database) throws(LMDBError) -> Void) throws {
        try environment.write { (transaction) throws(LMDBError) in
            let database = try transaction.database("values")
            try body(&transaction, database)
        }
    }

    private func pageCountOfFile() throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/data.mdb")
        return try #require(attributes[.size] as? Int) / 4096
    }

    private func cut(to byteCount: Int) throws {
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: directory.path + "/data.mdb"))
        try file.truncate(atOffset: UInt64(byteCount))
        try file.close()
    }

    @Test func whatATransactionGaveUpItselfIsNotMissed() throws {
        let environment = try open()
        #expect(try environment.missingPageCount() == 0)
        try commit(environment) { transaction, values throws(LMDBError) in try transaction.put("a", [UInt8](repeating: 1, count: 100_000), in: values) }
        try commit(environment) { transaction, values throws(LMDBError) in try transaction.delete("a", in: values) }
        try commit(environment) { transaction, values throws(LMDBError) in try transaction.put("b", [1], in: values) }
        try commit(environment) { transaction, values throws(LMDBError) in
            try transaction.put("c", [UInt8](repeating: 1, count: 1_000_000), in: values)
            try transaction.delete("c", in: values)
        }
        #expect(try pageCountOfFile() + 200 < environment.information().pageCount, "LMDB does not write what nobody will read")
        #expect(try environment.missingPageCount() == 0)
    }

    @Test func everyOtherPageIsMissed() throws {
        var free: Set<Int> = []
        var pageCount = 0
        try fill(&free, &pageCount)
        #expect(try pageCountOfFile() == pageCount)
        var wholeCount = 0
        for length in (2..<pageCount).reversed() where length > pageCount - 40 || length % 13 == 0 {
            try cut(to: length * 4096 + 100)
            let isWhole = free.isSuperset(of: length..<pageCount)
            #expect(try (open(readOnly: true).missingPageCount() == 0) == isWhole, "\(length) of \(pageCount) pages")
            if isWhole { wholeCount += 1 }
        }
        #expect(wholeCount > 0, "some free pages are at the end")
    }

    /// Leaves a free list that has everything a tree of LMDB's can have, and pages at the end of the file in it.
    private func fill(_ free: inout Set<Int>, _ pageCount: inout Int) throws {
        let environment = try open()
        try commit(environment) { transaction, values throws(LMDBError) in
            for number in 0..<150 { try transaction.put("\(number)", [UInt8](repeating: 1, count: 5_000), in: values) }
            try transaction.put("large", [UInt8](repeating: 1, count: 600 * 4096), in: values)
        }
        // Nothing is used again while it is there: a row for each commit.
        var reader = try environment.snapshot()
        try commit(environment) { transaction, values throws(LMDBError) in try transaction.delete("large", in: values) }
        for number in 0..<149 {
            try commit(environment) { transaction, values throws(LMDBError) in try transaction.delete("\(number)", in: values) }
        }
        reader.park()
        for _ in 0..<3 { try commit(environment) { transaction, values throws(LMDBError) in try transaction.put("small", [1], in: values) } }
        let snapshot = try environment.snapshot()
        let statistics = try snapshot.statistics(of: .freeList)
        #expect(statistics.depth > 1 && statistics.overflowPageCount > 0)
        var cursor = try snapshot.cursor(in: .freeList)
        var pages: [Int] = []
        var none = 0
        while try cursor.move(.next) { cursor.forEachFreedPage(passingOver: &none) { pages.append($0) } }
        free = Set(pages)
        pageCount = environment.information().pageCount
    }
}
