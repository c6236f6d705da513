internal import KafkaProtocol
internal import Store

/// OffsetFetch, versions 1–9: what groups have committed, as it is on disk. −1 without an error where nothing is
/// committed, for groups and topics that do not exist too. Several groups at once from version 8 on (KIP-709). Who wants
/// stable offsets is told UNSTABLE_OFFSET_COMMIT where a transaction is about to replace one (KIP-447).
struct OffsetFetchHandler: Handler {
    func handle(_ request: OffsetFetchRequest, _ call: Call, _ reply: Reply) {
        var response = OffsetFetchResponse()
        if call.header.version >= 8 {
            // A group named twice is answered once: answers may be long.
            var seen: Set<ExactString> = []
            let groups = request.groups.filter { seen.insert($0.groupID) }
            response.groups = groups.map { Self.answer($0, requireStable: request.requireStable, call) }
        } else {
            var asked = OffsetFetchRequest.Group()
            asked.groupID = request.groupID
            asked.topics = request.topics?.map { topic in
                var one = OffsetFetchRequest.GroupTopic()
                one.name = topic.name
                one.partitionIndexes = topic.partitionIndexes
                return one
            }
            let answer = Self.answer(asked, requireStable: request.requireStable, call)
            response.errorCode = answer.errorCode
            response.topics = answer.topics.map { $0.beforeEight }
        }
        reply.send(response)
    }

    private static func answer(_ asked: OffsetFetchRequest.Group, requireStable: Bool, _ call: Call) -> OffsetFetchResponse.Group {
        var answer = OffsetFetchResponse.Group()
        answer.groupID = asked.groupID
        answer.errorCode = call.broker.groups.admitFetch(
            groupID: asked.groupID, memberID: asked.memberID, memberEpoch: asked.memberEpoch)
        // Before any offset is read, or a transaction that ends in between would be missed.
        let pending = requireStable ? call.broker.store.pendingOffsets(of: asked.groupID) : nil
        if let topics = asked.topics.map(Self.unique) {
            // Version 1 has no place for an error but the partitions, later ones have none for partitions beside one.
            guard answer.errorCode == .none || call.header.version < 2 else { return answer }
            answer.topics = Self.topics(topics, of: asked.groupID, answer.errorCode, call.broker.store)
        } else if answer.errorCode == .none {
            answer.topics = allTopics(of: asked.groupID, call.broker.store)
        }
        if let pending { markUnstable(&answer, pending, call.broker.store) }
        return answer
    }

    private static func unique(_ topics: [OffsetFetchRequest.GroupTopic]) -> [OffsetFetchRequest.GroupTopic] {
        var named = NamedPartitions()
        return topics.map { topic in
            var unique = topic
            unique.partitionIndexes = named.new(topic.partitionIndexes, of: topic.name)
            return unique
        }
    }

    /// An offset that an open transaction is about to replace is not to be gone by (KIP-447).
    private static func markUnstable(_ answer: inout OffsetFetchResponse.Group, _ pending: PendingOffsetKeys, _ store: Store) {
        for topic in answer.topics.indices {
            guard let id = store.topic(named: answer.topics[topic].name)?.id else { continue }
            for (place, partition) in answer.topics[topic].partitions.enumerated()
            where pending.contains(OffsetKey(topicID: id, partition: partition.partitionIndex)) {
                answer.topics[topic].partitions[place] = Self.partition(partition.partitionIndex, nil, .unstableOffsetCommit)
            }
        }
    }

    /// All in one look: who commits several offsets at once is seen to have committed all of them, or none.
    private static func topics(
        _ asked: [OffsetFetchRequest.GroupTopic], of groupID: String, _ errorCode: ErrorCode, _ store: Store
    ) -> [OffsetFetchResponse.GroupTopic] {
        var keys: [OffsetKey] = []
        var answers: [OffsetFetchResponse.GroupTopic] = []
        // Where its offset will be found, for each partition of a topic that is there.
        var firstKeys: [Int?] = []
        for one in asked {
            let id = errorCode == .none ? store.topic(named: one.name)?.id : nil
            firstKeys.append(id == nil ? nil : keys.count)
            if let id { keys += one.partitionIndexes.map { OffsetKey(topicID: id, partition: $0) } }
        }
        let offsets = store.committedOffsets(of: groupID, at: keys)
        for (one, firstKey) in zip(asked, firstKeys) {
            var topic = OffsetFetchResponse.GroupTopic()
            topic.name = one.name
            topic.partitions = one.partitionIndexes.enumerated().map { place, index in
                partition(index, firstKey.flatMap { offsets[$0 + place] }, errorCode)
            }
            answers.append(topic)
        }
        return answers
    }

    private static func allTopics(of groupID: String, _ store: Store) -> [OffsetFetchResponse.GroupTopic] {
        var topics: [Uuid: OffsetFetchResponse.GroupTopic] = [:]
        for (key, offset) in store.committedOffsets(of: groupID) {
            if topics[key.topicID] == nil {
                // Topics that are deleted take their offsets with them.
                guard let name = store.topic(id: key.topicID)?.name else { continue }
                var topic = OffsetFetchResponse.GroupTopic()
                topic.name = name
                topics[key.topicID] = topic
            }
            topics[key.topicID]?.partitions.append(partition(key.partition, offset, .none))
        }
        for id in topics.keys { topics[id]?.partitions.sort { $0.partitionIndex < $1.partitionIndex } }
        return topics.values.sorted { $0.name < $1.name }
    }

    private static func partition(
        _ index: Int32, _ offset: CommittedOffset?, _ errorCode: ErrorCode
    ) -> OffsetFetchResponse.GroupPartition {
        var partition = OffsetFetchResponse.GroupPartition()
        partition.partitionIndex = index
        partition.committedOffset = offset?.offset ?? -1
        partition.committedLeaderEpoch = offset?.leaderEpoch ?? -1
        partition.metadata = offset?.metadata ?? ""
        partition.errorCode = errorCode
        return partition
    }
}

extension OffsetFetchResponse.GroupTopic {
    /// The same in the form of the versions for one group.
    fileprivate var beforeEight: OffsetFetchResponse.Topic {
        var topic = OffsetFetchResponse.Topic()
        topic.name = name
        topic.partitions = partitions.map { partition in
            var one = OffsetFetchResponse.Partition()
            one.partitionIndex = partition.partitionIndex
            one.committedOffset = partition.committedOffset
            one.committedLeaderEpoch = partition.committedLeaderEpoch
            one.metadata = partition.metadata
            one.errorCode = partition.errorCode
            return one
        }
        return topic
    }
}
