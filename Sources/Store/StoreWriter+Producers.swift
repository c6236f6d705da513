internal import KafkaProtocol
internal import LMDB

/// How many producers the store remembers, and who is the first to be forgotten where they are too many.
struct RememberedProducers {
    fileprivate struct Candidate {
        var partition: PartitionID
        var producerID: Int64
        var lastAppendTimeMs: Int64
    }

    /// One for each partition that a producer has written to.
    private(set) var count = 0
    /// Those that had written nothing for the longest time when they were last looked for, the first to go at the end.
    fileprivate var candidates: [Candidate] = []
    fileprivate var addedSinceSearch = 0
    fileprivate var toldNs: UInt64?

    mutating func added() {
        count += 1
        addedSinceSearch += 1
    }

    mutating func removed(_ removed: Int) { count -= removed }

    /// The store was read anew.
    mutating func start(at count: Int) {
        self.count = count
        candidates = []
        addedSinceSearch = count
    }
}

/// Producers are forgotten a while after their last append, and earlier where they are too many: a client may call itself by ever
/// new producer ids, and each is a row and some memory.
extension StoreWriter {
    /// Between two searches for candidates so many producers are added: a search looks at all of them.
    private var producersPerSearch: Int { max(options.producersMax / 8, 1) }
    /// How many candidates one new producer costs at most: some have written again, or begun a transaction.
    private static let candidatesPerProducer = 4
    private static let tellingNs: UInt64 = 3_600_000_000_000

    /// A producer was added. Beyond what the store remembers, one is forgotten for it that has written nothing for long, in the same commit.
    func producerWasAdded(at timeMs: Int64, _ transaction: inout Transaction) throws(LMDBError) {
        producers.added()
        guard producers.count > options.producersMax else { return }
        if producers.candidates.isEmpty, producers.addedSinceSearch >= producersPerSearch { findCandidates(at: timeMs) }
        for _ in 0..<Self.candidatesPerProducer {
            guard producers.count > options.producersMax, let candidate = producers.candidates.popLast() else { return }
            try forget(candidate, &transaction)
        }
    }

    /// As many as are too many, and an eighth of the limit; nothing that the commit being made has written itself.
    private func findCandidates(at timeMs: Int64) {
        var found: [RememberedProducers.Candidate] = []
        found.reserveCapacity(producers.count)
        for (id, partition) in catalog.partitions where !partition.state.isDeleted {
            for (producerID, producer) in partition.state.producers
            where producer.transactionStart < 0 && producer.lastAppendTimeMs != timeMs {
                found.append(.init(partition: id, producerID: producerID, lastAppendTimeMs: producer.lastAppendTimeMs))
            }
        }
        found.sort { $0.lastAppendTimeMs > $1.lastAppendTimeMs }
        producers.candidates = Array(found.suffix(producers.count - options.producersMax + producersPerSearch))
        producers.addedSinceSearch = 0
        tellOfEarlyForgetting()
    }

    /// What a submission counts for among what one commit takes, in bytes of records. Looking through 200,000 producers takes the committer
    /// some 25 ms, as long as writing some MiB does.
    func weight(of submission: Submission) -> Int {
        guard case .admin(.describeProducers(let id), _) = submission.work else { return submission.byteCount }
        return Self.weightOfProducer * (catalog.partitions[id]?.state.producers.count ?? 0)
    }

    private static let weightOfProducer = 40

    private func tellOfEarlyForgetting() {
        let nowNs = monotonicNs()
        if let toldNs = producers.toldNs, nowNs - toldNs < Self.tellingNs { return }
        producers.toldNs = nowNs
        let message =
            "\(options.producersMax) producers are remembered (lmbroker.producers.max): for each new one, one that has written nothing "
            + "for the longest time is forgotten, before producer.id.expiration.ms has passed"
        options.onEvent(StoreEvent(severity: .warning, message: message))
    }

    private func forget(_ candidate: RememberedProducers.Candidate, _ transaction: inout Transaction) throws(LMDBError) {
        guard let partition = catalog.partitions[candidate.partition], !partition.state.isDeleted,
            let producer = partition.state.producers[candidate.producerID], producer.transactionStart < 0,
            producer.lastAppendTimeMs == candidate.lastAppendTimeMs
        else { return }
        partition.state.forgetProducer(candidate.producerID)
        producers.removed(1)
        // The row does not wait for the partition's: nothing may ever be written there again, and a start would take in all rows that are
        // left. Without it, a start knows of the producer what the journal still says, and that is its last batches.
        partition.state.staleProducers.remove(candidate.producerID)
        try transaction.delete(ProducerKey(candidate.partition, candidate.producerID), in: databases.producers)
    }

    /// Forgets whose last append is `producerExpirationMs` ago. Their rows go with the partition's, which is to be written now.
    func forgetExpiredProducers(of partition: Partition, now: Int64) {
        // Rows are written often, and there may be many producers.
        guard abs(now - partition.state.expiryLookedForMs) >= min(options.producerExpirationMs, 60_000) else { return }
        partition.state.expiryLookedForMs = now
        // A producer whose transaction is open is still to be told how it ended.
        let expired = partition.state.producers.filter {
            now - $0.value.lastAppendTimeMs >= options.producerExpirationMs && $0.value.transactionStart < 0
        }
        for id in expired.keys {
            partition.state.forgetProducer(id)
            partition.state.staleProducers.insert(id)
        }
        producers.removed(expired.count)
    }
}

extension PartitionState {
    mutating func forgetProducer(_ id: Int64) {
        producers[id] = nil
        // A dictionary keeps the room of the most that it ever held.
        guard producers.capacity > 1_024, producers.count < producers.capacity / 4 else { return }
        producers = Dictionary(uniqueKeysWithValues: producers.lazy.map { ($0.key, $0.value) })
    }
}
