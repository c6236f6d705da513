import KafkaClient
import KafkaProtocol

/// Writes out the records that are wanted, until enough have come.
struct RecordPrinter {
    let out = StandardOutput()
    private let view: RecordView
    private let filter: RecordFilter
    /// Records still to be written; nil for any number.
    private var left: Int?
    /// Where each partition is to end; nothing of a partition ends that is not among them.
    private let ends: [TopicPartition: Int64]
    /// Those that have not ended yet; nil when somebody else says when it is done.
    private var open: Set<TopicPartition>?

    /// - Parameters:
    ///   - starts: Where each partition begins, as far as that is known, to tell when all have ended; nil to be told when it is done.
    ///   - ends: Nil to go on for ever.
    init(view: RecordView, filter: RecordFilter, starts: [TopicPartition: Int64]?, ends: [TopicPartition: Int64]?, limit: Int?) {
        (self.view, self.filter, left, self.ends) = (view, filter, limit, ends ?? [:])
        if let starts, let ends { open = Set(ends.filter { end in starts[end.key].map { $0 < end.value } ?? true }.keys) }
    }

    /// Whether there was to be an end at all.
    var hasEnd: Bool { left != nil || open != nil }
    var isDone: Bool { left == 0 || open?.isEmpty == true }

    /// - Returns: the offset behind the last record that was written or passed over: where to go on.
    @discardableResult
    mutating func print(_ records: FetchedRecords) throws -> Int64 {
        let partition = records.partition
        let end = ends[partition] ?? Int64.max
        var left = left
        var next: Int64?
        try records.forEachRecord { record, reader in
            guard record.offset < end, left != 0 else {
                next = record.offset
                return false
            }
            guard filter.takes(record, reader) else { return true }
            try out.append { view.write(record, reader, topic: partition.topic, partition: partition.partition, to: &$0) }
            left = left.map { $0 - 1 }
            return true
        }
        self.left = left
        if records.nextOffset >= end { open?.remove(partition) }
        return next ?? records.nextOffset
    }
}
