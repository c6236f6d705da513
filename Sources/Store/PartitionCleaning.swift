internal import KafkaProtocol

/// What a pass of compaction did.
struct CleaningReport: Equatable, Sendable {
    /// Everything below was compacted.
    var cleanedEnd: Int64 = 0
    var readByteCount = 0
    /// Of the extents that were replaced, and of those in their place.
    var replacedByteCount = 0
    var writtenByteCount = 0
    var replacementCount = 0
    /// Records and markers that are gone.
    var droppedCount = 0
    /// Of these, records without a key: nothing says what they would supersede.
    var keylessCount = 0
    /// Batches whose records cannot be read, though they are as they were produced: they stay.
    var unreadableCount = 0
    /// Not all keys found room in the key map: a pass for the rest should follow.
    var isPartial = false
}

/// One pass of compaction over a partition, on a thread that may wait.
///
/// First the keys of what is new are put into a map, with the offset of the last record of each; then all extents up to there are
/// read from the front, and what the map knows a later record of is left out. Each step reads a few extents in one snapshot and lets
/// go of it; what is to change is handed to the committer a few extents at a time, in offset order and each after the one before is
/// on disk. So at any moment, and after any crash, the log is one that a shorter pass might have left: the last record of each key is
/// there, and nothing that a tombstone has deleted comes back when that goes.
struct PartitionCleaning: ~Copyable {
    private let store: Store
    private let partition: Partition
    private let plan: CleaningPlan
    private let nowMs: Int64
    private let isCancelled: () -> Bool
    private var map: KeyMap
    private var cleaner: BatchCleaner
    private var group: ExtentGroup
    private(set) var report = CleaningReport()

    init(
        _ store: Store, _ partition: Partition, _ plan: CleaningPlan, _ settings: TopicSettings, keyMapByteCountMax: Int, nowMs: Int64,
        isCancelled: @escaping () -> Bool = { false }
    ) {
        self.store = store
        self.partition = partition
        self.plan = plan
        self.nowMs = nowMs
        self.isCancelled = isCancelled
        map = KeyMap(byteCountMax: keyMapByteCountMax)
        cleaner = BatchCleaner(logStart: plan.logStart, nowMs: nowMs, deleteRetentionMs: settings.deleteRetentionMs)
        group = ExtentGroup(partition, valueByteCountMax: store.valueByteCountMax)
    }

    /// Throws `refused` where the log was cut off or the topic deleted meanwhile, and `corrupt` where a batch cannot be read.
    mutating func run() throws(StoreError) {
        report.cleanedEnd = try collectKeys()
        report.isPartial = report.cleanedEnd < plan.end && plan.firstDirtyBase != nil
        cleaner.mappedEnd = report.cleanedEnd
        try clean()
        report.droppedCount = cleaner.droppedCount
        report.keylessCount = cleaner.keylessCount
        report.unreadableCount = cleaner.unreadableCount
    }

    // MARK: - The keys

    /// Fills the map, and returns the offset up to which it knows every key.
    private mutating func collectKeys() throws(StoreError) -> Int64 {
        var next = plan.firstDirtyBase
        var time: TimeKey?
        guard next != nil else { return plan.cleanedEnd }
        while let base = next {
            let step = try step(from: base, below: plan.end, after: time)
            for extent in step.extents {
                if let full = try collectKeys(of: extent, step) { return full }
            }
            next = step.next
            time = step.extents.last.map { $0.timeKey(of: partition.id) }
        }
        return plan.end
    }

    /// Returns the offset of the record that found no room in the map; nil where all did.
    private mutating func collectKeys(of extent: SealedExtent, _ step: borrowing CleaningStep) throws(StoreError) -> Int64? {
        var at = 0
        while at < extent.bytes.count {
            let header = try batchHeader(extent, at)
            defer { at += header.byteCount }
            guard header.nextOffset > plan.cleanedEnd, !header.isControl, header.recordCount > 0, !step.isAborted(header) else { continue }
            guard let batch = try decoded(extent, at, header) else { continue }
            var reader = batch.reader
            while let record = try next(&reader, header) {
                guard record.offset >= plan.cleanedEnd, let key = record.key else { continue }
                guard reader.bytes(key).withUnsafeBytes({ map.put($0, at: record.offset) }) else { return record.offset }
            }
        }
        return nil
    }

    // MARK: - The log

    private mutating func clean() throws(StoreError) {
        // `cleanedEnd` may be a log start in the middle of an extent that holds more than may be cleaned.
        let end = min(report.cleanedEnd, plan.end)
        var next: Int64? = 0
        var time: TimeKey?
        while let base = next {
            let step = try step(from: base, below: end, after: time)
            for (index, extent) in step.extents.enumerated() {
                let isLast = step.next == nil && index == step.extents.count - 1
                try take(extent, clean(extent, step, isLast: isLast))
            }
            next = step.next
            time = step.extents.last.map { $0.timeKey(of: partition.id) }
        }
        try flush(finished: CleaningState(cleanedEnd: report.cleanedEnd, dueMs: cleaner.dueMs))
    }

    private mutating func clean(_ extent: SealedExtent, _ step: borrowing CleaningStep, isLast: Bool) throws(StoreError) -> CleanedExtent {
        let first = try batchHeader(extent, 0)
        var cleaned = CleanedExtent(
            old: .init(
                baseOffset: extent.baseOffset, byteCount: extent.bytes.count, runningMaximum: extent.runningMaximum,
                keptTimestamp: extent.time.kept, crc: first.crc),
            end: first.nextOffset)
        var at = 0
        while at < extent.bytes.count {
            let header = try batchHeader(extent, at)
            let range = at..<(at + header.byteCount)
            at = range.upperBound
            cleaned.end = header.nextOffset
            // Whoever reads up to the end must find it: the last batch stays, if need be without records.
            let isLastBatch = isLast && at == extent.bytes.count
            let isUnwanted = header.lastOffset < plan.logStart || step.isAborted(header)
            let fate: BatchCleaner.Fate
            do {
                if header.isControl {
                    fate = try cleaner.judgeMarker(
                        header, extent.bytes.span.bytes.extracting(range), isLast: isLastBatch, &cleaned.forgottenAborts)
                } else if isUnwanted {
                    fate = cleaner.judgeUnwanted(header, isLast: isLastBatch)
                } else if let batch = try decoded(extent, range.lowerBound, header) {
                    fate = try cleaner.judge(batch, map, isLast: isLastBatch)
                } else {
                    fate = cleaner.judgeUnreadable(header)
                }
            } catch let error as StoreError {
                throw error
            } catch {
                throw .corrupt("the batch at offset \(header.baseOffset) of partition \(partition.id.rawValue) cannot be written anew: \(error)")
            }
            switch fate {
            case .stays: cleaned.batches.append(.init(header: header, bytes: extent.bytes, range: range))
            case .goes: cleaned.isChanged = true
            case .becomes(let bytes):
                guard let header = bytes.withUnsafeBytes({ RecordBatchHeader($0) }) else { preconditionFailure("a batch that was built has a header") }
                cleaned.isChanged = true
                cleaned.batches.append(.init(header: header, bytes: bytes, range: 0..<bytes.count))
            }
        }
        return cleaned
    }

    /// Leaves an extent as it is, or takes it into the group of those that are replaced together.
    private mutating func take(_ extent: SealedExtent, _ cleaned: CleanedExtent) throws(StoreError) {
        let isFull = extent.bytes.count >= group.fullByteCount
        if !cleaned.isChanged, isFull, group.isEmpty || !group.fits(extent.bytes.count) {
            if !group.isEmpty {
                try flush()
                group = ExtentGroup(partition, valueByteCountMax: store.valueByteCountMax)
            }
            return
        }
        group.add(cleaned)
        if group.isFull { try flush() }
    }

    // MARK: - Writing

    private mutating func flush(finished: CleaningState? = nil) throws(StoreError) {
        var replacement = group.isWorthwhile ? group.replacement : ExtentReplacement(partition)
        replacement.finished = finished
        guard !replacement.old.isEmpty || finished != nil else {
            group = ExtentGroup(partition, valueByteCountMax: store.valueByteCountMax)
            return
        }
        try submit(replacement)
        report.replacementCount += replacement.old.isEmpty ? 0 : 1
        report.replacedByteCount += replacement.old.reduce(0) { $0 + $1.byteCount }
        report.writtenByteCount += replacement.new.reduce(0) { $0 + $1.bytes.count }
        group = group.successor(valueByteCountMax: store.valueByteCountMax)
    }

    private func submit(_ replacement: ExtentReplacement) throws(StoreError) {
        if isCancelled() { throw .stopped("compaction is ending") }
        if let error = store.replace(replacement) { throw error }
    }

    // MARK: - Reading

    private mutating func step(from base: Int64, below end: Int64, after time: TimeKey?) throws(StoreError) -> CleaningStep {
        if isCancelled() { throw .stopped("compaction is ending") }
        let id = partition.id
        let step = try store.withReader { (reader) throws(StoreError) in
            try reader.cleaningStep(of: id, from: base, below: end, after: time)
        }
        report.readByteCount += step.extents.reduce(0) { $0 + $1.bytes.count }
        return step
    }

    private func batchHeader(_ extent: SealedExtent, _ at: Int) throws(StoreError) -> RecordBatchHeader {
        guard let header = extent.bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) else {
            throw .corrupt("the extent at offset \(extent.baseOffset) of partition \(partition.id.rawValue) holds something else than batches")
        }
        return header
    }

    /// Nil where the bytes are what was produced, and are no records. What came uncompressed was looked at when it was produced.
    private func decoded(_ extent: SealedExtent, _ at: Int, _ header: RecordBatchHeader) throws(StoreError) -> DecodedBatch? {
        do throws(RecordError) {
            let batch = try DecodedBatch(
                extent.bytes.span.bytes.extracting(at..<(at + header.byteCount)), limit: CleaningLimits.decompressedByteCount)
            if header.codec != CompressionCodec.none { try batch.check() }
            return batch
        } catch {
            if error != .checksum { return nil }
            throw .corrupt("the batch at offset \(header.baseOffset) of partition \(partition.id.rawValue) cannot be read: \(error)")
        }
    }

    @_lifetime(reader: copy reader)
    private func next(_ reader: inout RecordReader, _ header: RecordBatchHeader) throws(StoreError) -> Record? {
        do { return try reader.next() } catch {
            throw .corrupt("the batch at offset \(header.baseOffset) of partition \(partition.id.rawValue) cannot be read: \(error)")
        }
    }
}
