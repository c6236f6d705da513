/// What the store keeps of a transactional id. By it the store itself decides which transactional batches and offsets it takes,
/// whatever races between those who ask.
public struct TransactionState: Sendable, Equatable {
    public var producerID: Int64
    /// The one epoch that may write.
    public var producerEpoch: Int16
    /// Whether a transaction is under way that takes batches and offsets.
    public var isOpen: Bool
    /// What was added to the transaction.
    public var partitions: [PartitionID]
    public var groupIDs: [String]
    /// Whatever else the coordinator keeps; opaque to the store.
    public var coordinatorState: [UInt8]

    public init(
        producerID: Int64, producerEpoch: Int16, isOpen: Bool = false, partitions: [PartitionID] = [], groupIDs: [String] = [],
        coordinatorState: [UInt8] = []
    ) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.isOpen = isOpen
        self.partitions = partitions
        self.groupIDs = groupIDs
        self.coordinatorState = coordinatorState
    }

    var byteCount: Int { groupIDs.reduce(64 + 4 * partitions.count + coordinatorState.count) { $0 + $1.utf8.count + 3 } }
}

/// How a transaction ends in this store: a marker in each of its partitions, and its offsets committed or dropped.
public struct TransactionEnd: Sendable, Equatable {
    public var producerID: Int64
    /// Of the markers. Greater than that of the transaction's batches, it fences off whatever of them is still on its way (KIP-890).
    public var producerEpoch: Int16
    public var isCommit: Bool
    public var coordinatorEpoch: Int32
    /// Those that no longer exist are passed over.
    public var partitions: [PartitionID]
    public var groupIDs: [String]

    public init(
        producerID: Int64, producerEpoch: Int16, isCommit: Bool, coordinatorEpoch: Int32 = 0, partitions: [PartitionID], groupIDs: [String] = []
    ) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
        self.partitions = partitions
        self.groupIDs = groupIDs
    }
}

/// One step of a transaction: all of it in one commit.
public struct TransactionChange: Sendable {
    /// At most `idByteCountMax` bytes of UTF-8. Empty: the step is of no transactional id that this store knows, and changes no state;
    /// then a marker that is older than what its partition has seen is refused.
    public var transactionalID: String
    /// What is kept from now on; nil deletes it, and what is pending of its offsets.
    public var state: TransactionState?
    /// What ends with this step; nil: nothing.
    public var end: TransactionEnd?
    /// Asked on the committer's thread, with what is kept until then: false passes over the whole step, which is no refusal. For steps
    /// that may come more than once or out of order, from the coordinator of another store. Nil: the step always applies.
    public var applies: (@Sendable (_ over: TransactionState?) -> Bool)?

    public init(
        transactionalID: String, state: TransactionState?, end: TransactionEnd? = nil,
        applies: (@Sendable (_ over: TransactionState?) -> Bool)? = nil
    ) {
        self.transactionalID = transactionalID
        self.state = state
        self.end = end
        self.applies = applies
    }

    // A key of LMDB has at most 511 bytes.
    public static let idByteCountMax = 500
    /// Of one state, so that it fits a journal entry: some forty thousand partitions.
    public static let stateByteCountMax = 200_000

    /// About what it takes in the journal.
    var byteCount: Int { transactionalID.utf8.count + (state?.byteCount ?? 0) + 140 * (end?.partitions.count ?? 0) + 64 }

    /// Why the store cannot hold it; nil where it can.
    var refusal: StoreError? {
        guard transactionalID.utf8.count <= Self.idByteCountMax else {
            return .tooLarge("a transactional id has at most \(Self.idByteCountMax) bytes, not \(transactionalID.utf8.count)")
        }
        guard state?.byteCount ?? 0 <= Self.stateByteCountMax else {
            return .tooLarge("the transaction of '\(transactionalID)' has more partitions and groups than are kept for one")
        }
        return nil
    }
}

/// Offsets of a group that a transaction commits when it does.
public struct PendingOffsetChange: Sendable {
    public var producerID: Int64
    public var producerEpoch: Int16
    /// An offset for a topic that does not exist is passed over.
    public var offsets: [(key: OffsetKey, value: CommittedOffset)]

    public init(producerID: Int64, producerEpoch: Int16, offsets: [(key: OffsetKey, value: CommittedOffset)]) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.offsets = offsets
    }
}
