import Foundation
import KafkaProtocol
import LMDB
import Testing

@testable import Store

/// Producers of every kind on compacted topics, with compaction, retention, DeleteRecords, deleted topics, copies and restarts between
/// what they send; and after each round, what readers find by offset and by time against a model, and the store against itself.
///
/// `LMBROKER_SEED=7 swift test --filter CleaningModelTests` runs one seed alone, `LMBROKER_SEEDS=500` that many.
@Suite struct CleaningModelTests {
    private final class Run {
        var random: Seeded
        var models: [PartitionID: CleaningModel] = [:]
        let producers = (0..<3).map { TestProducer("transactional-\($0)", producerID: 100 + Int64($0)) }
        var idempotent: [PartitionID: Int32] = [:]
        var store: Store
        var nowMs: Int64 = 1_000_000
        let settings: TopicSettings
        let keyMapByteCountMax: Int
        /// Over all passes.
        var droppedCount = 0
        /// Passes that were stopped before their end.
        var stoppedCount = 0
        private let directory = try? TemporaryDirectory()
        private let options: StoreOptions
        private var path: String
        private var openings = 0

        init(_ seed: UInt64) throws {
            random = Seeded(seed)
            var options = seed % 2 == 0 ? tinyJournalOptions() : smallOptions()
            options.journalBytesMax = seed % 3 == 0 ? 1 << 16 : 1 << 20
            options.valuePages = [64, 64, 16, 8][Int(seed % 4)]
            self.options = options
            path = try #require(directory).subdirectory("0")
            store = try Store.open(directory: path, options: options)
            var settings = TopicSettings()
            settings.deleteRetentionMs = Int64.random(in: 0...2_000, using: &random)
            settings.minCompactionLagMs = Bool.random(using: &random) ? 0 : 1_500
            self.settings = settings
            keyMapByteCountMax = [600, 3_000, 1 << 20].randomElement(using: &random) ?? 0
        }

        /// The store is shut down and opened anew, or killed: a copy of the last commit is what kill -9 leaves at this moment.
        func reopen(killed: Bool, _ replay: Comment) throws {
            openings += 1
            let copy = try #require(directory).subdirectory("\(openings)")
            if killed {
                try store.backup(to: copy)
                path = copy
            }
            store.close()
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [], replay)
            store = try Store.open(directory: path, options: options)
        }
    }

    private static var seeds: [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let only = environment["LMBROKER_SEED"].flatMap(UInt64.init) { return [only] }
        return Array(1...(environment["LMBROKER_SEEDS"].flatMap(UInt64.init) ?? 16))
    }

    @Test(arguments: seeds)
    func readersFindWhatTheModelHas(seed: UInt64) throws {
        let replay = Comment(rawValue: "LMBROKER_SEED=\(seed) swift test --filter CleaningModelTests")
        let run = try Run(seed)
        for _ in 1...5 {
            for _ in 0..<80 { try step(run, replay) }
            try expect(run, replay)
            try run.reopen(killed: Bool.random(using: &run.random), replay)
            try expect(run, replay)
        }
        run.store.close()
        #expect(run.droppedCount > 0 && (run.stoppedCount > 0 || run.settings.deleteRetentionMs == 0), replay)
    }

    private func step(_ run: Run, _ replay: Comment) throws {
        run.nowMs += Int64.random(in: 0...200, using: &run.random)
        switch Int.random(in: 0..<100, using: &run.random) {
        case 0..<3: try createTopic(run)
        case 3..<4: try deleteTopic(run)
        case 4..<7: try moveLogStart(run)
        case 7..<9: try expire(run)
        case 9..<40: try appendPlainly(run)
        case 40..<66: try send(run.producers[Int.random(in: run.producers.indices, using: &run.random)], run)
        case 66..<80: try end(run.producers[Int.random(in: run.producers.indices, using: &run.random)], run)
        case 80..<88: try seal(run)
        case 88..<94: try clean(run)
        default: try cleanWithAnEnd(run, replay)
        }
    }

    private func createTopic(_ run: Run) throws {
        let name = "topic-\(Int.random(in: 0..<3, using: &run.random))"
        guard run.store.topic(named: name) == nil else { return }
        let topic = try run.store.makeTopic(name, partitions: Int.random(in: 1...2, using: &run.random), configs: ["cleanup.policy": "compact"])
        for partition in topic.partitions { run.models[partition.id] = CleaningModel() }
    }

    private func deleteTopic(_ run: Run) throws {
        guard run.store.topics().count > 1, let topic = run.store.topics().randomElement(using: &run.random),
            case .done = try run.store.administer(.deleteTopic(id: topic.id))
        else { return }
        for partition in topic.partitions { run.models[partition.id] = nil }
    }

    private func place(_ run: Run) -> Partition? {
        run.store.topics().flatMap(\.partitions).randomElement(using: &run.random)
    }

    private func moveLogStart(_ run: Run) throws {
        guard let partition = place(run), let model = run.models[partition.id] else { return }
        let target = Int64.random(in: model.start...min(model.end, model.start + 60), using: &run.random)
        guard case .logStart(target) = try run.store.administer(.moveLogStart(partition: partition.id, to: target)) else {
            throw TestFailure("the log start did not move")
        }
        run.models[partition.id]?.start = target
    }

    /// Retention: what it lets go of is old, or more than is to be kept.
    private func expire(_ run: Run) throws {
        guard let partition = place(run), let model = run.models[partition.id] else { return }
        let cutoff = run.nowMs - Int64.random(in: 2_000...6_000, using: &run.random)
        let end = try run.store.withReader { reader throws(StoreError) in try reader.expiredEnd(of: partition, before: cutoff, isCompacted: true) }
        #expect(model.certain.allSatisfy { $0.offset >= end || $0.timestamp < cutoff })
        guard case .logStart(end) = try run.store.administer(.moveLogStart(partition: partition.id, to: end)) else {
            throw TestFailure("retention did not move the log start")
        }
        run.models[partition.id]?.start = end
    }

    private func records(_ run: Run) -> [ModelRecord] {
        let size = [10, 10, 200, 4_000, 40_000, 120_000][Int.random(in: 0..<6, using: &run.random)]
        let hasKeyless = Int.random(in: 0..<20, using: &run.random) == 0
        return (0..<Int.random(in: 1...6, using: &run.random)).map { index in
            let value =
                Int.random(in: 0..<5, using: &run.random) == 0
                ? nil : [UInt8](repeating: UInt8.random(in: 0...255, using: &run.random), count: Int.random(in: 1...size, using: &run.random))
            return ModelRecord(
                offset: 0, key: hasKeyless ? nil : "k\(Int.random(in: 0..<40, using: &run.random))", value: value,
                timestamp: run.nowMs - Int64.random(in: 0...500, using: &run.random))
        }
    }

    private func builder(_ records: [ModelRecord]) -> RecordBatchBuilder {
        var builder = RecordBatchBuilder()
        for record in records { builder.append(key: record.key.map { Array($0.utf8) }, value: record.value, timestamp: record.timestamp) }
        return builder
    }

    private func appendPlainly(_ run: Run) throws {
        guard let partition = place(run) else { return }
        let records = records(run)
        var builder = builder(records)
        let codec = CompressionCodec.allCases.randomElement(using: &run.random) ?? .none
        var batch: [UInt8]
        if Bool.random(using: &run.random) {
            let sequence = run.idempotent[partition.id, default: 0]
            batch = try builder.finish(codec: codec, producerID: 5, producerEpoch: 0, baseSequence: sequence)
            run.idempotent[partition.id] = sequence + Int32(records.count)
        } else {
            batch = try builder.finish(codec: codec)
        }
        let result = try run.store.append(batch, to: partition)
        #expect(result.errorCode == .none && result.baseOffset == run.models[partition.id]?.end)
        run.models[partition.id]?.append(records)
    }

    private func send(_ producer: TestProducer, _ run: Run) throws {
        guard let partition = place(run) else { return }
        let records = records(run)
        var builder = builder(records)
        try producer.add(partition, to: run.store)
        let codec = CompressionCodec.allCases.randomElement(using: &run.random) ?? .none
        let result = try run.store.append(producer.finish(&builder, codec: codec, for: partition), to: partition)
        #expect(result.errorCode == .none && result.baseOffset == run.models[partition.id]?.end)
        run.models[partition.id]?.append(records, producerID: producer.producerID, isTransactional: true)
    }

    private func end(_ producer: TestProducer, _ run: Run) throws {
        guard producer.isOpen else { return }
        let isCommit = Bool.random(using: &run.random)
        let change = producer.ending(isCommit, bumping: Bool.random(using: &run.random))
        #expect(try run.store.step(change) == nil)
        for id in change.end?.partitions ?? [] { run.models[id]?.endTransaction(of: producer.producerID, isCommit) }
    }

    private func seal(_ run: Run) throws {
        guard let partition = place(run), case .done = try run.store.administer(.seal(partition: partition.id)) else { return }
    }

    /// Extents below the log start are deleted by the commits that come after it moved. A pass that meets them half way is refused, and
    /// the model knows only of whole ones.
    private func letDeletionsHappen(_ partition: Partition, _ run: Run) throws {
        while try run.store.hasExtentBelowLogStart(partition) { _ = try run.store.administer(.seal(partition: partition.id)) }
    }

    private func clean(_ run: Run) throws {
        guard let partition = place(run) else { return }
        try letDeletionsHappen(partition, run)
        let before = run.models[partition.id]?.stable ?? 0
        let report = try run.store.clean(partition, run.settings, keyMapByteCountMax: run.keyMapByteCountMax, nowMs: run.nowMs)
        guard let report else { return }
        #expect(report.cleanedEnd <= before)
        run.droppedCount += report.droppedCount
        run.models[partition.id]?.clean(to: report.cleanedEnd, nowMs: run.nowMs, deleteRetentionMs: run.settings.deleteRetentionMs)
    }

    /// A pass that ends in the middle, with the process or without, and then another: what readers find in between is between what they
    /// found before and what a whole pass leaves, and the second pass leaves that.
    private func cleanWithAnEnd(_ run: Run, _ replay: Comment) throws {
        // Without any time for tombstones the second pass takes out those that the first has left.
        guard let partition = place(run), run.settings.deleteRetentionMs > 0 else { return }
        let id = partition.id
        try letDeletionsHappen(partition, run)
        var looksLeft = Int.random(in: 0...5, using: &run.random)
        let before = run.models[id]?.committed ?? []
        do {
            let report = try run.store.clean(
                try #require(run.store.partition(id)), run.settings, keyMapByteCountMax: run.keyMapByteCountMax, nowMs: run.nowMs
            ) {
                looksLeft -= 1
                return looksLeft < 0
            }
            guard let report else { return }
            run.droppedCount += report.droppedCount
            run.models[id]?.clean(to: report.cleanedEnd, nowMs: run.nowMs, deleteRetentionMs: run.settings.deleteRetentionMs)
        } catch StoreError.stopped {
            run.stoppedCount += 1
            if Bool.random(using: &run.random) { try run.reopen(killed: Bool.random(using: &run.random), replay) }
            let partition = try #require(run.store.partition(id))
            let between = try run.store.committedRecords(of: partition)
            let report = try run.store.clean(partition, run.settings, keyMapByteCountMax: run.keyMapByteCountMax, nowMs: run.nowMs)
            run.models[id]?.clean(to: try #require(report).cleanedEnd, nowMs: run.nowMs, deleteRetentionMs: run.settings.deleteRetentionMs)
            let offsets = Set(between.map(\.offset))
            #expect(between == before.filter { offsets.contains($0.offset) }, replay)
            #expect(offsets.isSuperset(of: (run.models[id]?.committed ?? []).map(\.offset)), replay)
            #expect(try run.store.committedRecords(of: partition) == run.models[id]?.committed, replay)
        }
    }

    // MARK: - The judgement

    private func expect(_ run: Run, _ replay: Comment) throws {
        #expect(Set(run.store.topics().flatMap(\.partitions).map(\.id)) == Set(run.models.keys), replay)
        for (id, model) in run.models {
            let partition = try #require(run.store.partition(id))
            #expect(partition.logStartOffset == model.start && partition.highWatermark == model.end, replay)
            #expect(partition.lastStableOffset == model.stable, replay)
            let maxBytes = [1, 3_000, 300_000].randomElement(using: &run.random) ?? 1
            let found = try run.store.records(of: partition, maxBytes: maxBytes)
            let offsets = Set(found.map(\.offset))
            #expect(found == model.possible.filter { offsets.contains($0.offset) }, replay)
            #expect(offsets.isSuperset(of: model.certain.map(\.offset)), replay)
            #expect(try run.store.committedRecords(of: partition, maxBytes: maxBytes) == model.committed, replay)
            try expectTimes(of: partition, found, run, replay)
            if model.start < model.end {
                let offset = Int64.random(in: model.start..<model.end, using: &run.random)
                #expect(try run.store.records(of: partition, from: offset) == found.filter { $0.offset >= offset }, replay)
            }
        }
    }

    private func expectTimes(of partition: Partition, _ found: [ModelRecord], _ run: Run, _ replay: Comment) throws {
        for _ in 0..<3 {
            let time = run.nowMs - Int64.random(in: 0...8_000, using: &run.random)
            let first = found.first { $0.timestamp >= time }
            let result = try run.store.withReader { reader throws(StoreError) in try reader.offset(in: partition, atOrAfter: time) }
            #expect(result?.offset == first?.offset && result?.timestamp == first?.timestamp, replay)
        }
        let greatest = found.map(\.timestamp).max()
        let result = try run.store.withReader { reader throws(StoreError) in try reader.maxTimestamp(in: partition) }
        #expect(result?.timestamp == greatest && result?.offset == found.first { $0.timestamp == greatest }?.offset, replay)
    }
}

extension Store {
    /// Whether the partition's first extent is still there though nothing of it is readable.
    fileprivate func hasExtentBelowLogStart(_ partition: Partition) throws -> Bool {
        let bounds = (start: partition.logStartOffset, end: partition.highWatermark)
        return try withReader { (reader) throws(StoreError) in
            try lmdb("looking at extents") { () throws(LMDBError) in
                let offsets = try reader.snapshot.firstTwoExtents(of: partition.id, reader.databases)
                return !offsets.isEmpty && (offsets.count > 1 ? offsets[1] : bounds.end) <= bounds.start
            }
        }
    }
}

extension Snapshot {
    fileprivate borrowing func firstTwoExtents(of partition: PartitionID, _ databases: Databases) throws(LMDBError) -> [Int64] {
        var offsets: [Int64] = []
        var cursor = try cursor(in: databases.log)
        var more = try cursor.seek(LogKey(partition, 0))
        while more, offsets.count < 2, let key = LogKey(cursor.key), key.partition == partition {
            if key.part == 0 { offsets.append(key.baseOffset) }
            more = try cursor.move(.next)
        }
        return offsets
    }
}
