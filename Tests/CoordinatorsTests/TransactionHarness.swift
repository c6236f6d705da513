import KafkaProtocol

@testable import Coordinators

/// A coordinator with a clock and the rows that it had written, for tests that ask one thing after the other.
struct TransactionHarness {
    var coordinator: TransactionCoordinator
    var now = Moment(monotonicMs: 1_000, wallClockMs: 1_700_000_000_000)
    var rows: [String: TransactionRow] = [:]
    /// Of the last request.
    var effects = TransactionEffects()

    static let firstProducerID: Int64 = 100

    init(_ set: (inout TransactionOptions) -> Void = { _ in }) {
        var options = TransactionOptions()
        set(&options)
        coordinator = TransactionCoordinator(options: options, coordinatorEpoch: 7)
        coordinator.supply(producerIDs: Self.firstProducerID..<200)
    }

    var markers: [TransactionMarkers] { effects.steps.compactMap(\.markers) }

    mutating func apply(_ effects: TransactionEffects) {
        self.effects = effects
        for step in effects.steps { rows[step.transactionalID] = step.row }
    }

    mutating func pass(_ milliseconds: Int64) {
        now.monotonicMs += milliseconds
        now.wallClockMs += milliseconds
    }

    /// Time passes, and the coordinator is told.
    @discardableResult mutating func advance(_ milliseconds: Int64) -> [TransactionEffects] {
        pass(milliseconds)
        let all = coordinator.advance(to: now)
        apply(all.reduce(into: TransactionEffects()) { $0.add($1) })
        return all
    }

    /// A new coordinator from the durable rows; its monotonic clock begins anew.
    mutating func restart(after milliseconds: Int64 = 0) throws {
        var fresh = TransactionCoordinator(options: coordinator.options, coordinatorEpoch: 7)
        fresh.supply(producerIDs: 1_000..<2_000)
        now = Moment(monotonicMs: 5, wallClockMs: now.wallClockMs + milliseconds)
        for (transactionalID, row) in rows { try fresh.load(transactionalID, row, at: now) }
        coordinator = fresh
    }

    @discardableResult mutating func begin(
        _ transactionalID: String? = "t", timeoutMs: Int32 = 60_000, producerID: Int64 = -1, epoch: Int16 = -1, version: Int16 = 5
    ) -> InitProducerIdResponse {
        let request = InitProducerIdRequest {
            $0.transactionalID = transactionalID
            $0.transactionTimeoutMs = timeoutMs
            $0.producerID = producerID
            $0.producerEpoch = epoch
        }
        let (response, effects) = coordinator.initProducerID(request, version: version, at: now)
        apply(effects)
        return response
    }

    /// Topic `t` has partitions 0–99 in store 0, topic `far` in store 1.
    static func resolve(_ topic: String) -> (Int32) -> TransactionPartition? {
        { index in
            guard (0..<100).contains(index) else { return nil }
            return topic == "t" ? TransactionPartition(id: UInt32(index)) : topic == "far" ? TransactionPartition(store: 1, id: UInt32(index)) : nil
        }
    }

    static func request(_ transactionalID: String, _ topics: [(String, [Int32])], _ producerID: Int64, _ epoch: Int16) -> AddPartitionsToTxnRequest {
        AddPartitionsToTxnRequest {
            $0.transactionalID = transactionalID
            $0.producerID = producerID
            $0.producerEpoch = epoch
            $0.topics = topics.map { name, partitions in
                AddPartitionsToTxnRequest.Topic {
                    $0.name = name
                    $0.partitions = partitions
                }
            }
        }
    }

    @discardableResult mutating func addPartitions(
        _ transactionalID: String = "t", _ topics: [(String, [Int32])] = [("t", [1])], producerID: Int64 = firstProducerID, epoch: Int16 = 0, version: Int16 = 3
    ) -> [ErrorCode] {
        let request = Self.request(transactionalID, topics, producerID, epoch)
        let (response, effects) = coordinator.addPartitions(request, version: version, at: now, resolve: Self.resolve)
        apply(effects)
        return response.resultsByTopic.flatMap { $0.resultsByPartition.map(\.partitionErrorCode) }
    }

    @discardableResult mutating func addOffsets(
        _ group: String = "g", _ transactionalID: String = "t", producerID: Int64 = firstProducerID, epoch: Int16 = 0, version: Int16 = 3
    ) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            $0.transactionalID = transactionalID
            $0.producerID = producerID
            $0.producerEpoch = epoch
            $0.groupID = group
        }
        let (response, effects) = coordinator.addOffsets(request, version: version, at: now)
        apply(effects)
        return response.errorCode
    }

    @discardableResult mutating func produce(
        _ transactionalID: String? = "t", _ partitions: [UInt32] = [1], store: Int32 = 0, producerID: Int64 = firstProducerID, epoch: Int16 = 0, version: Int16 = 12
    ) -> ErrorCode {
        let (codes, effects) = coordinator.admitProduce(
            transactionalID: transactionalID, producerID: producerID, producerEpoch: epoch,
            partitions: partitions.map { TransactionPartition(store: store, id: $0) }, version: version, at: now)
        apply(effects)
        return codes.first { $0 != .none } ?? .none
    }

    @discardableResult mutating func commitOffsets(
        _ group: String = "g", _ transactionalID: String = "t", producerID: Int64 = firstProducerID, epoch: Int16 = 0, version: Int16 = 5
    ) -> ErrorCode {
        let (code, effects) = coordinator.admitOffsetCommit(
            transactionalID: transactionalID, producerID: producerID, producerEpoch: epoch, group: TransactionGroup(id: group), version: version, at: now)
        apply(effects)
        return code
    }

    @discardableResult mutating func end(
        _ transactionalID: String = "t", commit: Bool = true, producerID: Int64 = firstProducerID, epoch: Int16 = 0, version: Int16 = 5
    ) -> EndTxnResponse {
        let request = EndTxnRequest {
            $0.transactionalID = transactionalID
            $0.producerID = producerID
            $0.producerEpoch = epoch
            $0.committed = commit
        }
        let (response, effects) = coordinator.endTransaction(request, version: version, at: now)
        apply(effects)
        return response
    }

    func state(_ transactionalID: String = "t") -> String {
        let request = DescribeTransactionsRequest { $0.transactionalIDs = [transactionalID] }
        return coordinator.describe(request).answer { ("s\($0.store)", Int32($0.id)) }.transactionStates[0].transactionState
    }

    /// Gives the id an epoch that would take long to get to.
    mutating func setEpoch(_ epoch: Int16, of transactionalID: String = "t") throws {
        rows[transactionalID]?.producerEpoch = epoch
        if let row = rows[transactionalID] { try coordinator.load(transactionalID, row, at: now) }
    }
}
