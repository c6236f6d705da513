import KafkaProtocol
import Testing

@testable import Store

/// What compaction must leave alone.
@Suite struct CleaningTests {
    private let directory: TemporaryDirectory
    private let store: Store
    private let partition: Partition

    init() throws {
        directory = try TemporaryDirectory()
        store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        partition = try store.makeTopic("t", configs: ["cleanup.policy": "compact"]).partitions[0]
    }

    @Test func aBatchOlderThanNumbersCanSayIsOverdue() {
        var plan = CleaningPlan(logStart: 0, cleanedEnd: 0, end: 1, dirtyByteCount: 1, dueMs: -1)
        var settings = TopicSettings()
        settings.maxCompactionLagMs = 1_000
        let now: Int64 = 1_800_000_000_000
        for (time, isOverdue) in [(Int64.min, true), (now - 1_001, true), (now - 1_000, false), (now + 1, false), (.max, false)] {
            plan.firstDirtyTime = time
            #expect(plan.isOverdue(settings, now: now) == isOverdue, "\(time)")
        }
    }

    /// The log begins in the middle of an extent in which a transaction is open: a pass over what is in front of that must not take out
    /// what was aborted behind it, or readers of committed records would find nothing up to the last stable offset.
    @Test func anExtentWithAnOpenTransactionIsLeftAlone() throws {
        let aborting = TestProducer("a", producerID: 7)
        let open = TestProducer("b", producerID: 8)
        try aborting.send([[1], [1]], to: partition, of: store)
        _ = try store.append(try makeBatch([[2]]), to: partition)
        try aborting.send([[3], [3]], to: partition, of: store)
        try open.send([[4]], to: partition, of: store)
        try aborting.end(false, in: store)
        guard case .done = try store.administer(.seal(partition: partition.id)),
            case .logStart(1) = try store.administer(.moveLogStart(partition: partition.id, to: 1))
        else { throw TestFailure("the log was not prepared") }
        #expect(partition.lastStableOffset == 5)

        let report = try store.clean(
            partition, TopicSettings(), keyMapByteCountMax: 1 << 20, nowMs: 1_000_000, where: { _ in true })
        #expect(report?.cleanedEnd == 1)
        #expect(report?.replacementCount == 0)
        #expect(try store.committedRecords(of: partition, maxBytes: 1).map(\.offset) == [2])
        #expect(try store.records(of: partition, maxBytes: 1).map(\.offset) == [1, 2, 3, 4, 5])
        store.close()
    }

    /// Compressed batches are not opened when they are produced to a topic that is not compacted. One that holds no records, or lies about
    /// their offsets, is kept as it is, supersedes nothing, and holds up nothing.
    @Test func aBatchThatIsNoRecordsStaysAndTheRestIsCompacted() throws {
        func keyed(_ value: UInt8) throws -> [UInt8] {
            var builder = RecordBatchBuilder()
            builder.append(key: [1], value: [value], timestamp: 1)
            return try builder.finish(codec: .none, producerID: -1, producerEpoch: -1, baseSequence: -1)
        }
        func compressed(_ body: [UInt8]) throws -> [UInt8] {
            var batch = try Array(keyed(0)[..<RecordBatchHeader.headerByteCount])
            batch += try body.withUnsafeBytes { try CompressionCodec.gzip.compress($0) }
            var header = try #require(batch.withUnsafeBytes { RecordBatchHeader($0) })
            header.attributes |= Int16(CompressionCodec.gzip.rawValue)
            // It counts neither the base offset nor itself.
            header.batchLength = Int32(batch.count - 12)
            batch.withUnsafeMutableBytes { header.write(to: $0) }
            header.crc = batch.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) }
            batch.withUnsafeMutableBytes { header.write(to: $0) }
            return batch
        }
        // The second says that its record, of the same key, stands 500 offsets behind its place.
        let body: [UInt8] = [0, 0, 0xe8, 0x07, 2, 1, 2, 9, 0]
        for batch in [try keyed(1), try compressed(Array("not a record".utf8)), try compressed([UInt8(body.count * 2)] + body), try keyed(2), try keyed(3)] {
            _ = try store.append(batch, to: partition)
        }
        try seal()

        let report = try store.clean(partition, TopicSettings(), keyMapByteCountMax: 1 << 20, nowMs: 1_000_000, where: { _ in true })
        #expect(report?.unreadableCount == 2)
        #expect(report?.droppedCount == 2)
        #expect(report?.cleanedEnd == 5)
        var sink = ByteSink()
        _ = try store.withReader { (reader) throws(StoreError) in
            try reader.read(partition, from: 0, limit: partition.highWatermark, maxBytes: 1 << 20, firstBatchWhole: true, into: &sink)
        }
        var offsets: [Int64] = []
        var at = 0
        while let header = sink.bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) {
            offsets.append(header.baseOffset)
            at += header.byteCount
        }
        #expect(offsets == [1, 2, 4])
        store.close()
    }

    private func append(_ records: [(key: UInt8, time: Int64)]) throws {
        var builder = RecordBatchBuilder()
        for record in records { builder.append(key: [record.key], value: [1], timestamp: record.time) }
        _ = try store.append(try builder.finish(codec: .none, producerID: -1, producerEpoch: -1, baseSequence: -1), to: partition)
    }

    private func seal() throws {
        guard case .done = try store.administer(.seal(partition: partition.id)) else { throw TestFailure("nothing was sealed") }
    }

    private func sealAndClean() throws {
        try seal()
        _ = try store.clean(partition, TopicSettings(), keyMapByteCountMax: 1 << 20, nowMs: 1_000_000, where: { _ in true })
    }

    @Test func retentionByTimeTakesNothingButWhatIsOld() throws {
        for _ in 0..<2 {
            try append((0..<10).map { ($0, 1_000) })
            try seal()
        }
        try sealAndClean()
        #expect(try store.records(of: partition, maxBytes: 1).map(\.offset) == Array(10..<20))
        func end(_ timestamp: Int64) throws -> Int64 {
            try store.withReader { reader throws(StoreError) in try reader.expiredEnd(of: partition, before: timestamp, isCompacted: true) }
        }
        #expect(try end(1_000) == 0, "nothing is old, though nothing is left of the first ten")
        #expect(try end(1_001) == 20)
        store.close()
    }

    @Test func theGreatestTimeIsOfARecordThatIsLeft() throws {
        try append((0..<10).map { ($0, $0 < 5 ? 9_000 : 1_000) })
        try append((5..<10).map { ($0, 2_000) })
        try append([(20, 500)])
        try sealAndClean()
        guard case .logStart(7) = try store.administer(.moveLogStart(partition: partition.id, to: 7)) else { throw TestFailure("no log start") }
        let found = try store.withReader { reader throws(StoreError) in try reader.maxTimestamp(in: partition) }
        #expect(found == TimestampedOffset(timestamp: 2_000, offset: 10, leaderEpoch: 0))
        store.close()
    }

    /// Where long values are hard to find room for, compaction does not ask for any, and extents that are as long as values are then
    /// are not written anew.
    @Test func extentsAreNoLongerThanValuesAreNow() throws {
        var options = smallOptions()
        options.valuePages = 8
        let store = try Store.open(directory: directory.subdirectory("short"), options: options)
        let partition = try store.makeTopic("t", configs: ["cleanup.policy": "compact"]).partitions[0]
        var key: UInt8 = 0
        for size in Array(repeating: 3_000, count: 40) + Array(repeating: 20_000, count: 5) {
            var builder = RecordBatchBuilder()
            builder.append(key: [key], value: [UInt8](repeating: 1, count: size), timestamp: 1)
            key += 1
            let batch = try builder.finish(codec: .none, producerID: -1, producerEpoch: -1, baseSequence: -1)
            _ = try store.append(batch, to: partition)
            guard case .done = try store.administer(.seal(partition: partition.id)) else { throw TestFailure("it was not sealed") }
        }
        let before = try extentSizes(of: partition, in: store)
        let values = try store.values(of: partition)
        let report = try store.clean(partition, TopicSettings(), keyMapByteCountMax: 1 << 20, nowMs: 1_000_000, where: { _ in true })
        let after = try extentSizes(of: partition, in: store)
        #expect(before.count == 45)
        #expect(after.count < 12 && after.allSatisfy { $0 <= valueByteCount(pages: 8) }, "\(after)")
        #expect(after.suffix(5) == before.suffix(5))
        #expect(try #require(report).replacedByteCount <= before.prefix(41).reduce(0, +))
        #expect(try store.values(of: partition) == values)
        store.close()
    }

    private func extentSizes(of partition: Partition, in store: Store) throws -> [Int] {
        var sizes: [Int] = []
        var next: Int64? = 0
        while let base = next {
            let step = try store.withReader { (reader) throws(StoreError) in try reader.cleaningStep(of: partition.id, from: base, below: .max) }
            sizes += step.extents.map(\.bytes.count)
            next = step.next
        }
        return sizes
    }
}
