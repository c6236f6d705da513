import Glibc
import KafkaProtocol
import Testing

@testable import Store

/// Records whose producer gave them no time (−1): no search finds them by one, and retention keeps them from their append on.
@Suite struct TimelessRecordsTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func batch(_ size: Int, key: [UInt8]? = nil, time: Int64 = -1) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        builder.append(key: key, value: [UInt8](repeating: 1, count: size), timestamp: time)
        return try builder.finish(codec: .none)
    }

    private func end(_ store: Store, before time: Int64, isCompacted: Bool = false) throws -> Int64 {
        let partition = try #require(store.topic(named: "t")).partitions[0]
        return try store.withReader { reader throws(StoreError) in
            try reader.expiredEnd(of: partition, before: time, isCompacted: isCompacted)
        }
    }

    /// In the journal, sealed, as an extent of its own, after a restart, and after the journal was replayed.
    @Test(arguments: [10, 100_000])
    func theyAreKeptFromTheirAppendOn(size: Int) throws {
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        // Behind a batch that stays in the journal, one of its own extent is no sealed one.
        _ = try store.append(batch(10), to: partition)
        let begun = wallClockMs()
        _ = try store.append(batch(size), to: partition)
        let ended = wallClockMs()
        func check(_ store: Store, _ place: Comment) throws {
            #expect(try end(store, before: begun) < 2, place)
            #expect(try end(store, before: ended + 1) == 2, place)
        }
        try check(store, "journal")
        let copy = directory.subdirectory("killed")
        try store.backup(to: copy)
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [])
        // A replay that took the time at which it is made is to be seen.
        while wallClockMs() <= ended { sched_yield() }
        let killed = try Store.open(directory: copy, options: smallOptions())
        try check(killed, "replayed")
        killed.close()
        guard case .done = try store.administer(.seal(partition: partition.id)) else { throw TestFailure("nothing was sealed") }
        try check(store, "sealed")
        store.close()
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
        store = try Store.open(directory: path, options: smallOptions())
        try check(store, "restarted")
        store.close()
    }

    @Test(arguments: [10, 100_000])
    func searchesPassThemOver(size: Int) throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        func find(_ time: Int64) throws -> Int64? {
            try store.withReader { reader throws(StoreError) in try reader.offset(in: partition, atOrAfter: time)?.offset }
        }
        _ = try store.append(batch(size), to: partition)
        #expect(try find(0) == nil)
        _ = try store.append(batch(size, time: 500), to: partition)
        _ = try store.append(batch(size), to: partition)
        for isSealed in [false, true] {
            if isSealed { _ = try store.administer(.seal(partition: partition.id)) }
            #expect(try find(0) == 1)
            #expect(try find(501) == nil)
            let latest = try store.withReader { reader throws(StoreError) in try reader.maxTimestamp(in: partition) }
            #expect(latest == TimestampedOffset(timestamp: 500, offset: 1, leaderEpoch: 0))
        }
        store.close()
    }

    /// What stands in the place of an extent is as old as that.
    @Test(arguments: [10, 100_000])
    func compactionHandsTheirAgeOn(size: Int) throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t", configs: ["cleanup.policy": "compact,delete"]).partitions[0]
        let begun = wallClockMs()
        for key: UInt8 in [1, 2, 1, 3] { _ = try store.append(batch(size, key: [key]), to: partition) }
        let ended = wallClockMs()
        _ = try store.administer(.seal(partition: partition.id))
        let report = try store.clean(partition, TopicSettings(), keyMapByteCountMax: 1 << 20, nowMs: ended, where: { _ in true })
        #expect(report?.droppedCount == 1)
        #expect(try store.records(of: partition).map(\.offset) == [1, 2, 3])
        #expect(try end(store, before: begun, isCompacted: true) == 0)
        #expect(try end(store, before: ended + 1, isCompacted: true) == 4)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func compactionWaitsForTheirAgeToo() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t", configs: ["cleanup.policy": "compact"]).partitions[0]
        for _ in 0..<2 { _ = try store.append(batch(10, key: [1]), to: partition) }
        let ended = wallClockMs()
        _ = try store.administer(.seal(partition: partition.id))
        var settings = TopicSettings()
        settings.minCompactionLagMs = 60_000
        func plan(_ now: Int64) throws -> CleaningPlan? {
            try store.withReader { reader throws(StoreError) in try reader.cleaningPlan(of: partition, settings, now: now) }
        }
        #expect(try plan(ended)?.end == 0)
        #expect(try plan(ended + 60_000)?.end == 2)
        settings = TopicSettings()
        settings.maxCompactionLagMs = 60_000
        for (now, isOverdue) in [(ended, false), (ended + 60_001, true)] {
            let plan = try #require(try plan(now))
            #expect(plan.isOverdue(settings, now: now) == isOverdue)
        }
        store.close()
    }

    @Test func anExtentsTimeIsTheSameWhenItIsReadAgain() {
        for (batches, stored, kept) in [
            ([], -1, -1), ([(-1, -1)], -1, -1), ([(700, 700), (-1, 9_000)], 700, 700), ([(-1, 9_000), (-5, 8_000)], -9_000, 9_000),
            ([(-1, .max)], -Int64.max, .max), ([(.max, .max)], .max, .max), ([(0, 0)], 0, 0),
        ] as [([(Int64, Int64)], Int64, Int64)] {
            var time = ExtentTime()
            for batch in batches { time.add(batch.0, keptBy: batch.1) }
            #expect(time.stored == stored)
            #expect(time.kept == kept)
            #expect(ExtentTime(stored: stored).own == time.own)
            #expect(ExtentTime(stored: stored).kept == kept)
        }
        #expect(ExtentTime(stored: .min).kept == .max)
    }
}
