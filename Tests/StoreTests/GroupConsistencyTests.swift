import Dispatch
import Foundation
import KafkaProtocol
import LMDB
import Synchronization
import Testing

@testable import Store

/// What others see of groups while they change: one commit's state, whole, never an older one than before.
@Suite struct GroupConsistencyTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Number n sets every record to n, but for those that it deletes: which ones, n says.
    private static func state(_ number: Int) -> [GroupRecord] {
        (0..<4).map { key in
            let isDeleted = number % 5 == 0 || key > 0 && number >> key & 1 == 0
            return GroupRecord(key: [UInt8(key)], value: isDeleted ? nil : withUnsafeBytes(of: number) { Array($0) })
        }
    }

    /// Records are put together from what is published and what a snapshot shows while rows are written and deleted in every
    /// commit: nothing is missing, nothing comes back, nothing is of two commits.
    @Test(arguments: 1...UInt64(3))
    func recordsAreThoseOfOneCommitWhileTheJournalIsTrimmed(seed: UInt64) throws {
        var options = smallOptions()
        options.journalOperationsMax = [4, 12, 40][Int(seed - 1)]
        let store = try Store.open(directory: directory.path, options: options)
        let acknowledged = Mutex(0)
        let isDone = Mutex(false)
        let looks = Mutex(0)
        let readers = DispatchGroup()
        for _ in 0..<2 {
            // Threads of their own: those of the global queue may all be waiting for commits of other tests.
            readers.enter()
            Thread.detachNewThread {
                defer { readers.leave() }
                var newest = 0
                do {
                    while !isDone.withLock({ $0 }) {
                        let before = acknowledged.withLock { $0 }
                        let found = try store.groupRecords(of: "g")
                        let after = acknowledged.withLock { $0 }
                        looks.withLock { $0 += 1 }
                        // The commit before the last acknowledged one and after the next: which of them is it?
                        let candidates = (max(before, newest)...(after + 1)).filter { number in
                            number == 0 ? found.isEmpty : Self.state(number).filter { $0.value != nil } == found
                        }
                        guard let number = candidates.first else {
                            Issue.record("after \(before), before \(after + 1), at least \(newest): \(found)")
                            return
                        }
                        newest = number
                    }
                } catch { Issue.record(error) }
            }
        }
        let end = monotonicNs() + 30_000_000_000
        var number = 0
        while number < 600 || looks.withLock({ $0 }) < 500, monotonicNs() < end {
            number += 1
            #expect(try store.change([GroupChange(groupID: "g", records: Self.state(number))]) == nil)
            acknowledged.withLock { $0 = number }
        }
        isDone.withLock { $0 = true }
        readers.wait()
        #expect(looks.withLock { $0 } >= 500)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// A group commits only what it has read, and for two partitions of two groups the same in one step: so it is in every copy.
    @Test(arguments: 1...UInt64(2))
    func offsetsInACopyAgreeWithItsRecords(seed: UInt64) throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: tinyJournalOptions())
        let topic = try store.makeTopic("t", partitions: 2)
        let acknowledged = Mutex<Int64>(0)
        let isDone = Mutex(false)
        let load = DispatchGroup()
        load.enter()
        Thread.detachNewThread {
            defer { load.leave() }
            do {
                var random = Seeded(seed)
                while !isDone.withLock({ $0 }) {
                    let batch = try makeBatch([[UInt8](repeating: 1, count: Int.random(in: 1...90_000, using: &random))])
                    _ = try store.append(topic.partitions.map { try makeAppend($0, batch) })
                }
            } catch { Issue.record(error) }
        }
        load.enter()
        Thread.detachNewThread {
            defer { load.leave() }
            do {
                while !isDone.withLock({ $0 }) {
                    let end = topic.partitions[1].highWatermark
                    let offsets = (0..<2).map { (key: topic.key($0), value: CommittedOffset?.some(CommittedOffset(offset: end, commitTimeMs: 1))) }
                    let record = GroupRecord(key: [1], value: withUnsafeBytes(of: end) { Array($0) })
                    #expect(
                        try store.change([
                            GroupChange(groupID: "a", records: [record], offsets: offsets), GroupChange(groupID: "b", offsets: offsets),
                        ]) == nil)
                    acknowledged.withLock { $0 = end }
                }
            } catch { Issue.record(error) }
        }
        var copies: [(path: String, least: Int64)] = []
        for number in 0..<6 {
            let target = acknowledged.withLock { $0 } + 7
            let end = monotonicNs() + 20_000_000_000
            while acknowledged.withLock({ $0 }) < target, monotonicNs() < end { sched_yield() }
            let least = acknowledged.withLock { $0 }
            let path = directory.subdirectory("copy-\(number)")
            try store.backup(to: path, compacting: number % 2 == 1)
            copies.append((path, least))
        }
        isDone.withLock { $0 = true }
        load.wait()
        for copy in copies {
            let report = try StoreVerifier.verify(directory: copy.path, mapByteCount: 1 << 36)
            #expect(report.problems == [] && report.groupCount == 2 && report.offsetCount == 4 && report.groupRecordCount == 1)
            let opened = try Store.open(directory: copy.path, options: smallOptions())
            let offset = try #require(opened.committedOffset("a", topic.key())).offset
            #expect(offset >= copy.least, "what was acknowledged before the copy began is in it")
            let partition = try #require(opened.topic(named: "t")).partitions[1]
            #expect(offset <= partition.highWatermark, "nobody has committed more than there is")
            for group in ["a", "b"] {
                #expect(opened.committedOffsets(of: group).mapValues(\.offset) == [topic.key(0): offset, topic.key(1): offset])
            }
            #expect(try opened.groupRecords(of: "a").first?.value == withUnsafeBytes(of: offset) { Array($0) })
        }
    }

    // MARK: - Stores of older formats

    /// A store as a broker of an older format has left it: topics and records, in format 1 no database of groups, in 2 none of
    /// transactions, in 4 none of the journal's newest entries.
    private func makeOldStore(format: Int32) throws -> String {
        let (path, _) = try closedStore(directory, "made") { store, partition in
            for size in [1, 3_000, 90_000] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: size)]), to: partition) }
        }
        let old = directory.subdirectory("old")
        try FileManager.default.createDirectory(atPath: old, withIntermediateDirectories: true)
        let source = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
        let target = try Environment(path: old, options: .init(mapByteCount: 1 << 36))
        let snapshot = try source.snapshot()
        var transaction = try target.begin()
        for name in ["meta", "journal", "log", "times", "partitions", "topics", "producers"] + (format > 1 ? ["groups", "offsets"] : [])
            + (format > 2 ? ["transactions", "aborted"] : [])
        {
            let order: KeyOrder = name == "journal" ? .integers : .bytes
            let from = try snapshot.database(name, order)
            let to = try transaction.database(name, order)
            var cursor = try snapshot.cursor(in: from)
            while try cursor.move(.next) {
                try transaction.put(cursor.key.withUnsafeBytes { Array($0) }, cursor.value.withUnsafeBytes { Array($0) }, in: to)
            }
        }
        var identity = IdentityRow()
        identity.storeFormat = format
        identity.clusterID = "old"
        identity.storeID = .random()
        try transaction.put("identity", identity.encoded(), in: transaction.database("meta"))
        try transaction.commit()
        return old
    }

    private func format(_ path: String) throws -> Int32 {
        let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
        let snapshot = try environment.snapshot()
        let image = try StoreImage(snapshot, Databases(existingIn: snapshot))
        return image.identity.storeFormat
    }

    @Test(arguments: [1, 2, 3, 4] as [Int32])
    func aStoreOfAnOlderFormatIsReadAsItIs(old: Int32) throws {
        let path = try makeOldStore(format: old)
        let copy = directory.subdirectory("copy")
        let report = try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36)
        #expect(report.problems == [] && report.recordCount == 3 && report.groupCount == 0)
        try Store.backup(of: path, to: copy)
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [])
        #expect(try format(path) == old)
        #expect(try format(copy) == old)
    }

    @Test(arguments: [1, 2, 3, 4] as [Int32])
    func aStoreOfAnOlderFormatIsRaisedWhenItIsOpened(old: Int32) throws {
        let path = try makeOldStore(format: old)
        let events = Mutex<[String]>([])
        var options = smallOptions()
        options.onEvent = { event in events.withLock { $0.append(event.message) } }
        let store = try Store.open(directory: path, options: options)
        #expect(events.withLock { $0 }.contains { $0.contains("of format \(old) and is now of format \(Databases.format)") })
        let topic = try #require(store.topic(named: "t"))
        #expect(try store.values(of: topic.partitions[0]).count == 3)
        try store.commit("g", [topic.key(): 2])
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: topic.partitions[0], of: store)
        try producer.end(false, in: store)
        store.close()
        #expect(try format(path) == Databases.format)
        events.withLock { $0 = [] }
        let again = try Store.open(directory: path, options: options)
        #expect(again.committedOffset("g", topic.key())?.offset == 2)
        #expect(again.clusterID == "old")
        #expect(events.withLock { $0 } == [])
    }

    /// Nobody takes a store for an old one because its groups, its transactions or the end of its journal were lost.
    @Test(arguments: [1, 2, 4] as [Int32])
    func aStoreWithoutItsDatabasesIsDamaged(old: Int32) throws {
        let path = try makeOldStore(format: old)
        try {
            let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
            try environment.write { (transaction) throws(LMDBError) in
                let meta = try transaction.database("meta")
                try transaction.put("identity", IdentityRow().encoded(), in: meta)
            }
        }()
        let missing = [1: "groups", 2: "transactions", 4: "tail"][old] ?? ""
        func complains(_ error: any Error) -> Bool { "\(error)".contains("has no database '\(missing)'") }
        #expect { try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36) } throws: { complains($0) }
        #expect { try Store.open(directory: path, options: smallOptions()) } throws: { complains($0) }
    }
}
