import KafkaProtocol

@testable import Broker

// Requests that carry or fetch records.

/// A batch of `values`, one record each, with times from `timestamp` on.
func batch(_ values: [String], timestamp: Int64 = 1_700_000_000_000) throws -> [UInt8] {
    var builder = RecordBatchBuilder()
    for (index, value) in values.enumerated() { builder.append(key: nil, value: Array(value.utf8), timestamp: timestamp + Int64(index)) }
    return try builder.finish()
}

extension ProduceRequest {
    /// One batch for one partition: `batch` is what the request's slices are of.
    init(_ topic: String, _ partition: Int32 = 0, batch: [UInt8], acks: Int16 = -1) {
        self.init(topic, [(partition, FrameSlice(offset: 0, length: batch.count))], acks: acks)
    }

    init(_ topic: String, _ partitions: [(index: Int32, records: FrameSlice)], acks: Int16 = -1) {
        self.init()
        self.acks = acks
        timeoutMs = 1000
        var data = ProduceRequest.Topic()
        data.name = topic
        data.partitionData = partitions.map { index, records in
            var partition = ProduceRequest.Partition()
            partition.index = index
            partition.records = records
            return partition
        }
        topicData = [data]
    }
}

extension FetchRequest {
    /// All of `partitions` of one topic, by name: for versions to 12.
    init(
        _ topic: String, _ partitions: [(index: Int32, offset: Int64)], maxWaitMs: Int32 = 0, minBytes: Int32 = 1,
        session: (id: Int32, epoch: Int32) = (0, -1), partitionMaxBytes: Int32 = 1 << 20
    ) {
        self.init()
        self.maxWaitMs = maxWaitMs
        self.minBytes = minBytes
        (sessionID, sessionEpoch) = session
        guard !partitions.isEmpty else { return }
        var asked = FetchRequest.Topic()
        asked.topic = topic
        asked.partitions = partitions.map { index, offset in
            var partition = FetchRequest.Partition()
            partition.partition = index
            partition.fetchOffset = offset
            partition.partitionMaxBytes = partitionMaxBytes
            return partition
        }
        topics = [asked]
    }
}

extension FetchResponse {
    /// All partitions of all topics.
    var partitions: [FetchResponse.Partition] { responses.flatMap(\.partitions) }

    /// Bytes of records of a partition; nil where it is not in the answer.
    func recordBytes(_ index: Int32) -> Int? { partitions.first { $0.partitionIndex == index }?.records?.length }
}

extension ListOffsetsRequest {
    init(_ topic: String, _ partitions: [(index: Int32, timestamp: Int64)]) {
        self.init()
        var asked = ListOffsetsRequest.Topic()
        asked.name = topic
        asked.partitions = partitions.map { index, timestamp in
            var partition = ListOffsetsRequest.Partition()
            partition.partitionIndex = index
            partition.timestamp = timestamp
            return partition
        }
        topics = [asked]
    }
}
