/// How a store is opened. The names in the comments are the broker's properties.
public struct StoreOptions: Sendable {
    /// `lmbroker.store.max.bytes`: how large the file may grow; nil: what the file system can spare less a reserve.
    public var maxBytes: Int?
    /// `lmbroker.journal.max.bytes`: how much may stand in the journal. A start reads the heads of all of it.
    public var journalBytesMax = 200 << 20
    /// How many operations may stand in the journal; bounds the start where batches are small.
    public var journalOperationsMax = 400_000
    /// Address space for the map, in bytes; no file may grow beyond it.
    public var mapByteCount = 1 << 42
    /// Reader slots, for the broker and every tool beside it.
    public var readersMax: UInt32 = 1024
    /// Bytes of record batches in one commit; what comes beyond is the next.
    public var commitBytesMax = 16 << 20
    /// `producer.id.expiration.ms`
    public var producerExpirationMs: Int64 = 86_400_000
    /// `lmbroker.producers.max`: how many producers are remembered, counted in each partition that they write to.
    public var producersMax = 200_000
    /// `lmbroker.reader.warn.ms`: how long a snapshot may be held, by a backup or another process, before it is told.
    public var readerWarningMs: Int64 = 300_000
    public var topicDefaults = TopicSettings()
    /// How long values are to begin with, in pages; see `ExtentSizing`.
    var valuePages = ExtentSizing.pagesMax
    /// How often the committer looks after what else there is, also without work.
    var houseKeepingNs: UInt64 = 10_000_000_000
    /// Without work for so long, the store is idle.
    var idleNs: UInt64 = 25_000_000
    /// After a commit that took less, a lone caller may make the next one itself.
    var shortCommitNs: UInt64 = 2_000_000
    /// What an operator should know; called on any thread.
    public var onEvent: @Sendable (StoreEvent) -> Void = { _ in }

    public init() {}
}

/// One line worth an operator's eye.
public struct StoreEvent: Sendable {
    public enum Severity: Sendable { case debug, info, warning, error }
    public var severity: Severity
    public var message: String
}

/// Whether a store takes writes.
public enum StoreState: Sendable, Equatable {
    case serving
    /// No room for records; reading, deleting and retention go on.
    case full(String)
    /// A write failed; nothing is written until the store is opened again.
    case stopped(String)
}
