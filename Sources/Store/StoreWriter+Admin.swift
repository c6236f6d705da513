internal import KafkaProtocol
internal import LMDB

extension StoreWriter {
    /// Decides an administrative operation and journals it.
    func administer(
        _ operation: AdminOperation, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> AdminOutcome {
        if case .stopped(let reason) = state { return .failure(.kafkaStorageError, reason) }
        if !operation.needsNoRoom, let refusal = admit(byteCount: 4096) { return .failure(refusal.errorCode, refusal.description) }
        switch operation {
        case .createTopic(let name, let id, let partitionCount, let configs):
            return try createTopic(name, id ?? .random(), partitionCount, configs, &draft, &transaction)
        case .deleteTopic(let id): return try deleteTopic(id, &draft, &transaction)
        case .createPartitions(let topicID, let total): return try createPartitions(topicID, total, &draft, &transaction)
        case .setTopicConfigs(let topicID, let configs): return try configureTopic(topicID, configs, &draft, &transaction)
        case .setBrokerConfigs(let configs):
            var fields = BrokerConfigured()
            fields.configs = configs.entries
            try record(EncodedOperation(.brokerConfigured, fields, touching: [.brokerConfigs]), &draft, &transaction)
            brokerConfigs = configs
            draft.brokerConfigs = configs
            return .done
        case .moveLogStart(let id, let offset): return try moveLogStart(id, offset, &draft, &transaction)
        case .allocateProducerIDs(let count):
            let first = counters.nextProducerID
            var fields = ProducerIDAllocated()
            // The last of them: the next one comes after it.
            fields.producerID = first + Int64(max(count, 1)) - 1
            try record(EncodedOperation(.producerIDAllocated, fields, touching: [.counters]), &draft, &transaction)
            counters.nextProducerID = fields.producerID + 1
            return .producerID(first)
        case .describeProducers(let id): return describeProducers(id)
        case .seal(let id):
            if let partition = catalog.partitions[id] { draft.asksForSealing.append(partition) }
            return .done
        case .setTopicDefaults(let defaults):
            topicDefaults = defaults
            for topic in catalog.byName.values { set(topic.with(defaults: defaults), &draft) }
            return .done
        }
    }

    private func createTopic(
        _ name: String, _ id: Uuid, _ partitionCount: Int, _ configs: [String: String], _ draft: inout CommitDraft,
        _ transaction: inout Transaction
    ) throws(LMDBError) -> AdminOutcome {
        guard (1...Self.topicNameByteCountMax).contains(name.utf8.count) else {
            return .failure(.invalidTopicException, "A topic's name has from 1 to \(Self.topicNameByteCountMax) bytes.")
        }
        if catalog.byName[name] != nil { return .failure(.topicAlreadyExists, "Topic '\(name)' already exists.") }
        if catalog.byID[id] != nil || deletedTopics[id] != nil || offsetCounts[id] != nil {
            return .failure(.topicAlreadyExists, "There is a topic with the id \(id) already.")
        }
        guard partitionCount > 0, partitionCount <= Self.partitionsPerTopicMax else {
            return .failure(.invalidPartitions, "A topic has from 1 to \(Self.partitionsPerTopicMax) partitions, not \(partitionCount).")
        }
        guard hasPartitionIDs(partitionCount) else { return .failure(.invalidPartitions, "The store has no partition ids left.") }
        var fields = TopicCreated()
        fields.name = name
        fields.id = id
        fields.partitions = takePartitionIDs(partitionCount)
        fields.configs = configs.entries
        try record(
            EncodedOperation(.topicCreated, fields, touching: [.topic(id), .counters] + fields.partitions.keys), &draft, &transaction)
        let topic = Topic(
            name: name, id: id, partitions: makePartitions(fields.partitions, topicID: id, from: 0), runs: [fields.partitions],
            configs: configs, defaults: topicDefaults)
        tellUnusableConfigs(of: topic)
        set(topic, &draft)
        return .topic(topic)
    }

    private func deleteTopic(_ id: Uuid, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> AdminOutcome {
        guard let topic = catalog.byID[id] else { return .failure(.unknownTopicID, "There is no topic with the id \(id).") }
        var fields = TopicDeleted()
        fields.id = id
        try record(
            EncodedOperation(.topicDeleted, fields, touching: [.topic(id)] + topic.partitions.map { .partition($0.id) }), &draft,
            &transaction)
        forget(topic, sequence: draft.sequence)
        draft.catalogChanges.append(.remove(topic))
        for partition in topic.partitions { touch(partition, &draft) }
        return .done
    }

    private func createPartitions(
        _ topicID: Uuid, _ total: Int, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> AdminOutcome {
        guard let topic = catalog.byID[topicID] else { return .failure(.unknownTopicOrPartition, "The topic does not exist.") }
        let count = topic.partitions.count
        guard total > count else {
            let sentence =
                total == count
                ? "Topic already has \(count) partitions."
                : "Topic currently has \(count) partitions, which is higher than the requested \(total)."
            return .failure(.invalidPartitions, sentence)
        }
        guard total <= Self.partitionsPerTopicMax else {
            return .failure(.invalidPartitions, "A topic has at most \(Self.partitionsPerTopicMax) partitions, not \(total).")
        }
        guard hasPartitionIDs(total - count) else { return .failure(.invalidPartitions, "The store has no partition ids left.") }
        var fields = PartitionsCreated()
        fields.topicID = topicID
        fields.partitions = takePartitionIDs(total - count)
        try record(
            EncodedOperation(.partitionsCreated, fields, touching: [.topic(topicID), .counters] + fields.partitions.keys), &draft,
            &transaction)
        let grown = topic.with(
            adding: fields.partitions, partitions: makePartitions(fields.partitions, topicID: topicID, from: Int32(count)),
            defaults: topicDefaults)
        set(grown, &draft)
        return .topic(grown)
    }

    private func configureTopic(
        _ id: Uuid, _ configs: [String: String], _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> AdminOutcome {
        guard let topic = catalog.byID[id] else { return .failure(.unknownTopicOrPartition, "The topic does not exist.") }
        var fields = TopicConfigured()
        fields.topicID = id
        fields.configs = configs.entries
        try record(EncodedOperation(.topicConfigured, fields, touching: [.topic(id)]), &draft, &transaction)
        let configured = topic.with(configs: configs, defaults: topicDefaults)
        tellUnusableConfigs(of: configured)
        set(configured, &draft)
        return .topic(configured)
    }

    private func moveLogStart(
        _ id: PartitionID, _ offset: Int64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> AdminOutcome {
        guard let partition = catalog.partitions[id], !partition.state.isDeleted else {
            return .failure(.unknownTopicOrPartition, "The partition does not exist.")
        }
        let target = offset == -1 ? partition.state.nextOffset : offset
        guard target >= 0, target <= partition.state.nextOffset else {
            return .failure(
                .offsetOutOfRange, "The offset \(offset) is beyond the high watermark, \(partition.state.nextOffset).")
        }
        if target > partition.state.logStartOffset {
            var fields = LogStartMoved()
            fields.partition = Int32(bitPattern: id.rawValue)
            fields.offset = target
            try record(EncodedOperation(.logStartMoved, fields, touching: [.partition(id)]), &draft, &transaction)
            touch(partition, &draft)
            partition.state.logStartOffset = target
            partition.state.isRowBehindLogStart = true
            queueDeletion(partition)
        }
        return .logStart(partition.state.logStartOffset)
    }

    private func describeProducers(_ id: PartitionID) -> AdminOutcome {
        guard let partition = catalog.partitions[id], !partition.state.isDeleted else {
            return .failure(.unknownTopicOrPartition, "The partition does not exist.")
        }
        let now = wallClockMs()
        var active: [ProducerDescription] = []
        active.reserveCapacity(partition.state.producers.count)
        for (id, state) in partition.state.producers
        where now - state.lastAppendTimeMs < options.producerExpirationMs || state.transactionStart >= 0 {
            active.append(
                ProducerDescription(
                    producerID: id, producerEpoch: Int32(state.epoch), lastSequence: state.lastSequence,
                    lastTimestamp: state.batches.last?.timestamp ?? state.lastAppendTimeMs, coordinatorEpoch: state.coordinatorEpoch,
                    currentTransactionStartOffset: state.transactionStart))
        }
        return .producers(active)
    }

    // MARK: - Shared with the replay of the journal

    /// More would make one topic's rows and replies too large to handle.
    static let partitionsPerTopicMax = 100_000

    /// As in Kafka; a key of `topics` must not be longer than LMDB's 511 bytes.
    private static let topicNameByteCountMax = 249

    /// Ids are never used again.
    private func hasPartitionIDs(_ count: Int) -> Bool { Int(counters.nextPartitionID) + count < Int(Int32.max) }

    private func takePartitionIDs(_ count: Int) -> PartitionRun {
        var run = PartitionRun()
        run.first = counters.nextPartitionID
        run.count = Int32(count)
        counters.nextPartitionID += Int32(count)
        return run
    }

    private func makePartitions(_ run: PartitionRun, topicID: Uuid, from index: Int32) -> [Partition] {
        run.ids.enumerated().map { Partition(id: $1, topicID: topicID, index: index + Int32($0)) }
    }

    private func set(_ topic: Topic, _ draft: inout CommitDraft) {
        catalog.set(topic)
        draft.catalogChanges.append(.set(topic))
    }

    /// Takes the topic out of the catalog and hands its partitions to the sweep.
    private func forget(_ topic: Topic, sequence: UInt64) {
        catalog.remove(topic)
        deletedTopics[topic.id] = DeletedTopic(name: topic.name, sequence: sequence)
        for partition in topic.partitions {
            partition.state.isDeleted = true
            partition.state.logStartOffset = partition.state.nextOffset
            queueDeletion(partition)
        }
    }
}

extension PartitionRun {
    var ids: [PartitionID] { (0..<count).map { PartitionID(rawValue: UInt32(bitPattern: first + $0)) } }
    var keys: [StateKey] { ids.map { .partition($0) } }
}
