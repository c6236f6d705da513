import KafkaClient
import KafkaProtocol

/// Writes records out until enough have come.
struct RecordPrinter {
    let out = StandardOutput()
    /// Nil for JSON.
    private let format: RecordFormat?
    private var left: Int?
    /// Partitions whose end is still to come, with it; nil to go on for ever.
    private var ends: [TopicPartition: Int64]?

    init(format: RecordFormat?, starts: [TopicPartition: Int64], ends: [TopicPartition: Int64]?, limit: Int?) {
        self.format = format
        left = limit
        self.ends = ends?.filter { end in starts[end.key].map { $0 < end.value } ?? false }
    }

    /// Whether there was to be an end at all.
    var hasEnd: Bool { left != nil || ends != nil }
    var isDone: Bool { left == 0 || ends?.isEmpty == true }

    /// - Returns: the offset behind the last record that was written or passed over: where to go on.
    @discardableResult
    mutating func print(_ records: FetchedRecords) throws -> Int64 {
        let partition = records.partition
        let end = ends == nil ? Int64.max : ends?[partition] ?? Int64.min
        var left = left
        var next: Int64?
        try records.forEachRecord { record, reader in
            guard record.offset < end, left != 0 else {
                next = record.offset
                return false
            }
            try out.append { bytes in
                if let format {
                    format.write(record, reader, topic: partition.topic, partition: partition.partition, to: &bytes)
                } else {
                    JSONText.write(record, reader, topic: partition.topic, partition: partition.partition, to: &bytes)
                }
            }
            left = left.map { $0 - 1 }
            return true
        }
        self.left = left
        if records.nextOffset >= end { ends?[partition] = nil }
        return next ?? records.nextOffset
    }
}
