public import KafkaProtocol
import NIOCore
import Synchronization

/// A topic that a producer writes to: where its records are gathered into batches.
public final class ProducerTopic: Sendable {
    private struct Gathering {
        /// One for each partition that there is, or was.
        var lanes: [PartitionLane] = []
        var open: [ProducerBatch?] = []
        var openCount = 0
        var isLingering = false
        var partitionCount = 0
        /// Zero where brokers tell none.
        var topicID = Uuid()
        /// Where records without a key go until the batch there is closed (KIP-480).
        var sticky = 0
    }

    public let name: String
    private let producer: Producer
    private let gathering = Mutex(Gathering())

    init(_ topic: ClusterMetadata.Topic, producer: Producer) {
        name = topic.name
        self.producer = producer
        learn(topic)
    }

    /// As far as is known now: a topic can be given more.
    public var partitionCount: Int { gathering.withLock { $0.partitionCount } }

    /// Records go to as many partitions as there are now, as with Kafka's own clients: a key's place must not depend on who writes it.
    func learn(_ topic: ClusterMetadata.Topic) {
        let count = topic.partitions.count
        guard topic.error == .none, count > 0 else { return }
        gathering.withLock { gathering in
            // None has fewer than before, unless it was made anew: a broker that says so is behind.
            if count < gathering.partitionCount, topic.id == gathering.topicID, !topic.id.isZero { return }
            for number in gathering.lanes.count..<max(count, gathering.lanes.count) {
                gathering.lanes.append(PartitionLane(TopicPartition(name, Int32(number)), options: producer.options))
                gathering.open.append(nil)
            }
            if gathering.partitionCount == 0 || gathering.sticky >= count { gathering.sticky = Int.random(in: 0..<count) }
            (gathering.partitionCount, gathering.topicID) = (count, topic.id)
            if topic.partitions[gathering.sticky].leader == nil { stick(&gathering, topic.partitions) }
        }
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
        if let partition {
            let count = partitionCount
            guard (0..<count).contains(Int(partition)) else {
                throw .invalid("the topic \(name) has no partition \(partition), only 0 to \(count - 1)")
            }
        }
        if producer.inbox.isClosed { throw .closed }
        guard producer.inbox.reserve(byteCount) else { return false }
        let timestampMs = timestampMs ?? WallClock.nowMs()
        let startsLingering = gathering.withLock { gathering in
            var index = partition.map(Int.init) ?? choose(key, gathering)
            while let open = gathering.open[index], open.openByteCount + byteCount > options.batchByteCount {
                close(index, &gathering)
                // Which may be one that records with keys have filled.
                if partition == nil, key == nil { index = gathering.sticky }
            }
            let batch = gathering.open[index] ?? open(index, &gathering)
            let notify = completion.map { completion in
                { @Sendable [lane = batch.lane] result in completion(lane.partition, result) }
            }
            batch.append(key: key, value: value, headers: headers, timestampMs: timestampMs, accounted: byteCount, completion: notify)
            if batch.openByteCount >= options.batchByteCount { close(index, &gathering) }
            guard gathering.openCount > 0, !gathering.isLingering else { return false }
            gathering.isLingering = true
            return true
        }
        if startsLingering { producer.linger(self, until: .now() + options.linger) }
        return true
    }

    private func choose(_ key: UnsafeRawBufferPointer?, _ gathering: borrowing Gathering) -> Int {
        guard let key else { return gathering.sticky }
        return Murmur2.partition(of: key, partitionCount: gathering.partitionCount)
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
        if index == gathering.sticky { stick(&gathering, producer.cluster.metadata.topics[name]?.partitions ?? []) }
        producer.accept(batch)
    }

    /// Chooses another partition for records without a key: one that has a leader, if any has.
    private func stick(_ gathering: inout Gathering, _ partitions: [ClusterMetadata.Partition]) {
        let count = gathering.partitionCount
        if count < 2 { return }
        func isLed(_ index: Int) -> Bool { partitions.indices.contains(index) && partitions[index].leader != nil }
        let present = gathering.sticky
        let other = (present + Int.random(in: 1..<count)) % count
        let led = isLed(other) ? nil : (0..<count).filter { $0 != present && isLed($0) }.randomElement()
        gathering.sticky = led ?? other
    }

    func enqueue(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader], timestampMs: Int64?, partition: Int32?,
        completion: (@Sendable (TopicPartition, Result<Int64, ClientError>) -> Void)? = nil
    ) throws(ClientError) -> Bool {
        do {
            return try (key ?? []).withUnsafeBytes { keyBytes in
                try (value ?? []).withUnsafeBytes { valueBytes in
                    try enqueue(
                        key: key == nil ? nil : keyBytes, value: value == nil ? nil : valueBytes, headers: headers, timestampMs: timestampMs,
                        partition: partition, completion: completion)
                }
            }
        } catch {
            throw error as? ClientError ?? .closed
        }
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
