import KafkaProtocol

extension RefusableApi {
    static let transactions = [
        RefusableApi(InitProducerIdRequest.self, coordinatorErrors + [.concurrentTransactions]),
        RefusableApi(AddPartitionsToTxnRequest.self, coordinatorErrors + [.concurrentTransactions, .unknownTopicOrPartition]),
        RefusableApi(AddOffsetsToTxnRequest.self, coordinatorErrors + [.concurrentTransactions]),
        RefusableApi(EndTxnRequest.self, coordinatorErrors + [.concurrentTransactions]),
        RefusableApi(TxnOffsetCommitRequest.self, coordinatorErrors + [.concurrentTransactions, .unknownTopicOrPartition, .requestTimedOut]),
        RefusableApi(DescribeTransactionsRequest.self, coordinatorErrors),
        RefusableApi(ListTransactionsRequest.self, [.coordinatorLoadInProgress, .coordinatorNotAvailable]),
        RefusableApi(DescribeProducersRequest.self, [.notLeaderOrFollower, .unknownTopicOrPartition]),
        RefusableApi(WriteTxnMarkersRequest.self, leaderErrors),
    ]
}

extension InitProducerIdRequest: Refusable {
    func refusal(_ code: ErrorCode) -> InitProducerIdResponse? {
        // Any broker gives an id to a producer that is idempotent only.
        if transactionalID == nil, code == .notCoordinator || code == .concurrentTransactions { return nil }
        return InitProducerIdResponse { ($0.errorCode, $0.producerEpoch) = (code, -1) }
    }
}

extension AddPartitionsToTxnRequest: Refusable {
    /// Versions to 3, which are for clients.
    func refusal(_ code: ErrorCode) -> AddPartitionsToTxnResponse? {
        AddPartitionsToTxnResponse {
            $0.resultsByTopic = topics.map { topic in
                AddPartitionsToTxnResponse.Topic {
                    $0.name = topic.name
                    $0.resultsByPartition = topic.partitions.map { index in
                        AddPartitionsToTxnResponse.Partition { ($0.partitionIndex, $0.partitionErrorCode) = (index, code) }
                    }
                }
            }
        }
    }
}

extension AddOffsetsToTxnRequest: Refusable {
    func refusal(_ code: ErrorCode) -> AddOffsetsToTxnResponse? { AddOffsetsToTxnResponse { $0.errorCode = code } }
}

extension EndTxnRequest: Refusable {
    func refusal(_ code: ErrorCode) -> EndTxnResponse? { EndTxnResponse { $0.errorCode = code } }
}

extension TxnOffsetCommitRequest: Refusable {
    func refusal(_ code: ErrorCode) -> TxnOffsetCommitResponse? {
        TxnOffsetCommitResponse {
            $0.topics = topics.map { topic in
                TxnOffsetCommitResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitions.map { part in
                        OffsetCommitResponse.Partition { ($0.partitionIndex, $0.errorCode) = (part.partitionIndex, code) }
                    }
                }
            }
        }
    }
}

extension DescribeTransactionsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DescribeTransactionsResponse? {
        DescribeTransactionsResponse {
            $0.transactionStates = transactionalIDs.map { id in
                DescribeTransactionsResponse.Transaction { ($0.transactionalID, $0.errorCode) = (id, code) }
            }
        }
    }
}

extension ListTransactionsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ListTransactionsResponse? { ListTransactionsResponse { $0.errorCode = code } }
}

extension DescribeProducersRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DescribeProducersResponse? {
        DescribeProducersResponse {
            $0.topics = topics.map { topic in
                DescribeProducersResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitionIndexes.map { index in
                        DescribeProducersResponse.Partition { ($0.partitionIndex, $0.errorCode) = (index, code) }
                    }
                }
            }
        }
    }
}

extension WriteTxnMarkersRequest: Refusable {
    func refusal(_ code: ErrorCode) -> WriteTxnMarkersResponse? {
        WriteTxnMarkersResponse {
            $0.markers = markers.map { marker in
                WriteTxnMarkersResponse.Marker {
                    $0.producerID = marker.producerID
                    $0.topics = marker.topics.map { topic in
                        WriteTxnMarkersResponse.Topic {
                            $0.name = topic.name
                            $0.partitions = topic.partitionIndexes.map { index in
                                WriteTxnMarkersResponse.Partition { ($0.partitionIndex, $0.errorCode) = (index, code) }
                            }
                        }
                    }
                }
            }
        }
    }
}
