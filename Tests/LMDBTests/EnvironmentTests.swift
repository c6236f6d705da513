import Foundation
import LMDB
import Testing

/// A directory that is gone when the test is.
final class TemporaryDirectory {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("lmdb-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

extension RawSpan {
    fileprivate var array: [UInt8] { withUnsafeBytes { Array($0) } }
}

@Suite struct EnvironmentTests {
    private let directory: TemporaryDirectory
    private let environment: Environment
    private let bytes: Database
    private let integers: Database

    init() throws {
        directory = try TemporaryDirectory()
        environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 26))
        var transaction = try environment.begin()
        bytes = try transaction.database("bytes")
        integers = try transaction.database("integers", .integers)
        try transaction.commit()
    }

    private func put(_ key: String, _ value: [UInt8]) throws {
        var transaction = try environment.begin()
        try transaction.put(key, value, in: bytes)
        try transaction.commit()
    }

    private func value(_ key: String, _ snapshot: borrowing Snapshot) throws -> [UInt8]? {
        guard let span = try snapshot.value(key, in: bytes) else { return nil }
        return span.array
    }

    @Test func aSnapshotSeesOneCommitUntilItIsRenewed() throws {
        try put("a", [1])
        var snapshot = try environment.snapshot()
        try put("a", [2])
        #expect(try value("a", snapshot) == [1])
        let before = snapshot.transactionID
        snapshot.park()
        try snapshot.renew()
        #expect(try value("a", snapshot) == [2])
        #expect(snapshot.transactionID == before + 1)
    }

    @Test func aTransactionThatIsDroppedNeverWas() throws {
        try put("a", [1])
        func change() throws {
            var transaction = try environment.begin()
            try transaction.put("a", [2], in: bytes)
            #expect(try transaction.value("a", in: bytes)?.array == [2])
        }
        try change()
        #expect(try value("a", environment.snapshot()) == [1])
        // The lock on writing is free again.
        try put("b", [3])
        #expect(try value("b", environment.snapshot()) == [3])
    }

    @Test func theBodyOfAWriteThatThrowsChangesNothing() throws {
        #expect(throws: LMDBError.notFound) {
            try environment.write { (transaction) throws(LMDBError) in
                try transaction.put("a", [1], in: bytes)
                throw .notFound
            }
        }
        #expect(try value("a", environment.snapshot()) == nil)
    }

    @Test func cursorsWalkInKeyOrderAndSeekToTheNextKey() throws {
        var transaction = try environment.begin()
        for key: UInt64 in [300, 2, 40_000, 1] { try transaction.put(key, [UInt8(key % 251)], in: integers) }
        try transaction.commit()
        let snapshot = try environment.snapshot()
        var cursor = try snapshot.cursor(in: integers)
        var seen: [UInt64] = []
        while try cursor.move(.next) { seen.append(cursor.key.unsafeLoadUnaligned(as: UInt64.self)) }
        #expect(seen == [1, 2, 300, 40_000], "integers, not bytes")
        #expect(try cursor.seek(3 as UInt64))
        #expect(cursor.key.unsafeLoadUnaligned(as: UInt64.self) == 300)
        #expect(try cursor.move(.previous))
        #expect(cursor.value.array == [2])
        #expect(try !cursor.seek(40_001 as UInt64))
        #expect(try cursor.move(.last))
        #expect(try !cursor.move(.next))
    }

    @Test func aCursorDeletesAndGoesOnBehind() throws {
        for key in ["a", "b", "c"] { try put(key, [1]) }
        var transaction = try environment.begin()
        try delete("b", &transaction)
        try transaction.commit()
        let snapshot = try environment.snapshot()
        #expect(try value("b", snapshot) == nil)
        #expect(try snapshot.statistics(of: bytes).entryCount == 2)
    }

    private func delete(_ key: String, _ transaction: inout Transaction) throws {
        var cursor = try transaction.cursor(in: bytes)
        #expect(try cursor.seek(key))
        try cursor.delete()
        #expect(try cursor.move(.next))
        #expect(cursor.key.array == Array("c".utf8))
    }

    @Test func reservedBytesAreFilledInPlace() throws {
        var transaction = try environment.begin()
        try transaction.reserve(7 as UInt64, byteCount: 100_000, in: integers, last: true) { place in
            for index in place.indices { place[index] = UInt8(truncatingIfNeeded: index) }
        }
        #expect(throws: LMDBError.keyExists) {
            try transaction.reserve(7 as UInt64, byteCount: 1, in: integers, last: true) { $0[0] = 0 }
        }
        try transaction.commit()
        let snapshot = try environment.snapshot()
        let found = try snapshot.value(7 as UInt64, in: integers)?.array
        #expect(found == (0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func deletingSaysWhetherTheKeyWasThere() throws {
        try put("a", [1])
        var transaction = try environment.begin()
        #expect(try transaction.delete("a", in: bytes))
        #expect(try !transaction.delete("a", in: bytes))
        try transaction.commit()
        #expect(try value("a", environment.snapshot()) == nil)
    }

    @Test(arguments: [false, true])
    func aCopyHoldsTheLastCommit(compacting: Bool) throws {
        try put("a", [UInt8](repeating: 5, count: 10_000))
        let target = try TemporaryDirectory()
        #expect(FileManager.default.createFile(atPath: target.path + "/data.mdb", contents: nil))
        let file = try #require(FileHandle(forWritingAtPath: target.path + "/data.mdb"))
        try environment.copy(to: file.fileDescriptor, compacting: compacting)
        try put("a", [6])
        let copy = try Environment(path: target.path, options: .init(mapByteCount: 1 << 26, readOnly: true))
        let first = try copy.snapshot()
        let database = try first.database("bytes")
        #expect(try first.value("a", in: database)?.array == [UInt8](repeating: 5, count: 10_000))
    }

    @Test func readersAreListedWithWhatTheyPin() throws {
        try put("a", [1])
        var snapshot = try environment.snapshot()
        let own = environment.readers().filter { $0.processID == Int(ProcessInfo.processInfo.processIdentifier) }
        #expect(own.compactMap(\.transactionID) == [snapshot.transactionID])
        snapshot.park()
        #expect(environment.readers().compactMap(\.transactionID) == [])
        #expect(environment.readers().count == own.count, "a parked snapshot keeps its slot")
        #expect(try environment.clearStaleReaders() == 0)
    }

    @Test func theWholeMapIsReadWithoutReadAheadOnceThatIsAskedFor() throws {
        try put("key", [1])
        let snapshot = try environment.snapshot()
        if let value = try snapshot.value("key", in: bytes) { try environment.expectScatteredReads(value) }
        // "rr": random read advice, proc(5).
        let table = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/smaps")).readToEnd() ?? Data()
        let mappings = String(decoding: table, as: UTF8.self).split(separator: "VmFlags:")
        let file = (directory.path as NSString).lastPathComponent + "/data.mdb"
        let place = try #require(mappings.firstIndex { $0.contains(file) })
        #expect(mappings[place + 1].prefix { $0 != "\n" }.split(separator: " ").contains("rr"))
        #expect(mappings[place].contains("Size:              65536 kB"), "one mapping as before, none split off")
    }

    @Test func deletedPagesAreCountedAsFree() throws {
        try put("a", [UInt8](repeating: 1, count: 64 * 4096 - 16))
        let before = try environment.freePages().count
        var transaction = try environment.begin()
        try transaction.delete("a", in: bytes)
        try transaction.commit()
        let after = try environment.freePages().count
        #expect(after >= before + 64)
        #expect(environment.information().pageCount > after)
    }

    @Test func pagesThatAReaderMaySeeAreHeldUntilItEnds() throws {
        try put("a", [UInt8](repeating: 1, count: 64 * 4096 - 16))
        var reader = try environment.snapshot()
        let own = reader.transactionID
        #expect(environment.laggingReader() == nil, "it sees the last commit")
        var transaction = try environment.begin()
        try transaction.delete("a", in: bytes)
        try transaction.commit()
        #expect(environment.laggingReader()?.transactionID == own)
        let held = try environment.freePages()
        #expect(held.heldCount >= 64)
        // LMDB's own answer: as much again makes the file grow while the reader is there, and does not once it is gone.
        let pages = environment.information().pageCount
        try put("b", [UInt8](repeating: 2, count: 64 * 4096 - 16))
        #expect(environment.information().pageCount >= pages + 64)
        reader.park()
        #expect(environment.laggingReader() == nil)
        let grown = environment.information().pageCount
        try put("c", [UInt8](repeating: 3, count: 64 * 4096 - 16))
        #expect(environment.information().pageCount < grown + 64)
    }

    @Test func aFullMapIsAnErrorAndNothingElse() throws {
        try put("kept", [1])
        #expect(throws: LMDBError.mapFull) {
            try environment.write { (transaction) throws(LMDBError) in
                try transaction.put("large", [UInt8](repeating: 1, count: 1 << 27), in: bytes)
            }
        }
        try put("b", [2])
        let snapshot = try environment.snapshot()
        #expect(try value("kept", snapshot) == [1])
        #expect(try value("b", snapshot) == [2])
    }

    @Test func aFileThatIsNoEnvironmentIsRefused() throws {
        let other = try TemporaryDirectory()
        try Data(repeating: 7, count: 100_000).write(to: URL(fileURLWithPath: other.path + "/data.mdb"))
        #expect(throws: LMDBError.invalid) { try Environment(path: other.path) }
    }
}
