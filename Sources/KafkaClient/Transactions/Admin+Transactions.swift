import KafkaProtocol

/// A transactional id, as a list of them shows it.
public struct TransactionListing: Sendable, Equatable {
    public var id: String
    public var producerID: Int64
    /// `Ongoing`, `Empty`, `CompleteCommit` and so on.
    public var state: String
    public var coordinator: BrokerAddress
}

/// A transactional id in full.
public struct TransactionDescription: Sendable, Equatable {
    public var id: String
    public var state: String
    public var producerID: Int64
    public var producerEpoch: Int16
    /// After so many milliseconds the coordinator aborts a transaction that is still open.
    public var timeoutMs: Int32
    /// Milliseconds since 1970; nil while no transaction is open.
    public var startMs: Int64?
    /// What is in the open transaction.
    public var partitions: [TopicPartition]
    public var coordinator: BrokerAddress
}

/// An idempotent or transactional producer, as a partition that it wrote to remembers it (KIP-664).
public struct PartitionProducer: Sendable, Equatable {
    public var id: Int64
    public var epoch: Int32
    public var lastSequence: Int32
    /// Of its last batch, in milliseconds since 1970; −1 when unknown.
    public var lastTimestampMs: Int64
    public var coordinatorEpoch: Int32
    /// The first offset of its open transaction, nil while none is open.
    public var openSince: Int64?
}

extension Admin {
    /// The transactional ids that all brokers coordinate, by id.
    ///
    /// - Parameters:
    ///   - states: Only ids in these states; all when empty.
    ///   - longerThanMs: Only ids whose transaction has been open for longer (KIP-994).
    /// - Throws: `invalid` for a state that the broker does not know.
    public func transactions(
        states: [String] = [], producerIDs: [Int64] = [], longerThanMs: Int64? = nil
    ) async throws(ClientError) -> [TransactionListing] {
        let request = ListTransactionsRequest {
            ($0.stateFilters, $0.producerIDFilters, $0.durationFilter) = (states, producerIDs, longerThanMs ?? -1)
        }
        return try await cluster.retrying { () async throws(ClientError) in
            var found: [TransactionListing] = []
            for (_, address) in try await cluster.refresh([]).brokers.sorted(by: { $0.key < $1.key }) {
                let connection = try await cluster.connection(to: address)
                if longerThanMs != nil, connection.version(of: ListTransactionsRequest.self) == 0 {
                    throw ClientError.unsupported("\(connection.address) cannot tell transactions by their age")
                }
                let response = try await connection.call(request)
                try check(response.errorCode, nil, "\(connection.address) does not list its transactions")
                if let unknown = response.unknownStateFilters.first { throw ClientError.invalid("there is no transaction state \(unknown)") }
                found += response.transactionStates.map { one in
                    TransactionListing(id: one.transactionalID, producerID: one.producerID, state: one.transactionState, coordinator: connection.address)
                }
            }
            return found.sorted { $0.id < $1.id }
        }
    }

    /// A transactional id, or nil if its coordinator knows none of that name.
    public func describeTransaction(_ id: String) async throws(ClientError) -> TransactionDescription? {
        try await cluster.atCoordinator(of: id, .transaction) { (connection) async throws(ClientError) in
            let request = DescribeTransactionsRequest { $0.transactionalIDs = [id] }
            guard let one = try await connection.call(request).transactionStates.first else { throw Self.silent(connection) }
            if one.errorCode == .transactionalIDNotFound { return nil }
            try check(one.errorCode, nil, "the transactional id \(id) cannot be described")
            return TransactionDescription(
                id: one.transactionalID, state: one.transactionState, producerID: one.producerID, producerEpoch: one.producerEpoch,
                timeoutMs: one.transactionTimeoutMs, startMs: one.transactionStartTimeMs < 0 ? nil : one.transactionStartTimeMs,
                partitions: one.topics.flatMap { topic in topic.partitions.map { TopicPartition(topic.topic, $0) } },
                coordinator: connection.address)
        }
    }

    /// The producers that the partition remembers, by id.
    public func producers(of partition: TopicPartition) async throws(ClientError) -> [PartitionProducer] {
        try await atLeaders([partition]) { (connection, _) async throws(ClientError) in
            let request = DescribeProducersRequest {
                $0.topics = [
                    DescribeProducersRequest.Topic { ($0.name, $0.partitionIndexes) = (partition.topic, [partition.partition]) }
                ]
            }
            guard let answer = try await connection.call(request).topics.first?.partitions.first else { throw Self.silent(connection) }
            try check(answer.errorCode, answer.errorMessage, "\(partition) does not tell its producers")
            return answer.activeProducers.map { one in
                PartitionProducer(
                    id: one.producerID, epoch: one.producerEpoch, lastSequence: one.lastSequence, lastTimestampMs: one.lastTimestamp,
                    coordinatorEpoch: one.coordinatorEpoch, openSince: one.currentTxnStartOffset < 0 ? nil : one.currentTxnStartOffset)
            }.sorted { $0.id < $1.id }
        }
    }

    /// Aborts what the producer has open in the partition, whose readers of committed records wait for it (KIP-664). A
    /// broker of lmbroker that knows the transaction aborts all of it, and fences the producer.
    public func abortTransaction(of producer: PartitionProducer, in partition: TopicPartition) async throws(ClientError) {
        try await atLeaders([partition]) { (connection, _) async throws(ClientError) in
            let request = WriteTxnMarkersRequest {
                $0.markers = [
                    WriteTxnMarkersRequest.Marker {
                        ($0.producerID, $0.producerEpoch) = (producer.id, Int16(clamping: producer.epoch))
                        ($0.transactionResult, $0.coordinatorEpoch) = (false, max(producer.coordinatorEpoch, 0))
                        $0.topics = [
                            WriteTxnMarkersRequest.Topic { ($0.name, $0.partitionIndexes) = (partition.topic, [partition.partition]) }
                        ]
                    }
                ]
            }
            guard let answer = try await connection.call(request).markers.first?.topics.first?.partitions.first else {
                throw Self.silent(connection)
            }
            try check(answer.errorCode, nil, "the transaction of producer \(producer.id) in \(partition) cannot be aborted")
        }
    }
}
