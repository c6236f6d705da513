import Dispatch
import Foundation
import KafkaProtocol
import LMDB
import Synchronization
import Testing

@testable import Store

@Suite struct TransactionTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func number(_ value: [UInt8]?) -> Int? { value.flatMap { Int(String(decoding: $0, as: UTF8.self)) } }

    /// Copies made at any moment while transactions end: each holds all of an end or nothing, in all partitions and in the offsets.
    /// `partitionCount`: with many, an end takes several journal entries.
    @Test(arguments: [(3, 60), (2_500, 6)])
    func aCopyHoldsAllOfAnEndOrNothing(partitionCount: Int, transactionCount: Int) throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        let topic = try store.makeTopic("t", partitions: partitionCount)
        let producer = TestProducer("a", producerID: 7)
        let isDone = Mutex(false)
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            defer { isDone.withLock { $0 = true } }
            do {
                for number in 1...transactionCount {
                    producer.isOpen = true
                    producer.partitions = topic.partitions.map(\.id)
                    producer.groupIDs = ["g"]
                    #expect(try store.step(producer.change) == nil)
                    let value = Array("\(number)".utf8)
                    let results = try store.append(topic.partitions.map { try makeAppend($0, producer.batch([value], for: $0)) })
                    #expect(results.allSatisfy { $0.errorCode == .none })
                    let offsets = topic.partitions.map { (topic.key($0.index), Int64(number)) }
                    try producer.sendOffsets("g", Dictionary(offsets, uniquingKeysWith: { $1 }), to: store)
                    try producer.end(number % 3 != 0, in: store)
                }
            } catch { Issue.record(error) }
        }
        var copies: [String] = []
        while !isDone.withLock({ $0 }), copies.count < 40 {
            copies.append(directory.subdirectory("copy-\(copies.count)"))
            try store.backup(to: copies[copies.count - 1])
        }
        group.wait()
        store.close()
        for path in copies + [directory.subdirectory("live")] {
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
            let copy = try Store.open(directory: path, options: smallOptions())
            guard let topic = copy.topic(named: "t") else { continue }
            var lasts: Set<Int?> = []
            for partition in topic.partitions {
                let values = try copy.committedValues(of: partition).sorted { $0.key < $1.key }.map { number($0.value) ?? -1 }
                let last = values.last ?? 0
                #expect(values == (1...max(last, 1)).filter { $0 % 3 != 0 && last > 0 })
                lasts.insert(last)
                lasts.insert(Int(copy.committedOffset("g", topic.key(partition.index))?.offset ?? 0))
                if lasts.count > 1 { break }
            }
            #expect(lasts.count == 1, "\(path): \(lasts)")
        }
    }

    /// A read that begins in the middle knows of what was aborted around it, and one that ends early of no more.
    @Test func eachFetchIsToldOfTheAbortsItReaches() throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let long = TestProducer("long", producerID: 1)
        let short = TestProducer("short", producerID: 2)
        try long.send([[1]], to: partition, of: store)  // 0
        for number in 0..<3 {
            try short.send([[UInt8(10 + number)]], to: partition, of: store)  // 1, 3, 5
            try short.end(false, in: store)  // 2, 4, 6
        }
        try long.send([[2]], to: partition, of: store)  // 7
        #expect(partition.lastStableOffset == 0)
        try long.end(false, in: store)  // 8
        #expect(partition.lastStableOffset == 9)
        func aborted(_ from: Int64, _ end: Int64) throws -> [Int64] {
            try store.withReader { reader throws(StoreError) in try reader.abortedTransactions(in: partition, from: from, below: end) }
                .map(\.firstOffset)
        }
        #expect(try aborted(0, 9) == [1, 3, 5, 0])
        #expect(try aborted(0, 1) == [0])
        #expect(try aborted(3, 4) == [3, 0])
        #expect(try aborted(7, 9) == [0])
        #expect(try aborted(0, 4) == [1, 3, 0])
        #expect(try store.committedValues(of: partition, maxBytes: 1) == [:])
    }

    /// Deleting past the start of an open transaction leaves nothing of it to wait for below the log start.
    @Test func theLogStartMayPassAnOpenTransaction() throws {
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: smallOptions())
        var partition = try store.makeTopic("t").partitions[0]
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1], [2], [3]], to: partition, of: store)
        _ = try store.append(makeBatch([[4]]), to: partition)
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 2))
        #expect(partition.lastStableOffset == 2)
        #expect(try store.committedValues(of: partition) == [:])
        _ = try store.administer(.moveLogStart(partition: partition.id, to: -1))
        #expect(partition.lastStableOffset == 4)
        _ = try store.append(makeBatch([[5]]), to: partition)
        #expect(partition.lastStableOffset == 4, "what follows still waits for the end")
        store.close()
        store = try Store.open(directory: path, options: smallOptions())
        partition = try #require(store.topic(named: "t")).partitions[0]
        #expect(partition.lastStableOffset == 4)
        try producer.end(false, in: store)
        #expect(partition.lastStableOffset == 6)
        #expect(try store.committedValues(of: partition) == [4: [5]])
        store.close()
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
    }

    /// The index of aborted transactions shrinks with the log, in steps of bounded size, and goes with its topic.
    @Test(arguments: [false, true])
    func theIndexGoesWithTheLog(deletingTheTopic: Bool) throws {
        let path = directory.subdirectory("live")
        let store = try Store.open(directory: path, options: tinyJournalOptions())
        let topic = try store.makeTopic("t")
        let partition = topic.partitions[0]
        let producer = TestProducer("a", producerID: 7)
        for _ in 0..<300 {
            try producer.send([[1]], to: partition, of: store)
            try producer.end(false, in: store)
        }
        try producer.send([[2]], to: partition, of: store)
        if deletingTheTopic {
            _ = try store.administer(.deleteTopic(id: topic.id))
        } else {
            _ = try store.administer(.moveLogStart(partition: partition.id, to: 591))
            #expect(try store.committedValues(of: partition) == [:])
            let left = try store.withReader { reader throws(StoreError) in
                try reader.abortedTransactions(in: partition, from: 591, below: 600)
            }
            #expect(left.count == 5)
        }
        let end = monotonicNs() + 30_000_000_000
        while try store.abortedCount() != (deletingTheTopic ? 0 : 5), monotonicNs() < end { sched_yield() }
        #expect(try store.abortedCount() == (deletingTheTopic ? 0 : 5))
        // An end in a topic that is gone is an end all the same.
        try producer.end(true, in: store)
        store.close()
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
    }

    /// However long a transaction is open, its producer is remembered, and its end found.
    @Test func aProducerWithAnOpenTransactionDoesNotExpire() throws {
        var options = tinyJournalOptions()
        options.producerExpirationMs = 1
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: options)
        var partition = try store.makeTopic("t").partitions[0]
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: partition, of: store)
        _ = try store.append(makeBatch([[3]], producerID: 9, epoch: 0, sequence: 0), to: partition)
        for _ in 0..<2 {
            for _ in 0..<100 { _ = try store.append(makeBatch([[2]]), to: partition) }
            let end = monotonicNs() + 5_000_000
            while monotonicNs() < end { sched_yield() }
            #expect(try store.describeProducers(partition).map(\.producerID) == [7])
            store.close()
            store = try Store.open(directory: path, options: options)
            partition = try #require(store.topic(named: "t")).partitions[0]
            #expect(partition.lastStableOffset == 0)
        }
        try producer.end(true, in: store)
        #expect(partition.lastStableOffset == partition.highWatermark)
    }

    /// A commit that meets the end of the map takes an end with it, and the transaction is as open as before.
    @Test func aCommitThatFailsForWantOfRoomEndsNothing() throws {
        var options = tinyJournalOptions()
        options.mapByteCount = 8 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 2)
        let partition = topic.partitions[0]
        let producer = TestProducer("a", producerID: 7)
        for number in 0..<40 {
            try producer.send([[UInt8(number)]], to: partition, of: store)
            try producer.end(number % 2 == 0, in: store)
        }
        try producer.send([[77]], to: partition, of: store)
        try producer.sendOffsets("g", [topic.key(): 5], to: store)
        let before = producer.state
        let seen = try store.committedValues(of: partition)
        let stable = partition.lastStableOffset
        let ending = TransactionChange(
            transactionalID: "a", state: TransactionState(producerID: 8, producerEpoch: 0),
            end: TransactionEnd(producerID: 7, producerEpoch: 90, isCommit: false, partitions: producer.partitions, groupIDs: ["g"]))
        let outcomes = Outcomes(3)
        store.submit([
            .transactions([ending], lane: WaitingLane()) { outcomes.add($0 == nil ? "done" : "failure") },
            .append([try makeAppend(topic.partitions[1], makeBatch([[1]]))], lane: WaitingLane()) { outcomes.add($0[0].errorCode == .none ? "done" : "failure") },
            .beyondTheMap(partition) { outcomes.add($0 == nil ? "done" : "failure") },
        ])
        #expect(try outcomes.all() == ["failure", "failure", "failure"])
        #expect(store.transaction("a") == before)
        #expect(store.pendingOffsets(of: "g").contains(topic.key()))
        #expect(partition.lastStableOffset == stable)
        #expect(try store.committedValues(of: partition) == seen)
        let batch = try producer.batch([[78]], for: partition)
        #expect(try store.append(batch, to: partition).errorCode == .none, "the gate is as it was")
        try producer.end(true, in: store)
        #expect(store.committedOffset("g", topic.key())?.offset == 5)
        #expect(try store.committedValues(of: partition).count == seen.count + 2)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// Ends are taken also when records are not: they are what a reader waits for.
    @Test func aFullStoreStillEndsTransactions() throws {
        var options = smallOptions()
        options.maxBytes = 12 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 2)
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[1]], to: topic.partitions[0], of: store)
        let batch = try makeBatch([[UInt8](repeating: 1, count: 30_000)])
        while try store.append(batch, to: topic.partitions[1]).errorCode == .none {}
        try producer.end(true, in: store)
        #expect(try store.committedValues(of: topic.partitions[0]) == [0: [1]])
        // The next one meets the limit too, as soon as it has used what trimming the journal made free; it ends all the same.
        try producer.add(topic.partitions[0], to: store)
        let large = [UInt8](repeating: 2, count: 30_000)
        while try store.append(producer.batch([large], for: topic.partitions[0]), to: topic.partitions[0]).errorCode == .none {}
        try producer.end(false, in: store)
        #expect(try store.committedValues(of: topic.partitions[0]) == [0: [1]])
    }

    /// A transactional id that is let go of, or gets another producer id, leaves nothing behind that nobody could end.
    @Test func whatWasPendingGoesWithItsProducer() throws {
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: tinyJournalOptions())
        let topic = try store.makeTopic("t")
        let gone = TestProducer("gone", producerID: 1)
        let renewed = TestProducer("renewed", producerID: 2)
        for producer in [gone, renewed] { try producer.sendOffsets("g", [topic.key(): 5], to: store) }
        // The journal turns meanwhile: what is pending has rows now.
        for _ in 0..<60 { _ = try store.append(makeBatch([[2]]), to: topic.partitions[0]) }
        #expect(try store.step(TransactionChange(transactionalID: "gone", state: nil)) == nil)
        #expect(store.pendingOffsets(of: "g").contains(topic.key()), "one of two is pending still")
        #expect(store.hasPendingOffsets(of: "g") && !store.hasPendingOffsets(of: "h"))
        let other = TransactionState(producerID: 3, producerEpoch: 0)
        #expect(try store.step(TransactionChange(transactionalID: "renewed", state: other)) == nil)
        #expect(!store.pendingOffsets(of: "g").contains(topic.key()) && !store.hasPendingOffsets(of: "g"))
        store.close()
        store = try Store.open(directory: path, options: tinyJournalOptions())
        #expect(!store.pendingOffsets(of: "g").contains(topic.key()))
        #expect(store.transactions().map(\.transactionalID) == ["renewed"])
        #expect(store.transaction("renewed") == other)
        store.close()
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
    }
}

extension Store {
    /// Entries of the index of aborted transactions on disk.
    func abortedCount() throws -> Int {
        try withReader { reader throws(StoreError) in
            try lmdb("counting") { () throws(LMDBError) in
                guard let database = reader.databases.transactions?.aborted else { return 0 }
                return try reader.snapshot.statistics(of: database).entryCount
            }
        }
    }
}
