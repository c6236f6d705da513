import LMDB
import Testing

@testable import Store

@Suite struct JournalTailTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// What stands where in a copy of the store.
    private struct Places {
        var journalCount: Int
        var tail: DatabaseStatistics
        var values: [Int64: [UInt8]]
    }

    private func places(_ store: Store, _ partition: Partition) throws -> Places {
        let copy = directory.subdirectory("copy-\(partition.highWatermark)")
        try store.backup(to: copy)
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [])
        let environment = try Environment(path: copy, options: .init(mapByteCount: 1 << 36))
        let snapshot = try environment.snapshot()
        let databases = try Databases(existingIn: snapshot)
        let tail = try #require(databases.tail)
        return Places(
            journalCount: try snapshot.statistics(of: databases.journal).entryCount, tail: try snapshot.statistics(of: tail),
            values: try store.values(of: partition))
    }

    private func append(_ size: Int, _ store: Store, _ partition: Partition, _ expected: inout [Int64: [UInt8]]) throws {
        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: expected.count), count: size)
        expected[try store.append(makeBatch([value]), to: partition).baseOffset] = value
    }

    @Test func smallEntriesStandInOnePageUntilItIsFull() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        var expected: [Int64: [UInt8]] = [:]
        var fullest = 0
        var emptiedCount = 0
        for number in 0..<60 {
            // Odd lengths, too: LMDB rounds them up.
            try append(100 + 7 * (number % 9), store, partition, &expected)
            let places = try places(store, partition)
            #expect(places.values == expected)
            #expect(places.journalCount + places.tail.entryCount == expected.count + 1)
            #expect(places.tail.pageCount <= 1)
            if places.tail.entryCount == 0 { emptiedCount += 1 }
            fullest = max(fullest, places.tail.entryCount)
        }
        #expect(fullest >= 12 && emptiedCount >= 3)
    }

    /// The longest entry that is taken when the page is nearly full still fits: LMDB has not split it.
    @Test(arguments: [20, 33, 47, 60, 121]) func thePageIsNeverOverfilled(size: Int) throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        var expected: [Int64: [UInt8]] = [:]
        try append(3_000, store, partition, &expected)
        var tail = JournalTail()
        repeat {
            try append(size, store, partition, &expected)
            tail.add(byteCount: try entryByteCount(size))
        } while try tail.takes(byteCount: 3 * entryByteCount(size))
        let longest = try #require(try (1...900).last { try tail.takes(byteCount: entryByteCount($0)) })
        try append(longest, store, partition, &expected)
        tail.add(byteCount: try entryByteCount(longest))
        let places = try places(store, partition)
        #expect(places.tail.entryCount == tail.entryCount && places.tail.pageCount == 1)
        #expect(places.values == expected)
        try append(1, store, partition, &expected)
        #expect(try self.places(store, partition).tail.entryCount == 0)
    }

    /// Of an entry with one batch of one record: its head, what it says of the batch, and the batch.
    private func entryByteCount(_ size: Int) throws -> Int { try 32 + 56 + makeBatch([[UInt8](repeating: 0, count: size)]).count }

    @Test func aLargerEntryTakesThemAlong() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        var expected: [Int64: [UInt8]] = [:]
        for size in [10, 20, 2_000, 30, 100_000, 40] {
            try append(size, store, partition, &expected)
            let places = try places(store, partition)
            #expect(places.values == expected)
            // A batch of 100,000 bytes is no part of its entry.
            let tailCounts = [10: 2, 20: 3, 2_000: 0, 30: 1, 100_000: 2, 40: 3]
            #expect(places.tail.entryCount == tailCounts[size])
        }
    }

    /// With so few operations allowed in the journal, each commit trims it down to what stands in the tail, and further.
    @Test func theTailIsTrimmedAsTheJournalIs() throws {
        var options = smallOptions()
        options.journalOperationsMax = 6
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        var expected: [Int64: [UInt8]] = [:]
        for number in 0..<40 {
            try append(number % 10 == 9 ? 3_000 : 50, store, partition, &expected)
            let places = try places(store, partition)
            #expect(places.values == expected)
            #expect(places.journalCount + places.tail.entryCount <= 4)
        }
        store.close()
        let closed = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 36))
        let snapshot = try closed.snapshot()
        let databases = try Databases(existingIn: snapshot)
        let image = try StoreImage(snapshot, databases)
        #expect(image.wasShutDownCleanly)
        #expect(try snapshot.statistics(of: try #require(databases.tail)).entryCount == 0)
    }

    /// A store that is opened again goes on where the page was left, and knows how full it is.
    @Test(arguments: [1, 7, 11]) func aPageThatWasLeftHalfFullIsFilled(count: Int) throws {
        let first = try Store.open(directory: directory.path, options: smallOptions())
        var partition = try first.makeTopic("t").partitions[0]
        var expected: [Int64: [UInt8]] = [:]
        for number in 0..<count { try append(31 + number, first, partition, &expected) }
        let copy = directory.subdirectory("left")
        try first.backup(to: copy)
        first.close()
        let store = try Store.open(directory: copy, options: smallOptions())
        partition = try #require(store.topic(named: "t")).partitions[0]
        var tailCount = count + 1
        repeat {
            try append(33, store, partition, &expected)
            let places = try places(store, partition)
            #expect(places.values == expected && places.tail.pageCount <= 1)
            #expect(places.journalCount + places.tail.entryCount == expected.count + 1)
            #expect([0, tailCount + 1].contains(places.tail.entryCount))
            tailCount = places.tail.entryCount
        } while tailCount > 0
        #expect(expected.count > 18)
    }

    @Test func whatIsMissingInTheTailIsFound() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for _ in 0..<3 { _ = try store.append(makeBatch([[1]]), to: partition) }
        let copy = directory.subdirectory("copy")
        try store.backup(to: copy)
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [])
        try damage(copy) { transaction, databases throws(LMDBError) in
            if let tail = databases.tail { try transaction.delete(3 as UInt64, in: tail) }
        }
        #expect {
            try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36)
        } throws: {
            "\($0)".contains("journal entry 3 is missing, 4 follows")
        }
    }
}
