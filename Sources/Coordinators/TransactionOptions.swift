/// What the operator sets about transactions, and what keeps clients from filling the memory.
public struct TransactionOptions: Sendable, Equatable {
    /// `transaction.max.timeout.ms`: a client asking for more gets INVALID_TRANSACTION_TIMEOUT.
    public var timeoutMsMax: Int32 = 900_000
    /// `transactional.id.expiration.ms`: how long an id without an open transaction is remembered.
    public var idExpirationMs: Int64 = 604_800_000
    /// How many transactional ids are remembered. One more is refused with POLICY_VIOLATION until others expire.
    public var idsMax = 200_000
    /// Partitions in one transaction. More are refused with POLICY_VIOLATION.
    public var partitionsMax = 20_000
    /// Groups in one transaction. More are refused with POLICY_VIOLATION.
    public var groupsMax = 200
    /// Partitions and groups in all open transactions together. More are refused with POLICY_VIOLATION.
    public var addedMax = 4_000_000
    /// How long an id whose step could not be written is left alone by `advance`; Kafka looks for expired transactions as often
    /// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
    public var failureRetryMs: Int64 = 10_000
    /// How long another store is waited for before it is told again.
    public var deliveryRetryMs: Int64 = 1_000
    /// How many ids one call of `advance` sees to at most.
    public var dueMax = 1_000

    public init() {}
}
