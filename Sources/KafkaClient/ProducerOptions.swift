public import KafkaProtocol
public import NIOCore

/// When a broker answers a produce request.
public enum Acknowledgement: Int16, Sendable {
    /// Not at all: records may be lost without notice.
    case none = 0
    /// When the leader has it.
    case leader = 1
    /// When all in-sync replicas have it.
    case all = -1
}

/// How a producer gathers, sends and tries again.
public struct ProducerOptions: Sendable {
    public var acknowledgement = Acknowledgement.all
    /// Numbers batches so that trying again neither repeats nor reorders them (KIP-98). Needs `Acknowledgement.all`.
    public var isIdempotent = true
    public var codec = CompressionCodec.none
    /// A batch is sent once it holds this many bytes before compression. One that its topic does not take is split (KIP-126), but for
    /// one of an idempotent producer that may be there already.
    public var batchByteCount = 256 << 10
    /// A batch that is not full is sent this long after its first record.
    public var linger = TimeAmount.milliseconds(5)
    /// Longest record, in bytes with its key and headers.
    public var recordByteCountMax = 1_000_000
    /// Bytes of records taken in and not delivered, beyond which the producer takes no more.
    public var bufferByteCountMax = 64 << 20
    /// Bytes of batches in one request, after compression; one batch is sent however large.
    public var requestByteCountMax = 4 << 20
    /// Requests to one broker that may wait for their answers; at most 5 while idempotent, since a broker remembers
    /// as many batches of a producer.
    public var requestsInFlightMax = 5
    /// How long a record may take until it is sent for the last time. The answer to that may take the connection's and this producer's
    /// `requestTimeout` more, and waiting for room, or for a topic that is not known yet, comes before.
    public var deliveryTimeout = TimeAmount.seconds(120)
    /// How long a broker may wait for its replicas.
    public var requestTimeout = TimeAmount.seconds(30)
    /// How often topics are looked at for new partitions, which keys are spread over at once.
    public var metadataRefreshInterval = TimeAmount.minutes(5)
    /// Whether a topic that is not there may be created by asking for it.
    public var allowAutoTopicCreation = true
    /// Told of every batch when it is delivered or given up, on the event loop: must return soon.
    public var onDelivery: (@Sendable (BatchDelivery) -> Void)?

    public init() {}

    var requestsPerPartitionMax: Int { isIdempotent ? min(requestsInFlightMax, 5) : requestsInFlightMax }
}

/// What became of a batch.
public struct BatchDelivery: Sendable {
    public var partition: TopicPartition
    public var recordCount: Int
    /// Before compression.
    public var byteCount: Int
    /// The offset of the first record, or why there is none. It is −1 where the broker gives none: with
    /// `Acknowledgement.none`, or when it had forgotten where it put a batch that it was sent twice.
    public var result: Result<Int64, ClientError>
}

/// Where a record is.
public struct RecordPosition: Sendable, Hashable {
    public var partition: TopicPartition
    /// −1 where the broker gives none.
    public var offset: Int64

    public init(partition: TopicPartition, offset: Int64) {
        self.partition = partition
        self.offset = offset
    }
}
