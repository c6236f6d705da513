import KafkaProtocol

@testable import Coordinators

/// One transaction as the client that runs it means it: the records and offsets that have one fate.
struct TransactionTag: Hashable {
    var client: Int
    var number: Int
}

/// Where a record or an offset of a transaction stands.
enum TransactionPlace: Hashable {
    case partition(TransactionPartition)
    case group(TransactionGroup)

    var store: Int32 {
        switch self {
        case .partition(let partition): partition.store
        case .group(let group): group.store
        }
    }
}

/// One end that a coordinator decided, in whichever store its markers are.
struct TransactionEndID: Hashable {
    var transactionalID: String
    var producerID: Int64
    var revision: Int64
}

/// What became of something that was written in a transaction.
struct TransactionFate: Hashable {
    var end: TransactionEndID
    var isCommit: Bool
}

/// A batch, or an offset where the place is a group.
struct SimulatedWrite {
    var place: TransactionPlace
    var producerID: Int64
    var epoch: Int16
    var sequence: Int32
    var tag: TransactionTag
}

/// A store as far as transactions see it: a queue that is lost in a crash, and behind it the rows, partitions and pending
/// offsets, which are not. It judges by its rows alone, as the real one does.
struct SimulatedTransactionStore {
    enum Work {
        case steps([TransactionStep])
        case delivery(TransactionDelivery)
        case write(SimulatedWrite)
    }

    private struct Sequences {
        var epoch: Int16
        var last: Int32
    }

    private struct Holder: Hashable {
        var place: TransactionPlace
        var producerID: Int64
    }

    let number: Int32
    var queue: [(work: Work, done: (ErrorCode) -> Void)] = []
    var rows: [String: TransactionRow] = [:]
    private var sequences: [Holder: Sequences] = [:]
    /// Written since the last marker.
    private var open: [Holder: [TransactionTag]] = [:]
    private(set) var fates: [TransactionTag: [TransactionPlace: Set<TransactionFate>]] = [:]
    var problems: [String] = []

    init(number: Int32) { self.number = number }

    var openTags: Set<TransactionTag> { Set(open.values.joined()) }

    /// All that waits becomes durable, in order.
    mutating func commit() -> [() -> Void] {
        let waiting = queue
        queue = []
        return waiting.map { entry in
            let code = apply(entry.work)
            return { entry.done(code) }
        }
    }

    /// A write fails, and with it all that waited. What comes later is in the queue already. Returns whose steps are lost.
    mutating func fail(_ count: Int) -> Set<String> {
        let lost = queue.prefix(count)
        queue.removeFirst(lost.count)
        return lost.reduce(into: []) { ids, entry in
            if case .steps(let steps) = entry.work { ids.formUnion(steps.map(\.transactionalID)) }
        }
    }

    private mutating func apply(_ work: Work) -> ErrorCode {
        switch work {
        case .steps(let steps):
            guard steps.allSatisfy({ $0.follows(rows[$0.transactionalID]) }) else { return .coordinatorNotAvailable }
            for step in steps { apply(step) }
        case .delivery(let delivery):
            if delivery.applies(over: rows[delivery.step.transactionalID]) { apply(delivery.step) }
        case .write(let write):
            return apply(write)
        }
        return .none
    }

    private mutating func apply(_ step: TransactionStep) {
        let old = rows[step.transactionalID]
        if let markers = step.markers { apply(markers, of: step) }
        if let old, let new = step.row {
            let goesOn = new.producerID == old.producerID ? new.producerEpoch >= old.producerEpoch : new.producerID > old.producerID
            if !goesOn { problems.append("store \(number): \(step.transactionalID) went back from \(old) to \(new)") }
        }
        if step.row == nil, old?.isOpen == true { problems.append("store \(number): \(step.transactionalID) was deleted with a transaction open") }
        rows[step.transactionalID] = step.row
    }

    private mutating func apply(_ markers: TransactionMarkers, of step: TransactionStep) {
        let revision = step.row.flatMap { TransactionDetail.revision(of: $0.detail) } ?? -1
        let end = TransactionEndID(transactionalID: step.transactionalID, producerID: markers.producerID, revision: revision)
        let fate = TransactionFate(end: end, isCommit: markers.isCommit)
        let places =
            markers.partitions.map { TransactionPlace.partition(TransactionPartition(store: number, id: $0)) }
            + markers.groupIDs.map { TransactionPlace.group(TransactionGroup(store: number, id: $0)) }
        for place in places {
            let holder = Holder(place: place, producerID: markers.producerID)
            for tag in open.removeValue(forKey: holder) ?? [] { fates[tag, default: [:]][place, default: []].insert(fate) }
            if let known = sequences[holder] {
                if markers.producerEpoch < known.epoch { problems.append("store \(number): a marker of an old epoch in \(place)") }
                if markers.producerEpoch > known.epoch { sequences[holder] = Sequences(epoch: markers.producerEpoch, last: -1) }
            }
        }
    }

    /// The gate, then the rules of an idempotent producer.
    private mutating func apply(_ write: SimulatedWrite) -> ErrorCode {
        guard let row = rows.values.first(where: { $0.producerID == write.producerID }) else { return .invalidProducerIDMapping }
        if write.epoch != row.producerEpoch { return .invalidProducerEpoch }
        let holder = Holder(place: write.place, producerID: write.producerID)
        switch write.place {
        case .group(let group):
            guard row.isOpen, row.groupIDs.contains(group.id) else { return .invalidTxnState }
        case .partition(let partition):
            guard row.isOpen, row.partitions.contains(partition.id) else { return .invalidTxnState }
            let known = sequences[holder]
            let last = known?.epoch == write.epoch ? known?.last ?? -1 : -1
            if write.sequence <= last { return .none }
            if write.sequence > last + 1 { return .outOfOrderSequenceNumber }
            sequences[holder] = Sequences(epoch: write.epoch, last: write.sequence)
        }
        open[holder, default: []].append(write.tag)
        return .none
    }
}
