public import KafkaProtocol
import NIOCore
import Synchronization

/// Writes records to partitions, and commits offsets of groups, all or nothing (KIP-98, KIP-890).
///
///     let producer = TransactionalProducer(cluster, transactionalID: "payments-1")
///     try await producer.initialize()
///     try producer.begin()
///     try await producer.send(key: nil, value: Array("hello".utf8), to: "greetings")
///     try await producer.commit()
///     await producer.close()
///
/// Of the producers with one transactional id only the one initialized last can write: the others are *fenced*, and what
/// they had open is aborted. What a fenced producer is asked fails with `PRODUCER_FENCED`; it is of no use any more. After
/// `TRANSACTION_ABORTABLE` the transaction is to be aborted, and the next may begin. When `commit` or `abort` fail
/// otherwise, whether they were carried out is not known: asking for the same again is safe, and tells.
///
/// One task at a time begins and ends transactions; within one, any number may send.
public final class TransactionalProducer: Sendable {
    public let cluster: Cluster
    public let transactionalID: String
    /// After so long the coordinator aborts a transaction that is still open, and fences the producer.
    public let timeout: Duration
    private let isVersion2Allowed: Bool
    private let producer: Producer
    private let progress: Mutex<TransactionProgress>

    /// - Parameter options: Always idempotent and acknowledged by all. `onDelivery` tells offsets before the transaction is
    ///   committed.
    public convenience init(
        _ cluster: Cluster, transactionalID: String, timeout: Duration = .seconds(60), options: ProducerOptions = ProducerOptions()
    ) {
        self.init(cluster, transactionalID: transactionalID, timeout: timeout, options: options, isVersion2Allowed: true)
    }

    /// - Parameter isVersion2Allowed: False for the protocol of brokers before KIP-890.
    init(_ cluster: Cluster, transactionalID: String, timeout: Duration, options: ProducerOptions, isVersion2Allowed: Bool) {
        self.cluster = cluster
        self.transactionalID = transactionalID
        self.timeout = timeout
        self.isVersion2Allowed = isVersion2Allowed
        var options = options
        (options.acknowledgement, options.isIdempotent) = (.all, true)
        let failures = TransactionFailures()
        let gate = TransactionGate(transactionalID: transactionalID) { failures.tell($0) }
        producer = Producer(cluster, options: options, gate: gate)
        progress = Mutex(TransactionProgress(transactionalID: transactionalID))
        failures.listener.withLock { $0.producer = self }
    }

    /// Takes the transactional id over: what its last holder had open is aborted, and the holder fenced. Once, before the
    /// first transaction.
    public func initialize() async throws(ClientError) {
        try progress.withLock { progress throws(ClientError) in try progress.checkUninitialized() }
        let (identity, isVersion2) = try await askIdentity(nil)
        try await assume(identity, isVersion2: isVersion2)
        progress.withLock { $0.initialized(identity, isVersion2: isVersion2) }
    }

    public func begin() throws(ClientError) {
        try progress.withLock { progress throws(ClientError) in try progress.begin() }
    }

    // MARK: What is in the transaction

    /// Takes a record into the transaction, waiting while the producer's buffer is full. Whether it is delivered, `commit`
    /// tells: a record that cannot be makes the transaction one that can only be aborted.
    ///
    /// - Parameters:
    ///   - partition: Nil to choose by the key, or, without one, to spread.
    ///   - timestampMs: Milliseconds since 1970, nil for now.
    public func send(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestampMs: Int64? = nil, to topic: String, partition: Int32? = nil
    ) async throws(ClientError) {
        try progress.withLock { progress throws(ClientError) in try progress.checkOpen() }
        do throws(ClientError) {
            let topic = try await producer.topic(topic, with: partition)
            while true {
                // Under the lock: what is taken in before the transaction is ended is in it.
                let isTaken = try progress.withLock { progress throws(ClientError) in
                    try progress.checkOpen()
                    let isTaken = try topic.enqueue(key: key, value: value, headers: headers, timestampMs: timestampMs, partition: partition)
                    if isTaken { progress.hasContent = true }
                    return isTaken
                }
                if isTaken { return }
                await producer.room(key, value, headers)
            }
        } catch {
            // One that came too late for the transaction is none of it.
            progress.withLock { if $0.phase == .open { $0.fail(error, isFatal: false) } }
            throw error
        }
    }

    /// Commits with the transaction how far the consumer has come: everything that is done, and what was handed out last
    /// (see `GroupConsumer.done(before:)`). The consumer must not commit by itself
    /// (`GroupConsumerOptions.autoCommitInterval` nil). After an abort, `GroupConsumer.rewind` makes it read the same again.
    public func sendOffsets(of consumer: GroupConsumer) async throws(ClientError) {
        guard consumer.options.autoCommitInterval == nil else {
            throw .invalid("the consumer of \(consumer.group) commits by itself: its autoCommitInterval must be nil")
        }
        let positions = consumer.state.withLock { $0.settled() }
        let (known, isVersion2) = try progress.withLock { progress throws(ClientError) in
            try progress.checkOpen()
            if !positions.isEmpty { progress.hasContent = true }
            return (progress.identity, progress.isVersion2)
        }
        guard let identity = known, !positions.isEmpty else { return }
        do throws(ClientError) {
            if !isVersion2 { try await TransactionAddition(transactionalID: transactionalID, identity: identity).add(group: consumer.group, cluster) }
            try await consumer.commit(positions, transactionalID: transactionalID, producer: identity, isVersion2: isVersion2)
            progress.withLock { $0.offsets.append((consumer, positions)) }
        } catch {
            progress.withLock { $0.fail(error, isFatal: error.endsTransactionalProducer) }
            throw error
        }
    }

    // MARK: Its end

    /// Delivers what was sent and commits it. When this returns, readers of committed records see all of it.
    public func commit() async throws(ClientError) {
        try progress.withLock { progress throws(ClientError) in try progress.beginEnd(isCommit: true) }
        await producer.flush()
        try progress.withLock { progress throws(ClientError) in try progress.checkDelivered() }
        try await end(isCommit: true)
    }

    /// Ends the transaction so that readers of committed records see nothing of it. What was not delivered yet is dropped.
    public func abort() async throws(ClientError) {
        try progress.withLock { progress throws(ClientError) in try progress.beginEnd(isCommit: false) }
        let sender = producer.sender
        try await cluster.onLoop { sender.gate?.abandonment = .invalid("the transaction is aborted") }
        await producer.flush()
        try await end(isCommit: false)
    }

    /// Aborts what is open, takes no more, and closes the connections.
    public func close() async {
        let isOpen = progress.withLock { progress in
            switch progress.phase {
            case .open, .failed: true
            default: false
            }
        }
        // What cannot be aborted now is aborted by the coordinator, when its time is over or the id is taken over.
        if isOpen { try? await abort() }
        let sender = producer.sender
        try? await cluster.onLoop { sender.gate?.abandonment = .closed }
        await producer.close()
    }

    private func end(isCommit: Bool) async throws(ClientError) {
        let (known, isVersion2, hasContent) = progress.withLock { ($0.identity, $0.isVersion2, $0.hasContent) }
        guard let identity = known else { throw .invalid("the producer of \(transactionalID) is not initialized") }
        var next = identity
        do throws(ClientError) {
            if hasContent { next = try await askEnd(isCommit, identity, isVersion2: isVersion2) }
            // Numbers of what was dropped are missing: the next transaction counts anew.
            if hasContent, !isCommit, !isVersion2 { next = try await askIdentity(identity).identity }
        } catch {
            progress.withLock { progress in
                if error.endsTransactionalProducer {
                    progress.fail(error, isFatal: true)
                } else if isCommit, error.code == .transactionAbortable {
                    progress.refuseCommit(error)
                }
            }
            throw error
        }
        try await assume(next, isVersion2: isVersion2)
        let offsets = progress.withLock { progress in
            defer { progress.ended(next) }
            return progress.offsets
        }
        if isCommit { for (consumer, positions) in offsets { consumer.committed(byTransaction: positions) } }
    }

    // MARK: What is asked of the coordinator

    /// Repeated while the answer is missing: the coordinator knows an end that it has carried out (KIP-890).
    private func askEnd(_ isCommit: Bool, _ identity: ProducerIdentity, isVersion2: Bool) async throws(ClientError) -> ProducerIdentity {
        let request = EndTxnRequest {
            ($0.transactionalID, $0.producerID, $0.producerEpoch, $0.committed) = (transactionalID, identity.id, identity.epoch, isCommit)
        }
        return try await cluster.atCoordinator(of: transactionalID, .transaction) { (connection) async throws(ClientError) in
            let response = try await connection.call(request, atMost: isVersion2 ? .max : 4)
            switch response.errorCode {
            case .none: break
            // Nothing of an aborted transaction had reached the broker.
            case .invalidTxnState where !isCommit && !isVersion2: return identity
            case let code: throw ClientError.broker(code, "the transaction of \(self.transactionalID) cannot be \(isCommit ? "committed" : "aborted")")
            }
            guard isVersion2, response.producerID >= 0 else { return identity }
            return ProducerIdentity(id: response.producerID, epoch: response.producerEpoch)
        }
    }

    /// - Parameter present: The identity to go on from (KIP-360), nil to take the id over.
    private func askIdentity(_ present: ProducerIdentity?) async throws(ClientError) -> (identity: ProducerIdentity, isVersion2: Bool) {
        let request = InitProducerIdRequest {
            ($0.transactionalID, $0.transactionTimeoutMs) = (transactionalID, Int32(clamping: timeout.milliseconds))
            ($0.producerID, $0.producerEpoch) = (present?.id ?? -1, present?.epoch ?? -1)
        }
        return try await cluster.atCoordinator(of: transactionalID, .transaction) { (connection) async throws(ClientError) in
            let response = try await connection.call(request)
            guard response.errorCode == .none else {
                throw ClientError.broker(response.errorCode, "the transactional id \(self.transactionalID) cannot be used")
            }
            return (ProducerIdentity(id: response.producerID, epoch: response.producerEpoch), connection.hasTransactionVersion2 && self.isVersion2Allowed)
        }
    }

    private func assume(_ identity: ProducerIdentity, isVersion2: Bool) async throws(ClientError) {
        let sender = producer.sender
        try await cluster.onLoop { sender.assume(identity, isVersion2: isVersion2) }
    }

    /// Called on the event loop for each batch that is given up.
    fileprivate func batchFailed(_ error: ClientError) {
        progress.withLock { $0.fail(error, isFatal: error.isFencing) }
    }
}

/// Leads from the sender back to the producer, which comes to be after it.
private final class TransactionFailures: Sendable {
    struct Listener { weak var producer: TransactionalProducer? }

    let listener = Mutex(Listener())

    func tell(_ error: ClientError) { listener.withLock { $0.producer }?.batchFailed(error) }
}
