public import NIOCore

/// How a consumer fetches.
public struct ConsumerOptions: Sendable {
    /// Most bytes of records in one answer; a batch that is larger comes whole and alone.
    public var fetchByteCountMax = 16 << 20
    /// Most bytes of one partition in one answer.
    public var partitionByteCountMax = 4 << 20
    /// How long a broker holds the answer while there is nothing to send.
    public var fetchWait = TimeAmount.milliseconds(500)
    /// A broker does not answer before it has as many bytes, unless `fetchWait` has passed.
    public var fetchByteCountMin = 1
    /// Bytes fetched ahead and not asked for yet, beyond which nothing more is fetched.
    public var bufferByteCountMax = 64 << 20
    public var isolation = IsolationLevel.readUncommitted
    /// Most bytes that may come out of one compressed batch.
    public var batchByteCountMax = 256 << 20
    /// Where to go on in a partition whose next offset is no more, or not yet; nil to fail instead.
    public var outOfRange: PartitionPlace? = .earliest
    /// Reading fails when no broker has answered for so long; nil to go on trying for ever.
    public var unreachableTimeout: TimeAmount?
    /// Told, on the event loop, why no broker has answered for two seconds, and with nil that one does again.
    public var onUnreachable: (@Sendable (ClientError?) -> Void)?

    public init() {}
}
