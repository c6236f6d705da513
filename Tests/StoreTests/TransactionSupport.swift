import Dispatch
import KafkaProtocol
import Testing

@testable import Store

extension Store {
    /// Submits steps of transactions; returns why they were refused.
    func step(_ changes: TransactionChange...) throws -> StoreError? {
        let box = Box<StoreError?>()
        submit([
            .transactions(changes, lane: WaitingLane()) {
                box.value = .some($0)
                box.done.signal()
            }
        ])
        box.done.wait()
        return try #require(box.value)
    }

    func describeProducers(_ partition: Partition) throws -> [ProducerDescription] {
        guard case .producers(let found) = try administer(.describeProducers(partition: partition.id)) else {
            throw TestFailure("the producers were not described")
        }
        return found.sorted { $0.producerID < $1.producerID }
    }

    /// What a consumer delivers that reads committed records only, from `offset` up to the last stable offset: the value at each offset.
    func committedValues(of partition: Partition, from offset: Int64? = nil, maxBytes: Int = 300_000) throws -> [Int64: [UInt8]] {
        var found: [Int64: [UInt8]] = [:]
        var next = offset ?? partition.logStartOffset
        while true {
            let end = partition.lastStableOffset
            guard next < end else { return found }
            var sink = ByteSink()
            let (byteCount, aborted) = try withReader { reader throws(StoreError) in
                try reader.readCommitted(partition, from: next, limit: end, maxBytes: maxBytes, firstBatchWhole: true, into: &sink)
            }
            #expect(byteCount == sink.bytes.count)
            let before = next
            next = try sink.collectCommitted(from: next, aborted, into: &found)
            guard next > before else { throw TestFailure("reading stands still at \(next) of \(end)") }
        }
    }
}

extension ByteSink {
    /// As a client does it: a producer's records are passed over from where a transaction of the list began until its abort marker.
    func collectCommitted(from offset: Int64, _ aborted: [AbortedTransaction], into found: inout [Int64: [UInt8]]) throws -> Int64 {
        var waiting = aborted.sorted { $0.firstOffset > $1.firstOffset }
        var passing: Set<Int64> = []
        var at = 0
        var next = offset
        while let header = bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) {
            defer {
                at += header.byteCount
                next = header.nextOffset
            }
            while let first = waiting.last, first.firstOffset <= header.lastOffset {
                passing.insert(first.producerID)
                waiting.removeLast()
            }
            let batch = Array(bytes[at..<(at + header.byteCount)])
            if header.isControl {
                if try marker(batch).outcome == .abort { passing.remove(header.producerID) }
            } else if !header.isTransactional || !passing.contains(header.producerID) {
                _ = try ByteSink(bytes: batch).collect(from: offset, into: &found)
            }
        }
        #expect(waiting.isEmpty, "no more is named than what reaches into what was read")
        return next
    }

    private func marker(_ batch: [UInt8]) throws -> ControlRecord {
        let decoded = try DecodedBatch(batch.span.bytes, limit: 1 << 20)
        var reader = decoded.reader
        guard let record = try reader.next(), let marker = reader.control(record) else { throw TestFailure("a control batch marks no end") }
        return marker
    }
}

/// A transactional batch of `values`.
func makeTransactionalBatch(_ values: [[UInt8]], producerID: Int64, epoch: Int16, sequence: Int32) throws -> [UInt8] {
    var builder = RecordBatchBuilder()
    for (index, value) in values.enumerated() { builder.append(key: nil, value: value, timestamp: 1_000 + Int64(index)) }
    return try builder.finish(producerID: producerID, producerEpoch: epoch, baseSequence: sequence, transactional: true)
}

/// A transactional producer as its client and its coordinator are: what it sends, and the steps that go before.
final class TestProducer: @unchecked Sendable {
    // Unchecked: one thread at a time works with it.
    let id: String
    let producerID: Int64
    var epoch: Int16 = 0
    var isOpen = false
    var partitions: [PartitionID] = []
    var groupIDs: [String] = []
    private var sequences: [PartitionID: Int32] = [:]

    init(_ id: String, producerID: Int64) {
        self.id = id
        self.producerID = producerID
    }

    var state: TransactionState {
        TransactionState(
            producerID: producerID, producerEpoch: epoch, isOpen: isOpen, partitions: partitions, groupIDs: groupIDs,
            coordinatorState: Array(id.utf8))
    }

    var change: TransactionChange { TransactionChange(transactionalID: id, state: state) }

    func add(_ partition: Partition, to store: Store) throws {
        if isOpen, partitions.contains(partition.id) { return }
        isOpen = true
        partitions.append(partition.id)
        #expect(try store.step(change) == nil)
    }

    func add(groupID: String, to store: Store) throws {
        if isOpen, groupIDs.contains(groupID) { return }
        isOpen = true
        groupIDs.append(groupID)
        #expect(try store.step(change) == nil)
    }

    func batch(_ values: [[UInt8]], for partition: Partition) throws -> [UInt8] {
        let sequence = sequences[partition.id, default: 0]
        sequences[partition.id] = sequence + Int32(values.count)
        return try makeTransactionalBatch(values, producerID: producerID, epoch: epoch, sequence: sequence)
    }

    /// The batch that the builder holds, as the producer's next one.
    func finish(_ builder: inout RecordBatchBuilder, codec: CompressionCodec, for partition: Partition) throws -> [UInt8] {
        let sequence = sequences[partition.id, default: 0]
        sequences[partition.id] = sequence + builder.recordCount
        return try builder.finish(
            codec: codec, producerID: producerID, producerEpoch: epoch, baseSequence: sequence, transactional: true)
    }

    @discardableResult
    func send(_ values: [[UInt8]], to partition: Partition, of store: Store) throws -> AppendResult {
        try add(partition, to: store)
        let result = try store.append(batch(values, for: partition), to: partition)
        #expect(result.errorCode == .none, "\(result.errorMessage ?? "")")
        return result
    }

    func sendOffsets(_ groupID: String, _ offsets: [OffsetKey: Int64], to store: Store) throws {
        try add(groupID: groupID, to: store)
        #expect(try store.change([pending(groupID, offsets)]) == nil)
    }

    func pending(_ groupID: String, _ offsets: [OffsetKey: Int64]) -> GroupChange {
        let values = offsets.map { (key: $0.key, value: CommittedOffset(offset: $0.value, commitTimeMs: 1)) }
        return GroupChange(
            groupID: groupID, pendingOffsets: PendingOffsetChange(producerID: producerID, producerEpoch: epoch, offsets: values))
    }

    /// The step that ends the transaction. `bumping`: as with transaction version 2, every end begins a new epoch.
    func ending(_ isCommit: Bool, bumping: Bool = true) -> TransactionChange {
        if bumping {
            epoch += 1
            sequences = [:]
        }
        let end = TransactionEnd(producerID: producerID, producerEpoch: epoch, isCommit: isCommit, partitions: partitions, groupIDs: groupIDs)
        isOpen = false
        partitions = []
        groupIDs = []
        return TransactionChange(transactionalID: id, state: state, end: end)
    }

    func end(_ isCommit: Bool, bumping: Bool = true, in store: Store) throws {
        #expect(try store.step(ending(isCommit, bumping: bumping)) == nil)
    }
}
