internal import KafkaProtocol

/// Where a transactional id stands. The names are Kafka's.
enum TransactionPhase: Int8, CaseIterable {
    case empty
    case ongoing
    /// Decided and durable, but not every store has its markers yet. A transaction in one store is never kept so, only told so
    /// while its end is on its way to the disk.
    case prepareCommit
    case prepareAbort
    case completeCommit
    case completeAbort

    var name: String {
        switch self {
        case .empty: "Empty"
        case .ongoing: "Ongoing"
        case .prepareCommit: "PrepareCommit"
        case .prepareAbort: "PrepareAbort"
        case .completeCommit: "CompleteCommit"
        case .completeAbort: "CompleteAbort"
        }
    }

    /// Names that Kafka knows and that no id is in here: the end of an id and of an epoch is one step.
    static let namesUnused: Set<String> = ["Dead", "PrepareEpochFence"]

    /// What others are told: an end that is not on disk yet is not complete.
    func told(isEnding: Bool) -> Self {
        switch self {
        case .completeCommit where isEnding: .prepareCommit
        case .completeAbort where isEnding: .prepareAbort
        default: self
        }
    }

    var isPrepared: Bool { self == .prepareCommit || self == .prepareAbort }

    /// A transaction has begun and is not yet at its end.
    var isOpen: Bool { self == .ongoing || isPrepared }
}

/// The partitions and groups of a transaction in one store, in the order in which they were added.
struct TransactionShare: Sendable, Equatable {
    private(set) var partitions: [UInt32] = []
    private(set) var groupIDs: [String] = []
    private var known: Set<UInt32> = []

    var count: Int { partitions.count + groupIDs.count }
    var isEmpty: Bool { partitions.isEmpty && groupIDs.isEmpty }

    init(partitions: [UInt32] = [], groupIDs: [String] = []) {
        self.partitions = partitions
        self.groupIDs = groupIDs
        known = Set(partitions)
    }

    func contains(_ partition: UInt32) -> Bool { known.contains(partition) }
    func contains(group: String) -> Bool { groupIDs.contains { ExactString($0) == ExactString(group) } }

    mutating func add(_ partition: UInt32) {
        if known.insert(partition).inserted { partitions.append(partition) }
    }

    mutating func add(group: String) {
        if !contains(group: group) { groupIDs.append(group) }
    }
}

/// The part of a transaction that is in another store, and how far that store has been told.
struct TransactionParticipant: Sendable, Equatable {
    var share = TransactionShare()
    /// The step that the store has to have.
    var revision: Int64
    /// The last step that it is known to have; forgotten at a restart, since telling it again does no harm.
    var acknowledged: Int64 = -1
    /// Monotonic milliseconds: when to tell it again.
    var tellAgainMs: Int64

    var isSettled: Bool { acknowledged >= revision }
}

/// A transactional id: who may use it, and what of its transaction is known.
struct TransactionalProducer: Sendable, Equatable {
    /// Clients get epochs up to this one; the one above it is kept for fencing its holder.
    static let epochMax = Int16.max - 1

    var producerID: Int64
    /// −1 before it was given to anybody.
    var epoch: Int16 = -1
    /// What the same client had before, so that its request, repeated because the answer was lost, is known again.
    /// −1 when whoever had it before has no more business here.
    var previousProducerID: Int64 = -1
    var previousEpoch: Int16 = -1
    /// The present epoch came with the end of a transaction (KIP-890), asked for by the holder of the previous one.
    var isBumpedByEnd = false
    var timeoutMs: Int32
    var phase = TransactionPhase.empty
    /// Milliseconds since 1970: when the open transaction began. −1 when there is none.
    var startedMs: Int64 = -1
    /// Milliseconds since 1970: the last change, from which the id's expiry counts.
    var changedMs: Int64
    var revision: Int64 = 0
    var own = TransactionShare()
    var elsewhere: [Int32: TransactionParticipant] = [:]
    /// What the markers of a prepared end say.
    var markerProducerID: Int64 = -1
    var markerEpoch: Int16 = -1
    /// Monotonic milliseconds: the transaction's end at the latest, or the id's.
    var deadlineMs: Int64 = 0

    init(producerID: Int64, timeoutMs: Int32, changedMs: Int64) {
        self.producerID = producerID
        self.timeoutMs = timeoutMs
        self.changedMs = changedMs
    }

    var isExhausted: Bool { epoch >= Self.epochMax }
    var addedCount: Int { elsewhere.values.reduce(own.count) { $0 + $1.share.count } }
    var isSettledElsewhere: Bool { elsewhere.values.allSatisfy(\.isSettled) }

    func contains(_ partition: TransactionPartition, ownStore: Int32) -> Bool {
        partition.store == ownStore ? own.contains(partition.id) : elsewhere[partition.store]?.share.contains(partition.id) ?? false
    }

    func contains(_ group: TransactionGroup, ownStore: Int32) -> Bool {
        group.store == ownStore ? own.contains(group: group.id) : elsewhere[group.store]?.share.contains(group: group.id) ?? false
    }

    /// Monotonic milliseconds: the soonest moment at which there is something to do.
    var nextDeadline: Int64? {
        let telling = elsewhere.values.filter { !$0.isSettled }.map(\.tellAgainMs).min()
        // What is prepared is decided: it waits for other stores, not for a timeout.
        if phase.isPrepared { return telling }
        return min(deadlineMs, telling ?? .max)
    }
}

// MARK: Rows

extension TransactionalProducer {
    /// What the coordinator's own store keeps.
    var row: TransactionRow {
        var detail = TransactionDetail()
        detail.revision = revision
        detail.phase = phase.rawValue
        detail.timeoutMs = timeoutMs
        detail.startedMs = startedMs
        detail.changedMs = changedMs
        detail.previousProducerID = previousProducerID
        detail.previousEpoch = previousEpoch
        detail.isBumpedByEnd = isBumpedByEnd
        detail.markerProducerID = markerProducerID
        detail.markerEpoch = markerEpoch
        detail.participants = elsewhere.sorted { $0.key < $1.key }.map { store, participant in
            TransactionDetail.Participant {
                $0.store = store
                $0.partitions = participant.share.partitions.map { Int32(bitPattern: $0) }
                $0.groupIDs = participant.share.groupIDs
            }
        }
        return TransactionRow(
            producerID: producerID, producerEpoch: epoch, isOpen: phase == .ongoing, partitions: own.partitions, groupIDs: own.groupIDs,
            detail: detail.encoded())
    }

    /// What another store keeps: its part of the gate.
    func row(for participant: TransactionParticipant) -> TransactionRow {
        let isOpen = phase == .ongoing
        var detail = TransactionDetail()
        detail.revision = participant.revision
        return TransactionRow(
            producerID: producerID, producerEpoch: epoch, isOpen: isOpen, partitions: isOpen ? participant.share.partitions : [],
            groupIDs: isOpen ? participant.share.groupIDs : [], detail: detail.encoded())
    }

    init(_ row: TransactionRow, options: TransactionOptions, at moment: Moment) throws(TransactionDetail.Unreadable) {
        let detail = try TransactionDetail(row.detail)
        guard let phase = TransactionPhase(rawValue: detail.phase) else { throw TransactionDetail.Unreadable() }
        self.init(producerID: row.producerID, timeoutMs: detail.timeoutMs, changedMs: detail.changedMs)
        epoch = row.producerEpoch
        previousProducerID = detail.previousProducerID
        previousEpoch = detail.previousEpoch
        isBumpedByEnd = detail.isBumpedByEnd
        self.phase = phase
        startedMs = detail.startedMs
        revision = detail.revision
        own = TransactionShare(partitions: row.partitions, groupIDs: row.groupIDs)
        markerProducerID = detail.markerProducerID
        markerEpoch = detail.markerEpoch
        for participant in detail.participants {
            let share = TransactionShare(partitions: participant.partitions.map { UInt32(bitPattern: $0) }, groupIDs: participant.groupIDs)
            elsewhere[participant.store] = TransactionParticipant(share: share, revision: detail.revision, tellAgainMs: moment.monotonicMs)
        }
        // What has passed is known by the wall clock only. However wrong it is, a transaction is given no more than its
        // whole timeout and an id no more than its whole expiry.
        let (since, span) = phase.isOpen ? (startedMs, Int64(timeoutMs)) : (changedMs, options.idExpirationMs)
        let (passed, overflow) = moment.wallClockMs.subtractingReportingOverflow(since)
        deadlineMs = moment.monotonicMs + (overflow ? 0 : min(max(span - passed, 0), span))
    }
}
