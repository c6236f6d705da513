import KafkaProtocol
import Testing

@testable import Store

/// What a store should hold, kept by the test.
private struct Model {
    /// By topic and partition: the value at each offset from the log start on.
    var records: [String: [[Int64: [UInt8]]]] = [:]
    var starts: [String: [Int64]] = [:]
    var ends: [String: [Int64]] = [:]
}

/// Random operations against a model, with hot copies, restarts and verification between them.
@Suite struct ModelTests {
    @Test(arguments: 1...UInt64(12))
    func aStoreIsItsModelThroughCopiesAndRestarts(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        var random = Seeded(seed)
        var model = Model()
        var path = directory.subdirectory("0")
        for round in 1...4 {
            let copy = directory.subdirectory("\(round)")
            try {
                let store = try Store.open(directory: path, options: options(seed, round))
                try expect(store, is: model)
                for _ in 0..<120 { try step(store, &model, &random) }
                try expect(store, is: model)
                // Either the store itself, shut down cleanly, or a copy of it in the middle of its life.
                if Bool.random(using: &random) { try store.backup(to: copy) } else { path = directory.subdirectory("none") }
            }()
            if path.hasSuffix("none") { path = directory.subdirectory("\(round - 1)") }
            if (try? StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36)) != nil { path = copy }
            let report = try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36)
            #expect(report.problems == [], "seed \(seed), round \(round)")
            if path != copy {
                // Carry the closed store over under the next name.
                let store = try Store.open(directory: path, options: smallOptions())
                try store.backup(to: copy)
                path = copy
            }
        }
        let store = try Store.open(directory: path, options: smallOptions())
        try expect(store, is: model)
    }

    /// Values of each length stand beside each other, as `ExtentSizing` leaves them.
    private func options(_ seed: UInt64, _ round: Int) -> StoreOptions {
        var options = smallOptions()
        options.valuePages = [64, 16, 8, 32][(Int(seed) + round) % 4]
        return options
    }

    private func step(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<4: try createTopic(store, &model, &random)
        case 4..<6: try deleteTopic(store, &model, &random)
        case 6..<10: try moveLogStart(store, &model, &random)
        case 10..<12: try addPartitions(store, &model, &random)
        default: try append(store, &model, &random)
        }
    }

    private func createTopic(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        let name = "topic-\(Int.random(in: 0..<6, using: &random))"
        guard model.records[name] == nil else { return }
        let count = Int.random(in: 1...5, using: &random)
        _ = try store.makeTopic(name, partitions: count, configs: ["retention.ms": "\(count)"])
        model.records[name] = Array(repeating: [:], count: count)
        model.starts[name] = Array(repeating: 0, count: count)
        model.ends[name] = Array(repeating: 0, count: count)
    }

    private func deleteTopic(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        guard let name = model.records.keys.sorted().randomElement(using: &random), let topic = store.topic(named: name) else { return }
        guard case .done = try store.administer(.deleteTopic(id: topic.id)) else { throw TestFailure("\(name) was not deleted") }
        model.records[name] = nil
        model.starts[name] = nil
        model.ends[name] = nil
    }

    private func addPartitions(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        guard let name = model.records.keys.sorted().randomElement(using: &random), let topic = store.topic(named: name) else { return }
        let total = topic.partitions.count + Int.random(in: 1...3, using: &random)
        guard case .topic = try store.administer(.createPartitions(topicID: topic.id, total: total)) else {
            throw TestFailure("no partitions")
        }
        while model.records[name, default: []].count < total {
            model.records[name]?.append([:])
            model.starts[name]?.append(0)
            model.ends[name]?.append(0)
        }
    }

    private func moveLogStart(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        guard let (name, index, partition) = place(store, model, &random), let start = model.starts[name]?[index],
            let end = model.ends[name]?[index]
        else { return }
        let target = Int64.random(in: start...end, using: &random)
        guard case .logStart(let moved) = try store.administer(.moveLogStart(partition: partition.id, to: target)) else {
            throw TestFailure("the log start did not move")
        }
        #expect(moved == target)
        model.starts[name]?[index] = target
        let kept = model.records[name, default: []][index].filter { $0.key >= target }
        model.records[name]?[index] = kept
    }

    private func append(_ store: Store, _ model: inout Model, _ random: inout Seeded) throws {
        var appends: [Append] = []
        var expected: [(name: String, index: Int, values: [[UInt8]])] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            guard let (name, index, partition) = place(store, model, &random) else { return }
            let size = [20, 300, 4_000, 30_000, 90_000, 500_000][Int.random(in: 0..<100, using: &random) / 17]
            let values = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: Int.random(in: 0...size, using: &random))
            }
            let codec: CompressionCodec = Bool.random(using: &random) ? .none : .lz4
            let timestamp = Int64.random(in: 0...100_000, using: &random)
            appends.append(try makeAppend(partition, makeBatch(values, timestamp: timestamp, codec: codec)))
            expected.append((name, index, values))
        }
        let results = try store.append(appends)
        for (result, wanted) in zip(results, expected) {
            #expect(result.errorCode == .none)
            #expect(result.baseOffset == model.ends[wanted.name]?[wanted.index])
            for (position, value) in wanted.values.enumerated() {
                model.records[wanted.name]?[wanted.index][result.baseOffset + Int64(position)] = value
            }
            model.ends[wanted.name]?[wanted.index] += Int64(wanted.values.count)
        }
    }

    private func place(_ store: Store, _ model: Model, _ random: inout Seeded) -> (String, Int, Partition)? {
        guard let name = model.records.keys.sorted().randomElement(using: &random), let topic = store.topic(named: name) else { return nil }
        let index = Int.random(in: 0..<topic.partitions.count, using: &random)
        return (name, index, topic.partitions[index])
    }

    private func expect(_ store: Store, is model: Model) throws {
        #expect(store.topics().map(\.name) == model.records.keys.sorted())
        for (name, partitions) in model.records {
            let topic = try #require(store.topic(named: name))
            #expect(topic.partitions.count == partitions.count)
            for (index, records) in partitions.enumerated() {
                let partition = topic.partitions[index]
                #expect(partition.logStartOffset == model.starts[name]?[index])
                #expect(partition.highWatermark == model.ends[name]?[index])
                #expect(try store.values(of: partition) == records, "\(name)-\(index)")
            }
        }
    }
}
