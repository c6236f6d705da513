import KafkaProtocol
import Testing

@testable import Store

/// A record as a test reads it, or expects it.
struct ModelRecord: Equatable {
    var offset: Int64
    var key: String?
    var value: [UInt8]?
    var timestamp: Int64
}

/// A compacted partition as it should be, kept by a test in the plainest way.
struct CleaningModel {
    struct Batch {
        enum Fate { case plain, open, committed, aborted }
        var baseOffset: Int64
        var lastOffset: Int64
        var producerID: Int64
        var fate: Fate
        var horizon: Int64?
        var records: [ModelRecord]
    }

    private(set) var batches: [Batch] = []
    var start: Int64 = 0
    private(set) var end: Int64 = 0
    private(set) var cleanedEnd: Int64 = 0

    var stable: Int64 { batches.first { $0.fate == .open }.map { max($0.baseOffset, start) } ?? end }

    mutating func append(_ records: [ModelRecord], producerID: Int64 = -1, isTransactional: Bool = false) {
        let base = end
        end += Int64(records.count)
        let placed = records.enumerated().map { ModelRecord(offset: base + Int64($0), key: $1.key, value: $1.value, timestamp: $1.timestamp) }
        batches.append(
            Batch(baseOffset: base, lastOffset: end - 1, producerID: producerID, fate: isTransactional ? .open : .plain, records: placed))
    }

    mutating func endTransaction(of producerID: Int64, _ isCommit: Bool) {
        for index in batches.indices where batches[index].fate == .open && batches[index].producerID == producerID {
            batches[index].fate = isCommit ? .committed : .aborted
        }
        end += 1
    }

    /// A pass up to `mappedEnd`.
    mutating func clean(to mappedEnd: Int64, nowMs: Int64, deleteRetentionMs: Int64) {
        var latest: [String: Int64] = [:]
        for batch in batches where batch.fate == .plain || batch.fate == .committed {
            for record in batch.records where record.offset < mappedEnd {
                if let key = record.key { latest[key] = max(latest[key] ?? -1, record.offset) }
            }
        }
        for index in batches.indices where batches[index].baseOffset < mappedEnd {
            let batch = batches[index]
            if batch.fate == .aborted {
                // One that goes beyond the end may stand in an extent that does, and is left alone.
                if batch.lastOffset < mappedEnd { batches[index].records = [] }
                continue
            }
            let isPast = batch.horizon.map { $0 <= nowMs } ?? false
            batches[index].records = batch.records.filter { record in
                record.offset >= mappedEnd || record.key.map { latest[$0] == record.offset } ?? false && (record.value != nil || !isPast)
            }
            let hasTombstone = batches[index].records.contains { $0.value == nil && $0.offset < mappedEnd }
            if hasTombstone, batch.horizon == nil, batch.lastOffset < mappedEnd, batch.lastOffset >= start {
                batches[index].horizon = nowMs + deleteRetentionMs
            }
        }
        cleanedEnd = max(cleanedEnd, mappedEnd)
    }

    /// Records that every reader finds, from `start` on.
    var committed: [ModelRecord] {
        let stable = stable
        return batches.filter { $0.fate == .plain || $0.fate == .committed }.flatMap(\.records).filter { $0.offset >= start && $0.offset < stable }
    }

    /// Records that a reader of all records must find, and such as it may find: a pass takes out what was aborted as far as it looks.
    var certain: [ModelRecord] { batches.filter { $0.fate != .aborted }.flatMap(\.records).filter { $0.offset >= start } }
    var possible: [ModelRecord] {
        batches.flatMap(\.records).filter { $0.offset >= start }
    }
}

extension Store {
    /// All records from `offset` to the high watermark, but for markers.
    func records(of partition: Partition, from offset: Int64? = nil, maxBytes: Int = 300_000) throws -> [ModelRecord] {
        var found: [ModelRecord] = []
        var next = offset ?? partition.logStartOffset
        while next < partition.highWatermark {
            var sink = ByteSink()
            _ = try withReader { reader throws(StoreError) in
                try reader.read(
                    partition, from: next, limit: partition.highWatermark, maxBytes: maxBytes, firstBatchWhole: true, into: &sink)
            }
            let before = next
            for batch in try sink.decoded() {
                next = batch.header.nextOffset
                if !batch.header.isControl { found += try batch.modelRecords.filter { $0.offset >= before } }
            }
            guard next > before else { throw TestFailure("reading stands still at \(next) of \(partition.highWatermark)") }
        }
        return found
    }

    /// What a consumer of committed records delivers.
    func committedRecords(of partition: Partition, maxBytes: Int = 300_000) throws -> [ModelRecord] {
        var found: [ModelRecord] = []
        var next = partition.logStartOffset
        while true {
            let end = partition.lastStableOffset
            guard next < end else { return found }
            var sink = ByteSink()
            let (_, aborted) = try withReader { reader throws(StoreError) in
                try reader.readCommitted(partition, from: next, limit: end, maxBytes: maxBytes, firstBatchWhole: true, into: &sink)
            }
            let before = next
            var waiting = aborted.sorted { $0.firstOffset < $1.firstOffset }[...]
            var passing: Set<Int64> = []
            for batch in try sink.decoded() {
                next = batch.header.nextOffset
                while let first = waiting.first, first.firstOffset <= batch.header.lastOffset {
                    passing.insert(first.producerID)
                    waiting.removeFirst()
                }
                if batch.header.isControl {
                    passing.remove(batch.header.producerID)
                } else if !batch.header.isTransactional || !passing.contains(batch.header.producerID) {
                    found += try batch.modelRecords.filter { $0.offset >= before }
                }
            }
            guard next > before else { throw TestFailure("reading of committed records stands still at \(next) of \(end)") }
        }
    }
}

extension ByteSink {
    func decoded() throws -> [DecodedBatch] {
        var batches: [DecodedBatch] = []
        var at = 0
        while at < bytes.count {
            let batch = try DecodedBatch(bytes.span.bytes.extracting(at..<bytes.count), limit: 1 << 28)
            at += batch.header.byteCount
            batches.append(batch)
        }
        return batches
    }
}

extension DecodedBatch {
    var modelRecords: [ModelRecord] {
        get throws {
            var reader = reader
            var found: [ModelRecord] = []
            while let record = try reader.next() {
                found.append(
                    ModelRecord(
                        offset: record.offset, key: reader.array(record.key).map { String(decoding: $0, as: UTF8.self) },
                        value: reader.array(record.value), timestamp: record.timestamp))
            }
            return found
        }
    }
}
