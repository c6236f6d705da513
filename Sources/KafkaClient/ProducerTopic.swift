public import KafkaProtocol
import NIOCore
import Synchronization

/// A topic that a producer writes to: where its records are gathered into batches.
public final class ProducerTopic: Sendable {
    private struct Gathering {
        var lanes: [PartitionLane]
        var open: [ProducerBatch?]
        var openCount = 0
        var isLingering = false
        /// Where records without a key go until the batch there is closed (KIP-480).
        var sticky: Int
    }

    public let name: String
    public let partitionCount: Int
    private let producer: Producer
    private let gathering: Mutex<Gathering>

    init(_ name: String, partitionCount: Int, producer: Producer) {
        self.name = name
        self.partitionCount = partitionCount
        self.producer = producer
        let lanes = (0..<partitionCount).map { PartitionLane(TopicPartition(name, Int32($0)), options: producer.options) }
        gathering = Mutex(
            Gathering(
                lanes: lanes, open: Array(repeating: nil, count: partitionCount), sticky: Int.random(in: 0..<partitionCount)))
    }

    /// Takes in one record, copying it; nothing is awaited.
    ///
    /// - Parameters:
    ///   - key: Nil for null, as for `value`.
    ///   - timestampMs: Milliseconds since 1970, nil for now.
    ///   - partition: Nil to choose by the key as Kafka's own clients do, or, without a key, to spread by batches.
    ///   - completion: Told on the event loop what became of the record: the partition, and its offset or an error.
    /// - Returns: false when the producer's buffer is full: `await producer.room()` and offer the record again.
    /// - Throws: `invalid` for a partition that is not there or a record that is too large; `closed`.
    public func enqueue(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader] = [], timestampMs: Int64? = nil,
        partition: Int32? = nil, completion: (@Sendable (TopicPartition, Result<Int64, ClientError>) -> Void)? = nil
    ) throws(ClientError) -> Bool {
        let options = producer.options
        let byteCount = RecordBatchBuilder.greatestByteCount(key: key?.count ?? 0, value: value?.count ?? 0, headers: headers)
        guard byteCount <= options.recordByteCountMax else {
            throw .invalid("a record of \(byteCount) bytes is larger than the \(options.recordByteCountMax) that the producer takes")
        }
        if let partition, !(0..<partitionCount).contains(Int(partition)) {
            throw .invalid("the topic \(name) has no partition \(partition), only 0 to \(partitionCount - 1)")
        }
        if producer.inbox.isClosed { throw .closed }
        guard producer.inbox.reserve(byteCount) else { return false }
        let timestampMs = timestampMs ?? WallClock.nowMs()
        let startsLingering = gathering.withLock { gathering in
            let index = partition.map(Int.init) ?? choose(key, gathering)
            if let open = gathering.open[index], open.openByteCount + byteCount > options.batchByteCount {
                close(index, &gathering)
                if partition == nil, key == nil { return startsLingering(appendingTo: gathering.sticky) }
            }
            return startsLingering(appendingTo: index)

            func startsLingering(appendingTo index: Int) -> Bool {
                let batch = gathering.open[index] ?? open(index, &gathering)
                let notify = completion.map { completion in
                    { @Sendable [lane = batch.lane] result in completion(lane.partition, result) }
                }
                batch.append(
                    key: key, value: value, headers: headers, timestampMs: timestampMs, accounted: byteCount, completion: notify)
                if batch.openByteCount >= options.batchByteCount { close(index, &gathering) }
                guard gathering.openCount > 0, !gathering.isLingering else { return false }
                gathering.isLingering = true
                return true
            }
        }
        if startsLingering { producer.linger(self, until: .now() + options.linger) }
        return true
    }

    private func choose(_ key: UnsafeRawBufferPointer?, _ gathering: borrowing Gathering) -> Int {
        key.map { Murmur2.partition(of: $0, partitionCount: partitionCount) } ?? gathering.sticky
    }

    private func open(_ index: Int, _ gathering: inout Gathering) -> ProducerBatch {
        let batch = ProducerBatch(gathering.lanes[index], capacity: min(4096, producer.options.batchByteCount))
        gathering.open[index] = batch
        gathering.openCount += 1
        return batch
    }

    /// Handed over under the lock, so that a partition's batches leave in the order that they were closed.
    private func close(_ index: Int, _ gathering: inout Gathering) {
        guard let batch = gathering.open[index] else { return }
        gathering.open[index] = nil
        gathering.openCount -= 1
        if index == gathering.sticky, partitionCount > 1 {
            let step = Int.random(in: 1..<partitionCount)
            gathering.sticky = (index + step) % partitionCount
        }
        producer.accept(batch)
    }

    /// Closes every open batch. Who lingers for one of them finds the next, or none.
    func closeBatches() {
        gathering.withLock { gathering in
            for index in gathering.open.indices { close(index, &gathering) }
        }
    }

    /// For the one that lingers: of several, none would end while there are records.
    /// - Returns: when the earliest batch that is still open was opened, nil when none is.
    func closeBatches(openedBefore deadline: NIODeadline) -> NIODeadline? {
        gathering.withLock { gathering in
            var earliest: NIODeadline?
            for index in gathering.open.indices {
                guard let batch = gathering.open[index] else { continue }
                if batch.openedAt <= deadline {
                    close(index, &gathering)
                } else {
                    earliest = min(earliest ?? batch.openedAt, batch.openedAt)
                }
            }
            gathering.isLingering = earliest != nil
            return earliest
        }
    }
}
