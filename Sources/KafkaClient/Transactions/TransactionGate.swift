import DequeModule
import KafkaProtocol
import NIOCore

/// A transaction as the event-loop half of its producer sees it: which partitions are in it, and whether anything may
/// still be sent.
final class TransactionGate: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the event loop only.
    let transactionalID: String
    /// Told of each batch that is given up.
    let onFailure: @Sendable (ClientError) -> Void
    /// Partitions come in with their first batch (KIP-890); else they are added first.
    var isVersion2 = false
    var added: Set<TopicPartition> = []
    var isAdding = false
    /// Counts transactions: what is answered late says nothing about the next one.
    var number = 0
    /// While the transaction is aborted: why nothing more is sent of it.
    var abandonment: ClientError?

    init(transactionalID: String, onFailure: @escaping @Sendable (ClientError) -> Void) {
        (self.transactionalID, self.onFailure) = (transactionalID, onFailure)
    }

    /// Produce from version 12 on adds partitions by itself.
    var produceVersionMax: Int16 { isVersion2 ? .max : 11 }

    /// Numbers are not given anew within a transaction: what comes out of order may only wait for what went before it.
    func isForGood(_ code: ErrorCode, _ batch: ProducerBatch) -> Bool {
        code != .outOfOrderSequenceNumber || batch.lane.queue.isEarliest(batch)
    }
}

// What a sender does for a transaction.
extension ProducerSender {
    /// Whether batches may go to the lane's partition now; if not, that is seen to.
    func admit(_ lane: PartitionLane) -> Bool {
        guard let gate, !gate.isVersion2, !gate.added.contains(lane.partition) else { return true }
        guard !gate.isAdding else { return false }
        gate.isAdding = true
        let missing = lanes.values.lazy.filter { !$0.queue.waiting.isEmpty && !gate.added.contains($0.partition) }.map(\.partition)
        let partitions = Set(missing).union([lane.partition])
        let identity = identity
        Task { [cluster, eventLoop, transactionalID = gate.transactionalID, number = gate.number] in
            let result: Result<Void, ClientError>
            do throws(ClientError) {
                guard let identity else { throw .invalid("the producer of \(transactionalID) is not initialized") }
                result = .success(try await TransactionAddition(transactionalID: transactionalID, identity: identity).add(partitions, cluster))
            } catch {
                result = .failure(error)
            }
            eventLoop.execute { self.added(partitions, result, in: number) }
        }
        return false
    }

    private func added(_ partitions: Set<TopicPartition>, _ result: Result<Void, ClientError>, in number: Int) {
        guard let gate else { return }
        gate.isAdding = false
        switch result {
        case _ where number != gate.number: break
        case .success: gate.added.formUnion(partitions)
        case .failure(let error):
            for lane in lanes.values where partitions.contains(lane.partition) { giveUp(lane, error) }
        }
        for lane in lanes.values { stand(lane) }
        pump()
    }

    /// Nothing that waits is sent any more while the transaction is aborted.
    func abandon() {
        // An answer that is still to come would be taken for one of the next transaction.
        guard let gate, let error = gate.abandonment, !gate.isAdding else { return }
        for lane in lanes.values { giveUp(lane, error) }
    }

    private func giveUp(_ lane: PartitionLane, _ error: ClientError) {
        while let batch = lane.queue.waiting.first { finish(batch, .failure(error)) }
    }

    /// The next transaction is sent as `identity`. With another than before, numbers begin anew.
    func assume(_ next: ProducerIdentity, isVersion2: Bool) {
        eventLoop.assertInEventLoop()
        gate?.isVersion2 = isVersion2
        gate?.added = []
        gate?.number += 1
        gate?.abandonment = nil
        guard next != identity else { return }
        identity = next
        for lane in lanes.values { lane.queue.renew() }
    }
}

/// What is told the coordinator before a transaction of version 0 or 1 goes somewhere.
struct TransactionAddition {
    var transactionalID: String
    var identity: ProducerIdentity

    func add(_ partitions: Set<TopicPartition>, _ cluster: Cluster) async throws(ClientError) {
        let request = AddPartitionsToTxnRequest {
            ($0.transactionalID, $0.producerID, $0.producerEpoch) = (transactionalID, identity.id, identity.epoch)
            $0.topics = Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map { topic, partitions in
                AddPartitionsToTxnRequest.Topic { ($0.name, $0.partitions) = (topic, partitions.map(\.partition).sorted()) }
            }
        }
        try await cluster.atCoordinator(of: transactionalID, .transaction) { (connection) async throws(ClientError) in
            // Versions from 4 on are for brokers.
            let response = try await connection.call(request, atMost: 3)
            for topic in response.resultsByTopic {
                // One that is refused keeps the others out, which then say only that nothing was attempted.
                for answer in topic.resultsByPartition where answer.partitionErrorCode != .none && answer.partitionErrorCode != .operationNotAttempted {
                    let partition = TopicPartition(topic.name, answer.partitionIndex)
                    throw ClientError.broker(answer.partitionErrorCode, "\(partition) cannot be added to the transaction of \(transactionalID)")
                }
            }
        }
    }

    func add(group: String, _ cluster: Cluster) async throws(ClientError) {
        let request = AddOffsetsToTxnRequest {
            ($0.transactionalID, $0.producerID, $0.producerEpoch, $0.groupID) = (transactionalID, identity.id, identity.epoch, group)
        }
        try await cluster.atCoordinator(of: transactionalID, .transaction) { (connection) async throws(ClientError) in
            let response = try await connection.call(request)
            guard response.errorCode == .none else {
                throw ClientError.broker(response.errorCode, "the group \(group) cannot be added to the transaction of \(transactionalID)")
            }
        }
    }
}
