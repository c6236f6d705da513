internal import KafkaProtocol

/// One of the last batches of a producer in a partition: enough to know it again and to answer with its offset.
struct ProducerBatch: Fields, Equatable, Sendable {
    var baseSequence: Int32 = 0
    var lastSequence: Int32 = 0
    var baseOffset: Int64 = 0
    var lastOffset: Int64 = 0
    var timestamp: Int64 = -1

    mutating func fields(_ wire: inout some Wire) {
        wire.int32(&baseSequence)
        wire.int32(&lastSequence)
        wire.int64(&baseOffset)
        wire.int64(&lastOffset)
        wire.int64(&timestamp)
    }
}

/// What a partition remembers of an idempotent producer (KIP-98): its epoch and its last five batches.
struct ProducerState: Equatable, Sendable {
    /// As many as a producer may have in flight with its order still guaranteed.
    static let batchesMax = 5

    var epoch: Int16
    var lastAppendTimeMs: Int64
    /// Oldest first.
    private(set) var batches: [ProducerBatch]
    /// Offset of the first batch of its transaction; −1 where none is open.
    var transactionStart: Int64
    /// Of the coordinator that ended its last transaction; −1 before the first end.
    private(set) var coordinatorEpoch: Int32

    init(
        epoch: Int16, lastAppendTimeMs: Int64 = 0, batches: [ProducerBatch] = [], transactionStart: Int64 = -1, coordinatorEpoch: Int32 = -1
    ) {
        self.epoch = epoch
        self.lastAppendTimeMs = lastAppendTimeMs
        self.batches = batches
        self.transactionStart = transactionStart
        self.coordinatorEpoch = coordinatorEpoch
    }

    var lastSequence: Int32 { batches.last?.lastSequence ?? -1 }

    enum Verdict: Equatable {
        case accept
        /// It was written before, as this.
        case duplicate(ProducerBatch)
        case refuse(ErrorCode, String)
    }

    /// Judges a batch of a producer against what the partition knows of it: Kafka's `ProducerAppendInfo` rules.
    /// A producer that is not known, because it is new or was forgotten, may start with any sequence.
    static func judge(_ header: RecordBatchHeader, knowing state: ProducerState?) -> Verdict {
        guard let state else { return .accept }
        if header.producerEpoch < state.epoch {
            return .refuse(
                .invalidProducerEpoch,
                "producer \(header.producerID) is at epoch \(state.epoch), the batch is of epoch \(header.producerEpoch)")
        }
        if header.producerEpoch > state.epoch {
            guard header.baseSequence == 0 else {
                return .refuse(
                    .outOfOrderSequenceNumber,
                    "producer \(header.producerID) begins epoch \(header.producerEpoch) with sequence \(header.baseSequence) instead of 0")
            }
            return .accept
        }
        if let known = state.batches.last(where: { $0.baseSequence == header.baseSequence && $0.lastSequence == header.lastSequence }) {
            return .duplicate(known)
        }
        // Of an epoch that a marker has begun, nothing is written yet.
        let expected = state.batches.last.map { RecordBatchHeader.sequence($0.lastSequence, advancedBy: 1) } ?? 0
        guard header.baseSequence == expected else {
            return .refuse(
                .outOfOrderSequenceNumber,
                "producer \(header.producerID) sent sequence \(header.baseSequence) where \(expected) comes next")
        }
        return .accept
    }

    /// Takes in a batch that was accepted.
    mutating func add(_ batch: ProducerBatch, epoch: Int16, at timeMs: Int64) {
        if epoch != self.epoch {
            self.epoch = epoch
            batches.removeAll(keepingCapacity: true)
        }
        if batches.count == Self.batchesMax { batches.removeFirst() }
        batches.append(batch)
        lastAppendTimeMs = timeMs
    }

    /// Takes in a marker. One of a greater epoch fences off what the producer sent before it.
    mutating func end(epoch: Int16, coordinatorEpoch: Int32, at timeMs: Int64) {
        if epoch > self.epoch {
            self.epoch = epoch
            batches.removeAll(keepingCapacity: true)
        }
        transactionStart = -1
        self.coordinatorEpoch = coordinatorEpoch
        lastAppendTimeMs = timeMs
    }
}

/// An active producer of a partition, for DescribeProducers (KIP-664).
public struct ProducerDescription: Sendable, Equatable {
    public var producerID: Int64
    public var producerEpoch: Int32
    public var lastSequence: Int32
    /// Greatest timestamp of its last batch, in ms.
    public var lastTimestamp: Int64
    public var coordinatorEpoch: Int32
    /// −1 where no transaction is open.
    public var currentTransactionStartOffset: Int64
}
