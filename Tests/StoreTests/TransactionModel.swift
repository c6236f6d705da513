import KafkaProtocol
import Testing

@testable import Store

/// A batch as a test expects it in a partition.
struct ModelBatch {
    enum Fate { case plain, open, committed, aborted, marker }

    var baseOffset: Int64
    var values: [[UInt8]]
    var producerID: Int64 = -1
    var fate = Fate.plain

    var nextOffset: Int64 { baseOffset + Int64(values.count) }
}

/// What a partition should hold and show, kept by a test in the plainest way.
struct ModelPartition {
    struct Aborted: Hashable {
        var producerID: Int64
        var firstOffset: Int64
        var lastOffset: Int64
    }

    private(set) var batches: [ModelBatch] = []
    var start: Int64 = 0
    var end: Int64 { batches.last?.nextOffset ?? 0 }
    /// By producer id, where its transaction began.
    private(set) var open: [Int64: Int64] = [:]
    private(set) var aborted: [Aborted] = []

    var stable: Int64 { open.values.min().map { max($0, start) } ?? end }

    mutating func append(_ values: [[UInt8]], producerID: Int64 = -1, isTransactional: Bool = false) {
        if isTransactional, open[producerID] == nil { open[producerID] = end }
        batches.append(ModelBatch(baseOffset: end, values: values, producerID: producerID, fate: isTransactional ? .open : .plain))
    }

    mutating func endTransaction(of producerID: Int64, _ isCommit: Bool) {
        let marker = end
        for index in batches.indices where batches[index].fate == .open && batches[index].producerID == producerID {
            batches[index].fate = isCommit ? .committed : .aborted
        }
        if let first = open.removeValue(forKey: producerID), !isCommit {
            aborted.append(Aborted(producerID: producerID, firstOffset: first, lastOffset: marker))
        }
        batches.append(ModelBatch(baseOffset: marker, values: [[]], producerID: producerID, fate: .marker))
    }

    /// What a reader of all records sees, but for markers.
    var uncommittedValues: [Int64: [UInt8]] { values { $0.fate != .marker } }
    /// What a reader of committed records sees.
    var committedValues: [Int64: [UInt8]] {
        let stable = stable
        return values { $0.fate == .plain || $0.fate == .committed }.filter { $0.key < stable }
    }
    var markers: Set<Int64> { Set(batches.filter { $0.fate == .marker }.map(\.baseOffset)) }

    private func values(where isSeen: (ModelBatch) -> Bool) -> [Int64: [UInt8]] {
        var found: [Int64: [UInt8]] = [:]
        for batch in batches where isSeen(batch) {
            for (index, value) in batch.values.enumerated() where batch.baseOffset + Int64(index) >= start {
                found[batch.baseOffset + Int64(index)] = value
            }
        }
        return found
    }
}

/// A store as a test expects it, with the producers and groups that work on it.
struct TransactionModel {
    var topics: [String: [ModelPartition]] = [:]
    var committed: [String: [OffsetKey: Int64]] = [:]
    /// By producer id.
    var pending: [Int64: [String: [OffsetKey: Int64]]] = [:]

    /// Ends a producer's transaction in the model.
    mutating func end(_ end: TransactionEnd, in store: Store) {
        for (name, partitions) in topics {
            guard let topic = store.topic(named: name) else { continue }
            for index in partitions.indices where end.partitions.contains(topic.partitions[index].id) {
                topics[name]?[index].endTransaction(of: end.producerID, end.isCommit)
            }
        }
        for groupID in end.groupIDs {
            let offsets = pending[end.producerID]?.removeValue(forKey: groupID) ?? [:]
            guard end.isCommit else { continue }
            // Those of a topic that was deleted meanwhile are nobody's.
            for (key, offset) in offsets where store.topic(id: key.topicID) != nil { committed[groupID, default: [:]][key] = offset }
        }
    }

    mutating func forget(_ topic: Topic) {
        topics[topic.name] = nil
        for groupID in committed.keys { committed[groupID] = committed[groupID]?.filter { $0.key.topicID != topic.id } }
    }

    func expect(_ store: Store, _ producers: [TestProducer], _ random: inout Seeded) throws {
        #expect(store.topics().map(\.name) == topics.keys.sorted())
        for (name, partitions) in topics.sorted(by: { $0.key < $1.key }) {
            let topic = try #require(store.topic(named: name))
            for (index, model) in partitions.enumerated() {
                try expect(topic.partitions[index], is: model, "\(name)-\(index)", store, &random)
            }
        }
        let states = Dictionary(store.transactions().map { ($0.transactionalID, $0.state) }, uniquingKeysWith: { $1 })
        #expect(states == Dictionary(producers.map { ($0.id, $0.state) }, uniquingKeysWith: { $1 }).filter { states[$0.key] != nil || $0.value.isOpen })
        try expectOffsets(store)
    }

    private func expect(
        _ partition: Partition, is model: ModelPartition, _ name: String, _ store: Store, _ random: inout Seeded
    ) throws {
        #expect(partition.logStartOffset == model.start, "\(name)")
        #expect(partition.highWatermark == model.end, "\(name)")
        #expect(partition.lastStableOffset == model.stable, "\(name)")
        let maxBytes = [1, 500, 20_000, 300_000].randomElement(using: &random) ?? 1
        #expect(try store.values(of: partition, maxBytes: maxBytes).filter { !model.markers.contains($0.key) } == model.uncommittedValues, "\(name)")
        #expect(try store.committedValues(of: partition, maxBytes: maxBytes) == model.committedValues, "\(name)")
        let described = try store.describeProducers(partition).filter { $0.currentTransactionStartOffset >= 0 }
        #expect(Dictionary(described.map { ($0.producerID, $0.currentTransactionStartOffset) }, uniquingKeysWith: min) == model.open, "\(name)")
        guard model.start < model.stable else { return }
        // What a fetch is told of aborted transactions, over any range.
        for _ in 0..<4 {
            let from = Int64.random(in: model.start..<model.stable, using: &random)
            let end = Int64.random(in: (from + 1)...model.stable, using: &random)
            let found = try store.withReader { reader throws(StoreError) in try reader.abortedTransactions(in: partition, from: from, below: end) }
            let wanted = model.aborted.filter { $0.lastOffset >= from && $0.firstOffset < end }
            #expect(found == wanted.map { AbortedTransaction(producerID: $0.producerID, firstOffset: $0.firstOffset) }, "\(name), \(from)..<\(end)")
        }
    }

    private func expectOffsets(_ store: Store) throws {
        for groupID in ["g", "h"] {
            #expect(store.committedOffsets(of: groupID).mapValues(\.offset) == committed[groupID, default: [:]], "group \(groupID)")
            for name in topics.keys {
                guard let topic = store.topic(named: name) else { continue }
                for index in topic.partitions.indices {
                    let key = topic.key(Int32(index))
                    let isPending = pending.values.contains { $0[groupID]?[key] != nil }
                    #expect(store.pendingOffsets(of: groupID).contains(key) == isPending, "\(groupID), \(name)-\(index)")
                }
            }
        }
    }
}
