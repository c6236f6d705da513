import KafkaProtocol

/// A place in a partition, to be turned into an offset.
public enum PartitionPlace: Sendable, Hashable {
    /// The first record that is still there.
    case earliest
    /// Behind the last record.
    case latest
    case offset(Int64)
    /// The first record at or after this time, in milliseconds since 1970; the end if there is none.
    case timestamp(Int64)
    /// The record with the greatest timestamp (KIP-734); the end if there is none.
    case maxTimestamp

    /// As ListOffsets says it; nil when there is nothing to ask.
    var wireTimestamp: Int64? {
        switch self {
        case .earliest: -2
        case .latest: -1
        case .offset: nil
        case .timestamp(let ms): ms
        case .maxTimestamp: -3
        }
    }

    /// Nil where the partition's leader is to be asked.
    var knownOffset: Int64? { if case .offset(let offset) = self { offset } else { nil } }
}

/// Which records a reader sees.
public enum IsolationLevel: Int8, Sendable {
    case readUncommitted = 0
    /// None of transactions that are open or were aborted.
    case readCommitted = 1
}

extension Admin {
    /// The offsets of places, by asking the partitions' leaders.
    ///
    /// - Parameter limit: How long to ask again; nil for the cluster's `operationTimeout`.
    public func offsets(
        _ places: [TopicPartition: PartitionPlace], isolation: IsolationLevel = .readUncommitted, within limit: Duration? = nil
    ) async throws(ClientError) -> [TopicPartition: Int64] {
        var found: [TopicPartition: Int64] = [:]
        var endless: [TopicPartition: PartitionPlace] = [:]
        var asked: [TopicPartition: PartitionPlace] = [:]
        for (partition, place) in places {
            if let offset = place.knownOffset { found[partition] = offset } else { asked[partition] = place }
        }
        for (partition, offset) in try await ask(asked, isolation, within: limit) {
            if offset >= 0 { found[partition] = offset } else { endless[partition] = .latest }
        }
        for (partition, end) in try await ask(endless, isolation, within: limit) {
            guard end >= 0 else { throw .malformed("the leader of \(partition) says that it ends at \(end)") }
            found[partition] = end
        }
        return found
    }

    /// Asks until every partition has answered.
    private func ask(
        _ places: [TopicPartition: PartitionPlace], _ isolation: IsolationLevel, within limit: Duration?
    ) async throws(ClientError) -> [TopicPartition: Int64] {
        var found: [TopicPartition: Int64] = [:]
        if places.isEmpty { return found }
        return try await atLeaders(Array(places.keys), within: limit) { (connection, partitions) async throws(ClientError) in
            let wanted = partitions.filter { found[$0] == nil }
            if wanted.isEmpty { return found }
            let request = ListOffsetsRequest {
                $0.replicaID = -1
                $0.isolationLevel = isolation.rawValue
                $0.timeoutMs = timeoutMs
                $0.topics = Dictionary(grouping: wanted, by: \.topic).map { topic in
                    ListOffsetsRequest.Topic {
                        $0.name = topic.key
                        $0.partitions = topic.value.map { partition in
                            ListOffsetsRequest.Partition {
                                ($0.partitionIndex, $0.timestamp) = (partition.partition, places[partition]?.wireTimestamp ?? -1)
                            }
                        }
                    }
                }
            }
            // An older broker would take it for a time.
            if wanted.contains(where: { places[$0] == .maxTimestamp }), (connection.version(of: ListOffsetsRequest.self) ?? 7) < 7 {
                throw .unsupported("\(connection.address) cannot find the record with the greatest timestamp; Kafka can from 3.0 on")
            }
            for topic in try await connection.call(request).topics {
                for answer in topic.partitions {
                    let partition = TopicPartition(topic.name, answer.partitionIndex)
                    try check(answer.errorCode, nil, "\(partition) does not tell its offsets")
                    found[partition] = answer.offset
                }
            }
            return found
        }
    }

    /// Where the records end that leaders up to this epoch have taken in, as the present one knows; nil where it does not tell.
    func end(ofEpoch epoch: Int32, in partition: TopicPartition) async throws(ClientError) -> Int64? {
        try await atLeaders([partition]) { (connection, _) async throws(ClientError) -> Int64? in
            guard connection.version(of: OffsetForLeaderEpochRequest.self) != nil else { return nil }
            let request = OffsetForLeaderEpochRequest {
                $0.replicaID = -1
                $0.topics = [
                    OffsetForLeaderEpochRequest.Topic {
                        $0.topic = partition.topic
                        $0.partitions = [
                            OffsetForLeaderEpochRequest.Partition {
                                ($0.partition, $0.leaderEpoch) = (partition.partition, epoch)
                                $0.currentLeaderEpoch = cluster.metadata.facts(of: partition)?.leaderEpoch ?? -1
                            }
                        ]
                    }
                ]
            }
            guard let answer = try await connection.call(request).topics.first?.partitions.first else { throw Self.silent(connection) }
            try check(answer.errorCode, nil, "\(partition) does not tell where its epochs end")
            return answer.endOffset >= 0 ? answer.endOffset : nil
        }
    }

    /// Deletes the records before an offset in each partition, −1 for all that can be read now.
    /// - Returns: the first offset that is left.
    public func deleteRecords(before offsets: [TopicPartition: Int64]) async throws(ClientError) -> [TopicPartition: Int64] {
        var left: [TopicPartition: Int64] = [:]
        if offsets.isEmpty { return left }
        return try await atLeaders(Array(offsets.keys)) { (connection, partitions) async throws(ClientError) in
            let request = DeleteRecordsRequest {
                $0.timeoutMs = timeoutMs
                $0.topics = Dictionary(grouping: partitions, by: \.topic).map { topic in
                    DeleteRecordsRequest.Topic {
                        $0.name = topic.key
                        $0.partitions = topic.value.map { partition in
                            DeleteRecordsRequest.Partition {
                                ($0.partitionIndex, $0.offset) = (partition.partition, offsets[partition] ?? -1)
                            }
                        }
                    }
                }
            }
            for topic in try await connection.call(request, holding: patience).topics {
                for answer in topic.partitions {
                    let partition = TopicPartition(topic.name, answer.partitionIndex)
                    try check(answer.errorCode, nil, "the records of \(partition) cannot be deleted")
                    left[partition] = answer.lowWatermark
                }
            }
            return left
        }
    }

    /// Does `operation` once for each broker that leads some of `partitions`, with fresh metadata after a failure.
    /// - Returns: what the last call returned.
    func atLeaders<Result>(
        _ partitions: [TopicPartition], within limit: Duration? = nil,
        _ operation: (Connection, [TopicPartition]) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        let topics = Array(Set(partitions.map(\.topic)))
        return try await cluster.retrying(within: limit) { () async throws(ClientError) in
            let metadata = try await cluster.refresh(topics)
            // By addresses of this answer: what others learn meanwhile may not have that broker any more.
            var byLeader: [BrokerAddress: [TopicPartition]] = [:]
            for partition in partitions {
                let topic = metadata.topics[partition.topic]
                try check(topic?.error ?? .unknownTopicOrPartition, nil, "the topic \(partition.topic) cannot be used")
                guard let count = topic?.partitions.count, (0..<count).contains(Int(partition.partition)) else {
                    throw ClientError.invalid("there is no partition \(partition.partition) of \(partition.topic)")
                }
                guard let leader = metadata.leader(of: partition).flatMap({ metadata.brokers[$0] }) else {
                    throw ClientError.broker(.leaderNotAvailable, "\(partition) has no leader")
                }
                byLeader[leader, default: []].append(partition)
            }
            var last: Result?
            for (leader, partitions) in byLeader { last = try await operation(try await cluster.connection(to: leader), partitions) }
            guard let last else { throw ClientError.invalid("no partitions were named") }
            return last
        }
    }
}
