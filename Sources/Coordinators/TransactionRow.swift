/// A partition as its store knows it. The names are the broker's business.
public struct TransactionPartition: Hashable, Sendable {
    /// Which store it is in.
    public var store: Int32
    /// The partition's number within its store, never used again for another one.
    public var id: UInt32

    public init(store: Int32 = 0, id: UInt32) {
        self.store = store
        self.id = id
    }
}

/// A consumer group and the store that its offsets are in.
public struct TransactionGroup: Hashable, Sendable {
    public var store: Int32
    public var id: String

    public init(store: Int32 = 0, id: String) {
        self.store = store
        self.id = id
    }
}

/// What one store keeps of a transactional id. All but `detail` is the gate by which the store's writer judges every
/// transactional batch and every pending offset, whatever races: it lets in only what is of this producer id and epoch,
/// while `isOpen`, for these partitions and groups.
public struct TransactionRow: Sendable, Equatable {
    public var producerID: Int64
    public var producerEpoch: Int16
    public var isOpen: Bool
    /// Partitions of this store in the open transaction.
    public var partitions: [UInt32]
    /// Groups of this store whose offsets are in the open transaction.
    public var groupIDs: [String]
    /// What the coordinator has to know besides; opaque to the store. In the store of the coordinator it is its state,
    /// in any other only the revision.
    public var detail: [UInt8]

    public init(producerID: Int64, producerEpoch: Int16, isOpen: Bool, partitions: [UInt32], groupIDs: [String], detail: [UInt8]) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.isOpen = isOpen
        self.partitions = partitions
        self.groupIDs = groupIDs
        self.detail = detail
    }
}

/// The end of a transaction in one store: a control batch (COMMIT or ABORT) for each of the partitions, and the
/// producer's pending offsets of each of the groups applied or dropped.
public struct TransactionMarkers: Sendable, Equatable {
    public var producerID: Int64
    /// The epoch of the control batches: where the end bumps the epoch, already the next one, so that the partitions
    /// themselves refuse what was sent before the end and comes after it (KIP-890).
    public var producerEpoch: Int16
    public var isCommit: Bool
    public var coordinatorEpoch: Int32
    public var partitions: [UInt32]
    public var groupIDs: [String]

    public init(producerID: Int64, producerEpoch: Int16, isCommit: Bool, coordinatorEpoch: Int32, partitions: [UInt32], groupIDs: [String]) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
        self.partitions = partitions
        self.groupIDs = groupIDs
    }
}

/// A change of one store that is atomic: row and markers are on disk together or not at all.
public struct TransactionStep: Sendable, Equatable {
    public var transactionalID: String
    /// The row from now on; nil deletes it.
    public var row: TransactionRow?
    /// Written before the row takes effect.
    public var markers: TransactionMarkers?

    public init(transactionalID: String, row: TransactionRow?, markers: TransactionMarkers? = nil) {
        self.transactionalID = transactionalID
        self.row = row
        self.markers = markers
    }

    /// True when `row`, which is what the coordinator's own store has, is what this step was decided on. False when a step
    /// in between was lost with a failed write: then this one must not be applied either, since it says nothing of what the
    /// lost one did. To be asked where the store's order is made.
    public func follows(_ row: TransactionRow?) -> Bool {
        guard let next = self.row else { return row?.isOpen != true }
        return TransactionDetail.revision(of: next.detail) == (row.map { TransactionDetail.revision(of: $0.detail) ?? -2 } ?? 0) + 1
    }
}

/// A step for a store other than the coordinator's. It may be sent any number of times and arrive in any order.
public struct TransactionDelivery: Sendable, Equatable {
    public var store: Int32
    /// Of the step. The delivery goes back to `TransactionCoordinator.acknowledge` when it, or a later one, is durable there.
    public var revision: Int64
    public var step: TransactionStep

    public init(store: Int32, revision: Int64, step: TransactionStep) {
        self.store = store
        self.revision = revision
        self.step = step
    }

    /// True when the store that received this has to apply it; false when its row says that it, or a later step, was
    /// applied before: then it is only acknowledged. To be asked where the store's order is made.
    public func applies(over row: TransactionRow?) -> Bool {
        guard let row, let revision = TransactionDetail.revision(of: row.detail) else { return true }
        // An id that expired and came back counts its revisions anew, with a greater producer id.
        let producerID = step.row?.producerID ?? row.producerID
        return producerID == row.producerID ? self.revision > revision : producerID > row.producerID
    }
}

/// What follows from an event: what has to be on disk, and what other stores have to be told.
public struct TransactionEffects: Sendable, Equatable {
    /// Steps of the coordinator's own store, one atomic step together, in the order in which effects are returned.
    /// The answer that came with them leaves when they, and all steps returned before them, are durable. If any of those
    /// failed, the answer is COORDINATOR_NOT_AVAILABLE instead, also where it came without steps: it may rest on them.
    public var steps: [TransactionStep]
    /// To be sent when `steps`, and all steps returned before them, are durable.
    public var deliveries: [TransactionDelivery]

    public init(steps: [TransactionStep] = [], deliveries: [TransactionDelivery] = []) {
        self.steps = steps
        self.deliveries = deliveries
    }

    public var isEmpty: Bool { steps.isEmpty && deliveries.isEmpty }

    mutating func add(_ other: TransactionEffects) {
        steps += other.steps
        deliveries += other.deliveries
    }
}
