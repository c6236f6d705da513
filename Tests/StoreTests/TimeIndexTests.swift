import KafkaProtocol
import LMDB
import Testing

@testable import Store

@Suite struct TimeIndexTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func offset(_ store: Store, _ partition: Partition, _ timestamp: Int64) throws -> Int64? {
        try store.withReader { reader throws(StoreError) in try reader.offset(in: partition, atOrAfter: timestamp)?.offset }
    }

    private func latest(_ store: Store, _ partition: Partition) throws -> TimestampedOffset? {
        try store.withReader { reader throws(StoreError) in try reader.maxTimestamp(in: partition) }
    }

    private func times(_ times: [Int64], size: Int = 10, codec: CompressionCodec = .none) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        for time in times { builder.append(key: nil, value: [UInt8](repeating: 1, count: size), timestamp: time) }
        return try builder.finish(codec: codec)
    }

    /// Random batches, small and large, compressed or not, with times out of order: every lookup is held against a walk over
    /// all records, in the journal, in extents, and after a restart.
    @Test(arguments: 1...UInt64(8))
    func lookupsAreWhatAWalkFinds(seed: UInt64) throws {
        var random = Seeded(seed)
        var records: [Int64] = []
        var start: Int64 = 0
        func check(_ store: Store) throws {
            let partition = try #require(store.topic(named: "t")).partitions[0]
            let kept = records.enumerated().filter { Int64($0.offset) >= start }
            for timestamp in (0..<40).map({ _ in Int64.random(in: -2...1_050, using: &random) }) + [-1, 0, 1_000] {
                let expected = kept.first { $0.element >= timestamp }.map { Int64($0.offset) }
                #expect(try offset(store, partition, timestamp) == expected, "seed \(seed), time \(timestamp)")
            }
            let greatest = kept.map(\.element).max()
            let found = try latest(store, partition)
            #expect(found?.timestamp == greatest, "seed \(seed), start \(start)")
            #expect(found?.offset == kept.first { $0.element == greatest }.map { Int64($0.offset) })
        }
        for round in 0..<3 {
            let store = try Store.open(directory: directory.path, options: smallOptions())
            if round == 0 { _ = try store.makeTopic("t") }
            let partition = try #require(store.topic(named: "t")).partitions[0]
            try check(store)
            for _ in 0..<25 {
                let batch = (0..<Int.random(in: 1...5, using: &random)).map { _ in Int64.random(in: 0...1_000, using: &random) }
                let size = [10, 20_000, 70_000, 300_000].randomElement(using: &random) ?? 10
                #expect(
                    try store.append(
                        times(batch, size: size / batch.count, codec: Bool.random(using: &random) ? .lz4 : .none), to: partition
                    ).errorCode == .none)
                records += batch
            }
            try check(store)
            start = Int64.random(in: start...Int64(records.count - 1), using: &random)
            _ = try store.administer(.moveLogStart(partition: partition.id, to: start))
            try check(store)
            store.close()
        }
    }

    /// An extent whose record of that time is let go of says nothing of those behind it: they are looked up, not read.
    @Test func aTimeBehindTheLogStartIsLookedUp() throws {
        var store = try Store.open(directory: directory.path, options: smallOptions())
        var partition = try store.makeTopic("t").partitions[0]
        for batch in [[900, 1], [2, 3], [4, 700], [5, 6]] as [[Int64]] {
            #expect(try store.append(times(batch, size: 150_000), to: partition).errorCode == .none)
        }
        let id = partition.id
        _ = try store.administer(.moveLogStart(partition: id, to: 1))
        store.close()
        // Whoever reads it, finds it broken.
        try damage(directory.path) { transaction, databases throws(LMDBError) in
            let wrong = [UInt8](repeating: 7, count: 100)
            try transaction.put(LogKey(id, 2), wrong, in: databases.log)
        }
        store = try Store.open(directory: directory.path, options: smallOptions())
        partition = try #require(store.topic(named: "t")).partitions[0]
        #expect(try offset(store, partition, 800) == nil)
        #expect(try offset(store, partition, 500) == 5)
        #expect(try offset(store, partition, 1) == 1)
        store.close()
    }

    /// What comes compressed is not looked into when it is produced, and its header may lie.
    @Test func whatMayNotOrCannotBeOpenedIsBelieved() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let lying = try times([10], codec: .zstd)
        var broken = try times([20], codec: .gzip)
        broken[61] = 0
        for (batch, time) in [(lying, 900), (broken, 950)] as [([UInt8], Int64)] {
            var batch = batch
            batch.withUnsafeMutableBytes { RecordBatchHeader.patch($0, maxTimestamp: time) }
            #expect(try store.append(batch, to: partition).errorCode == .none)
        }
        func search(_ time: Int64?, opening bytes: Int) throws -> (found: TimestampedOffset?, left: Int) {
            try store.withReader { reader throws(StoreError) in
                var left = bytes
                let found =
                    if let time { try reader.offset(in: partition, atOrAfter: time, openableBytes: &left) } else {
                        try reader.maxTimestamp(in: partition, openableBytes: &left)
                    }
                return (found, left)
            }
        }
        let told = [900, 950].enumerated().map { TimestampedOffset(timestamp: $1, offset: Int64($0), leaderEpoch: 0) }
        let opened = try search(500, opening: 1 << 20)
        #expect(opened.found == told[0], "there is no such record, and no other batch is read for it")
        #expect((1..<100).contains((1 << 20) - opened.left))
        #expect(try search(500, opening: 0).found == told[0])
        let failed = try search(901, opening: 1 << 20)
        #expect(failed.found == told[1])
        #expect(failed.left == 0, "what fails has cost as much as it may")
        #expect(try search(nil, opening: 1 << 20).found == told[1])
        #expect(try search(5, opening: 1 << 30).found == TimestampedOffset(timestamp: 10, offset: 0, leaderEpoch: 0))
        store.close()
    }

    @Test func theTimeOfTheAppendIsTheBatchs() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for time: Int64 in [500, 700] {
            var batch = try times([1, 2, 3])
            batch.withUnsafeMutableBytes { RecordBatchHeader.patch($0, logAppendTime: time) }
            #expect(try store.append(batch, to: partition).logAppendTimeMs == time)
        }
        #expect(try offset(store, partition, 3) == 0)
        #expect(try offset(store, partition, 501) == 3)
        #expect(try offset(store, partition, 701) == nil)
        #expect(try latest(store, partition) == TimestampedOffset(timestamp: 700, offset: 3, leaderEpoch: 0))
    }

    @Test func expiredRecordsEndBeforeTheFirstThatIsNot() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for time: Int64 in [10, 20, 90, 30, 40] { _ = try store.append(times([time], size: 100_000), to: partition) }
        for time: Int64 in [50, 95, 60] { _ = try store.append(times([time]), to: partition) }
        func end(_ timestamp: Int64) throws -> Int64 {
            try store.withReader { reader throws(StoreError) in try reader.expiredEnd(of: partition, before: timestamp, isCompacted: false) }
        }
        #expect(try end(10) == 0)
        #expect(try end(15) == 1)
        #expect(try end(50) == 2, "a later one keeps those behind it")
        #expect(try end(91) == 6)
        #expect(try end(96) == 8)
    }

    @Test func sizeRetentionCountsNothingTwice() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let batch = try times([1], size: 100_000)
        // More extents than one commit deletes.
        for _ in 0..<40 { _ = try store.append((0..<5).map { _ in try makeAppend(partition, batch) }) }
        func end(_ bytes: Int) throws -> Int64 {
            try store.withReader { reader throws(StoreError) in try reader.oversizeEnd(of: partition, keeping: bytes) }
        }
        #expect(try end(200 * batch.count) == 0)
        #expect(try end(199 * batch.count) == 1)
        #expect(try end(0) >= 199)
        let first = try end(50 * batch.count)
        #expect(first == 150)
        _ = try store.administer(.moveLogStart(partition: partition.id, to: first))
        // What waits for its deletion is no reason to let go of more.
        #expect(try end(50 * batch.count) == first)
    }
    /// A batch that waits in the journal to be sealed may do so for as long as what comes behind it does not.
    @Test func sizeRetentionIsNotHeldUpByWhatIsUnsealed() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let small = try times([1])
        let large = try times([1], size: 100_000)
        for batch in [small, large, large, small, small, large, large] { _ = try store.append(batch, to: partition) }
        func end(keeping bytes: Int) throws -> Int64 {
            try store.withReader { reader throws(StoreError) in try reader.oversizeEnd(of: partition, keeping: bytes) }
        }
        let all = 4 * large.count + 3 * small.count
        #expect(try end(keeping: all) == 0)
        #expect(try end(keeping: all - small.count) == 1)
        #expect(try end(keeping: all - large.count) == 1)
        #expect(try end(keeping: 2 * large.count + 2 * small.count) == 3)
        #expect(try end(keeping: 2 * large.count) == 5)
        #expect(try end(keeping: 1) == 6)
        #expect(try end(keeping: 0) == 7)
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 4))
        #expect(try end(keeping: 2 * large.count + small.count) == 4, "what is let go of already does not count")
        #expect(try end(keeping: 2 * large.count) == 5)
        #expect(try end(keeping: large.count) == 6)
        // What goes makes room, whatever still waits to be sealed.
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 6))
        for _ in 0..<4 { _ = try store.append(small, to: partition) }
        #expect(store.statistics().deletedExtentCount == 3)
        #expect(try store.values(of: partition).keys.min() == 6)
    }
}
