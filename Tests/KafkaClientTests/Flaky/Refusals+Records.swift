import KafkaProtocol

extension RefusableApi {
    static let records = [
        RefusableApi(
            ProduceRequest.self,
            [
                .notLeaderOrFollower, .leaderNotAvailable, .kafkaStorageError, .unknownTopicOrPartition, .requestTimedOut, .notEnoughReplicas,
                .notEnoughReplicasAfterAppend, .corruptMessage, .concurrentTransactions,
            ]),
        RefusableApi(
            FetchRequest.self,
            leaderErrors + epochErrors
                + [.unknownTopicID, .inconsistentTopicID, .fetchSessionIDNotFound, .invalidFetchSessionEpoch, .fetchSessionTopicIDError]),
        RefusableApi(ListOffsetsRequest.self, leaderErrors + epochErrors),
        RefusableApi(DeleteRecordsRequest.self, leaderErrors + [.requestTimedOut]),
        RefusableApi(MetadataRequest.self, [.leaderNotAvailable]),
    ]
}

extension ProduceRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ProduceResponse? {
        if acks == 0 || code == .concurrentTransactions && transactionalID == nil { return nil }
        return ProduceResponse {
            $0.responses = topicData.map { topic in
                ProduceResponse.Topic {
                    $0.name = topic.name
                    $0.partitionResponses = topic.partitionData.map { part in
                        ProduceResponse.Partition { ($0.index, $0.errorCode, $0.baseOffset) = (part.index, code, -1) }
                    }
                }
            }
        }
    }
}

extension FetchRequest: Refusable {
    func refusal(_ code: ErrorCode) -> FetchResponse? {
        FetchResponse {
            switch code {
            case .fetchSessionIDNotFound, .invalidFetchSessionEpoch, .fetchSessionTopicIDError: return $0.errorCode = code
            default: break
            }
            $0.responses = topics.map { topic in
                FetchResponse.Topic {
                    ($0.topic, $0.topicID) = (topic.topic, topic.topicID)
                    $0.partitions = topic.partitions.map { part in
                        FetchResponse.Partition { ($0.partitionIndex, $0.errorCode, $0.highWatermark) = (part.partition, code, -1) }
                    }
                }
            }
        }
    }
}

extension ListOffsetsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ListOffsetsResponse? {
        ListOffsetsResponse {
            $0.topics = topics.map { topic in
                ListOffsetsResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitions.map { part in
                        ListOffsetsResponse.Partition { ($0.partitionIndex, $0.errorCode) = (part.partitionIndex, code) }
                    }
                }
            }
        }
    }
}

extension DeleteRecordsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DeleteRecordsResponse? {
        DeleteRecordsResponse {
            $0.topics = topics.map { topic in
                DeleteRecordsResponse.Topic {
                    $0.name = topic.name
                    $0.partitions = topic.partitions.map { part in
                        DeleteRecordsResponse.Partition { ($0.partitionIndex, $0.errorCode, $0.lowWatermark) = (part.partitionIndex, code, -1) }
                    }
                }
            }
        }
    }
}

extension MetadataRequest: Refusable {
    /// Topics that are asked for by name; see `FrontAnswer.rewritten`, which has the brokers that belong to it.
    func refusal(_ code: ErrorCode) -> MetadataResponse? {
        guard let topics, !topics.isEmpty else { return nil }
        return MetadataResponse { $0.topics = [MetadataResponse.Topic { $0.errorCode = code }] }
    }
}
