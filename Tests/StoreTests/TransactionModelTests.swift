import KafkaProtocol
import Testing

@testable import Store

/// Random producers, plain, idempotent and transactional, on several partitions, with ends of every kind, retention, deleted topics,
/// copies and restarts between them; and after each round, what all readers see against a model.
@Suite struct TransactionModelTests {
    /// One run: a store and what it should be.
    private final class Run {
        var random: Seeded
        var model = TransactionModel()
        let producers = (0..<4).map { TestProducer("transactional-\($0)", producerID: 100 + Int64($0)) }
        var idempotent: [PartitionID: Int32] = [:]
        var store: Store

        init(_ seed: UInt64, _ store: Store) {
            random = Seeded(seed)
            self.store = store
        }
    }

    @Test(arguments: 1...UInt64(16))
    func readersSeeWhatTheModelSees(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        var options = seed % 2 == 0 ? tinyJournalOptions() : smallOptions()
        options.journalBytesMax = seed % 3 == 0 ? 1 << 16 : 1 << 20
        var path = directory.subdirectory("0")
        let run = Run(seed, try Store.open(directory: path, options: options))
        for round in 1...5 {
            for _ in 0..<90 { try step(run) }
            try run.model.expect(run.store, run.producers, &run.random)
            let copy = directory.subdirectory("\(round)")
            // A copy is what kill -9 would leave at this moment; else the store is shut down and opened anew.
            if Bool.random(using: &run.random) {
                try run.store.backup(to: copy)
                path = copy
            }
            run.store.close()
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [], "seed \(seed), round \(round)")
            run.store = try Store.open(directory: path, options: options)
            try run.model.expect(run.store, run.producers, &run.random)
        }
    }

    private func step(_ run: Run) throws {
        let producer = run.producers[Int.random(in: run.producers.indices, using: &run.random)]
        switch Int.random(in: 0..<100, using: &run.random) {
        case 0..<3: try createTopic(run)
        case 3..<4: try deleteTopic(run)
        case 4..<9: try moveLogStart(run)
        case 9..<20: try appendPlainly(run)
        case 20..<62: try send(producer, run)
        case 62..<70: try sendOffsets(producer, run)
        case 70..<72: try commitOffsets(run)
        case 72..<73: try deleteGroup(run)
        default: try end(producer, run)
        }
    }

    private func createTopic(_ run: Run) throws {
        let name = "topic-\(Int.random(in: 0..<3, using: &run.random))"
        guard run.model.topics[name] == nil else { return }
        let count = Int.random(in: 1...4, using: &run.random)
        _ = try run.store.makeTopic(name, partitions: count)
        run.model.topics[name] = Array(repeating: ModelPartition(), count: count)
    }

    private func deleteTopic(_ run: Run) throws {
        guard run.model.topics.count > 1, let name = run.model.topics.keys.sorted().randomElement(using: &run.random),
            let topic = run.store.topic(named: name), case .done = try run.store.administer(.deleteTopic(id: topic.id))
        else { return }
        run.model.forget(topic)
    }

    private func place(_ run: Run) -> (name: String, index: Int, partition: Partition)? {
        guard let name = run.model.topics.keys.sorted().randomElement(using: &run.random), let topic = run.store.topic(named: name) else {
            return nil
        }
        let index = Int.random(in: topic.partitions.indices, using: &run.random)
        return (name, index, topic.partitions[index])
    }

    private func moveLogStart(_ run: Run) throws {
        guard let (name, index, partition) = place(run), let model = run.model.topics[name]?[index] else { return }
        // Retention and DeleteRecords alike; also past where open transactions began.
        let target = Int64.random(in: model.start...model.end, using: &run.random)
        guard case .logStart(target) = try run.store.administer(.moveLogStart(partition: partition.id, to: target)) else {
            throw TestFailure("the log start did not move")
        }
        run.model.topics[name]?[index].start = target
    }

    private func values(_ run: Run) -> [[UInt8]] {
        let size = [10, 10, 200, 200, 4_000, 40_000, 90_000][Int.random(in: 0..<7, using: &run.random)]
        return (0..<Int.random(in: 1...3, using: &run.random)).map { _ in
            [UInt8](repeating: UInt8.random(in: 0...255, using: &run.random), count: Int.random(in: 1...size, using: &run.random))
        }
    }

    private func appendPlainly(_ run: Run) throws {
        guard let (name, index, partition) = place(run) else { return }
        let values = values(run)
        var batch = try makeBatch(values)
        if Bool.random(using: &run.random) {
            let sequence = run.idempotent[partition.id, default: 0]
            batch = try makeBatch(values, producerID: 5, epoch: 0, sequence: sequence)
            run.idempotent[partition.id] = sequence + Int32(values.count)
        }
        #expect(try run.store.append(batch, to: partition).errorCode == .none)
        run.model.topics[name]?[index].append(values)
    }

    private func send(_ producer: TestProducer, _ run: Run) throws {
        guard let (name, index, partition) = place(run) else { return }
        let values = values(run)
        let result = try producer.send(values, to: partition, of: run.store)
        #expect(result.baseOffset == run.model.topics[name]?[index].end)
        run.model.topics[name]?[index].append(values, producerID: producer.producerID, isTransactional: true)
    }

    private func sendOffsets(_ producer: TestProducer, _ run: Run) throws {
        let groupID = Bool.random(using: &run.random) ? "g" : "h"
        for _ in 0..<Int.random(in: 1...3, using: &run.random) {
            guard let (name, index, _) = place(run), let topic = run.store.topic(named: name) else { return }
            let offset = Int64.random(in: 0...1_000, using: &run.random)
            try producer.sendOffsets(groupID, [topic.key(Int32(index)): offset], to: run.store)
            run.model.pending[producer.producerID, default: [:]][groupID, default: [:]][topic.key(Int32(index))] = offset
        }
    }

    private func commitOffsets(_ run: Run) throws {
        guard let (name, index, _) = place(run), let topic = run.store.topic(named: name) else { return }
        let offset = Int64.random(in: 0...1_000, using: &run.random)
        try run.store.commit("g", [topic.key(Int32(index)): offset])
        run.model.committed["g", default: [:]][topic.key(Int32(index))] = offset
    }

    private func deleteGroup(_ run: Run) throws {
        #expect(try run.store.change([GroupChange(groupID: "g", deletesOffsets: true)]) == nil)
        run.model.committed["g"] = [:]
        for producerID in run.model.pending.keys { run.model.pending[producerID]?["g"] = nil }
    }

    private func end(_ producer: TestProducer, _ run: Run) throws {
        guard producer.isOpen else { return }
        let change = producer.ending(Int.random(in: 0..<5, using: &run.random) > 1, bumping: Bool.random(using: &run.random))
        #expect(try run.store.step(change) == nil)
        if let end = change.end { run.model.end(end, in: run.store) }
    }
}
