import KafkaProtocol

/// An OffsetCommit.
struct OffsetCommit {
    var group: String
    var positions: [TopicPartition: OffsetPosition]
    /// Nil from outside the group.
    var identity: GroupMembership.Identity?
    var instanceID: String?

    /// - Returns: what the coordinator does not take, and why. The rest is committed.
    /// - Throws: what a later attempt may change.
    func send(_ connection: Connection) async throws(ClientError) -> OffsetRefusals {
        let response = try await connection.call(
            OffsetCommitRequest {
                $0.groupID = group
                $0.memberID = identity?.memberID ?? ""
                $0.generationIDOrMemberEpoch = identity?.generation ?? -1
                $0.groupInstanceID = identity == nil ? nil : instanceID
                $0.topics = Dictionary(grouping: positions, by: \.key.topic).sorted { $0.key < $1.key }.map { topic, positions in
                    OffsetCommitRequest.Topic {
                        $0.name = topic
                        $0.partitions = positions.sorted { $0.key.partition < $1.key.partition }.map { partition, position in
                            OffsetCommitRequest.Partition {
                                ($0.partitionIndex, $0.committedOffset) = (partition.partition, position.offset)
                                ($0.committedLeaderEpoch, $0.committedMetadata) = (position.leaderEpoch, position.metadata)
                            }
                        }
                    }
                }
            })
        var refusals = OffsetRefusals()
        for topic in response.topics {
            for answer in topic.partitions where answer.errorCode != .none {
                let partition = TopicPartition(topic.name, answer.partitionIndex)
                try refusals.take(answer.errorCode, of: partition, "the group \(group) cannot commit \(partition)")
            }
        }
        return refusals
    }
}

/// Offsets that a coordinator does not take, however often it is asked: those of partitions that are no more, and with metadata that is
/// too long.
struct OffsetRefusals: Sendable {
    private var errors: [TopicPartition: ClientError] = [:]

    /// - Throws: an error that is not the partition's alone.
    mutating func take(_ code: ErrorCode, of partition: TopicPartition, _ sentence: String) throws(ClientError) {
        switch code {
        // Retriable by its number.
        case .unknownTopicOrPartition: errors[partition] = .invalid("\(sentence): there is no such partition")
        case .offsetMetadataTooLarge: errors[partition] = .broker(code, sentence)
        default: throw .broker(code, sentence)
        }
    }

    func contains(_ partition: TopicPartition) -> Bool { errors[partition] != nil }

    /// - Throws: one of them, if there are any.
    func check() throws(ClientError) { if let error = errors.values.first { throw error } }
}

/// An OffsetFetch.
struct OffsetQuestion {
    var group: String
    /// Nil for all that the group has committed.
    var partitions: Set<TopicPartition>?
    /// A member of KIP-848 shows that it is one; others need not.
    var identity: GroupMembership.Identity?
    /// Wait for transactions that are about to commit offsets (KIP-447).
    var requiresStable = false

    /// - Returns: by partition; without those that nothing is committed for.
    func ask(_ connection: Connection) async throws(ClientError) -> [TopicPartition: OffsetPosition] {
        let topics = partitions.map { partitions in
            Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }
                .map { (topic: $0.key, numbers: $0.value.map(\.partition).sorted()) }
        }
        let response = try await connection.call(
            OffsetFetchRequest {
                // Versions to 7 ask here, later ones in a list of groups (KIP-709).
                $0.groupID = group
                $0.topics = topics?.map { asked in OffsetFetchRequest.Topic { ($0.name, $0.partitionIndexes) = (asked.topic, asked.numbers) } }
                $0.groups = [
                    OffsetFetchRequest.Group {
                        $0.groupID = group
                        $0.memberID = identity?.memberID
                        $0.memberEpoch = identity?.generation ?? -1
                        $0.topics = topics?.map { asked in
                            OffsetFetchRequest.GroupTopic { ($0.name, $0.partitionIndexes) = (asked.topic, asked.numbers) }
                        }
                    }
                ]
                $0.requireStable = requiresStable
            })
        var found: [TopicPartition: OffsetPosition] = [:]
        func take(_ partition: TopicPartition, _ code: ErrorCode, _ offset: Int64, _ epoch: Int32, _ metadata: String?) throws(ClientError) {
            try check(code, "\(partition)")
            if offset >= 0 { found[partition] = OffsetPosition(offset: offset, leaderEpoch: epoch, metadata: metadata ?? "") }
        }
        try check(response.errorCode, "its partitions")
        for topic in response.topics {
            for part in topic.partitions {
                let partition = TopicPartition(topic.name, part.partitionIndex)
                try take(partition, part.errorCode, part.committedOffset, part.committedLeaderEpoch, part.metadata)
            }
        }
        for group in response.groups {
            try check(group.errorCode, "its partitions")
            for topic in group.topics {
                for part in topic.partitions {
                    let partition = TopicPartition(topic.name, part.partitionIndex)
                    try take(partition, part.errorCode, part.committedOffset, part.committedLeaderEpoch, part.metadata)
                }
            }
        }
        return found
    }

    private func check(_ code: ErrorCode, _ what: String) throws(ClientError) {
        if code != .none { throw .broker(code, "the group \(group) does not tell its offsets for \(what)") }
    }
}
