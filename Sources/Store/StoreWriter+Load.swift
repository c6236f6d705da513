internal import DequeModule
internal import KafkaProtocol
internal import LMDB
internal import Synchronization

extension StoreWriter {
    /// Takes over what is on disk. Partitions that are known already keep their identity, and what readers see of them.
    func load() throws(StoreError) {
        var snapshot = try lmdb("reading the store") { () throws(LMDBError) in try environment.snapshot() }
        let image = try StoreImage(snapshot, databases)
        snapshot.park()
        // Those that readers and submissions hold; the commit that failed may have taken some out of the writer's own.
        let known = shared.catalog.withLock { $0.partitions }
        catalog = Catalog()
        sealQueue = []
        deletions = []
        journal = image.journal
        counters = image.counters
        brokerConfigs = [String: String](image.brokerConfigs.configs)
        deletedTopics = image.deletedTopics
        for (id, loaded) in image.partitions { take(loaded, as: id, known[id]) }
        producers.start(at: image.partitions.values.reduce(0) { $0 + $1.state.producers.count })
        for (id, loaded) in image.topics {
            let partitions = loaded.row.runs.flatMap(\.ids).compactMap { catalog.partitions[$0] }
            let topic = Topic(
                name: loaded.name, id: id, partitions: partitions, runs: loaded.row.runs, configs: [String: String](loaded.row.configs),
                defaults: topicDefaults)
            tellUnusableConfigs(of: topic)
            catalog.set(topic)
        }
        takeGroups(image)
        takeTransactions(image)
        shared.catalog.withLock { catalog in
            self.catalog.version = catalog.version + 1
            catalog = self.catalog
        }
        shared.brokerConfigs.withLock { $0 = brokerConfigs }
    }

    /// What was set had been checked; a later version may be stricter, and an operator is to know what does not hold any more.
    func tellUnusableConfigs(of topic: Topic) {
        for setting in topic.unusableConfigs {
            options.onEvent(
                StoreEvent(severity: .warning, message: "topic '\(topic.name)': \(setting) The broker's default holds instead."))
        }
    }

    private func take(_ loaded: StoreImage.LoadedPartition, as id: PartitionID, _ known: Partition?) {
        let partition: Partition
        if let known {
            known.state = loaded.state
            partition = known
        } else {
            partition = Partition(id: id, topicID: loaded.topicID, index: loaded.index, state: loaded.state, tail: loaded.tail)
        }
        catalog.partitions[id] = partition
        if partition.state.unsealedByteCount >= extentByteCountMax - directByteCountMin {
            partition.state.isQueuedForSealing = true
            sealQueue.append(partition)
        }
        // The queue of deletions is not on disk: whatever may have something to delete is looked at.
        if partition.state.isDeleted || partition.state.logStartOffset > 0 { queueDeletion(partition) }
    }

    // MARK: - When a commit fails

    /// The commit of `group` failed and nothing of it is on disk: answers it, and settles what the store does from now on.
    func fail(_ group: [Submission], _ error: LMDBError) {
        let bytes = group.reduce(0) { $0 + $1.byteCount }
        guard isForWantOfRoom(error, needing: bytes) else {
            return stop("\(error) while writing; the data directory may be on a failing disk. Restart the broker once it is mended", group)
        }
        do { try load() } catch {
            return stop("the disk is full, and reading the store again failed: \(error)", group)
        }
        budget.commitFailed(error, needing: bytes, environment)
        become(.full("\(error); \(budget.sentence)"))
        for submission in group { submission.fail(.full(budget.sentence)) }
    }

    /// A full file system, a quota that is used up, or a full map. Anything else may be a sync that failed, and is not tried again:
    /// what the kernel could not write it may since have marked as clean.
    private func isForWantOfRoom(_ error: LMDBError, needing byteCount: Int) -> Bool {
        switch error {
        case .mapFull, .noSpace, .overQuota: true
        case .inputOutput: budget.looksFull(needing: byteCount)
        default: false
        }
    }

    func stop(_ reason: String, _ group: [Submission]) {
        become(.stopped(reason))
        for submission in group { submission.fail(.stopped(reason)) }
    }

    // MARK: - Shutdown

    /// Seals everything and empties the journal, in commits of bounded size, and leaves the mark of a clean shutdown.
    func shutDown() throws(LMDBError) {
        if case .stopped = state { return }
        while !journal.entries.isEmpty {
            var draft = CommitDraft(timeMs: wallClockMs(), sequence: journal.nextSequence, valueByteCountMax: sizing.byteCountMax)
            var budget = SweepBudget(byteCount: 64 << 20, rowCount: 100_000)
            var transaction = try environment.begin()
            try trim(entries: 4096, &budget, keepingLast: false, &draft, &transaction)
            if journal.entries.isEmpty {
                var row = ShutdownRow()
                row.sequence = Int64(journal.lastSequence)
                try transaction.put("shutdown", row.encoded(), in: databases.meta)
            }
            try transaction.commit()
            publish(draft)
        }
    }
}
