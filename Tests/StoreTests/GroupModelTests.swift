import Foundation
import KafkaProtocol
import Testing

@testable import Store

/// Groups as a plain dictionary would have them.
private struct GroupModel {
    var offsets: [String: [OffsetKey: CommittedOffset]] = [:]
    var records: [String: [[UInt8]: [UInt8]]] = [:]
    var topics: [String: Uuid] = [:]

    mutating func apply(_ change: GroupChange) {
        for record in change.records { records[change.groupID, default: [:]][record.key] = record.value }
        for (key, value) in change.offsets where topics.values.contains(key.topicID) { offsets[change.groupID, default: [:]][key] = value }
    }

    mutating func deleteTopic(_ name: String) {
        guard let id = topics.removeValue(forKey: name) else { return }
        for group in offsets.keys { offsets[group] = offsets[group]?.filter { $0.key.topicID != id } }
    }

    var groupIDs: Set<String> { Set(offsets.filter { !$0.value.isEmpty }.keys).union(records.filter { !$0.value.isEmpty }.keys) }
}

/// Random changes of groups, with the journal so short that rows are written all the time.
@Suite struct GroupModelTests {
    @Test(arguments: 1...UInt64(16))
    func groupsAreTheirModelThroughCopiesAndRestarts(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        var random = Seeded(seed)
        var model = GroupModel()
        var path = directory.subdirectory("0")
        for round in 1...5 {
            let next = directory.subdirectory("\(round)")
            var options = smallOptions()
            options.journalOperationsMax = [20, 60, 200, 2_000].randomElement(using: &random) ?? 20
            var isCopied = false
            try {
                let store = try Store.open(directory: path, options: options)
                try expect(store, is: model, "seed \(seed), round \(round), at its start")
                for number in 0..<150 {
                    try step(store, &model, &random)
                    if number % 10 == 0 { try expect(store, is: model, "seed \(seed), round \(round), step \(number)") }
                }
                // What a kill at this commit would leave, or a clean end.
                isCopied = Bool.random(using: &random)
                if isCopied { try store.backup(to: next, compacting: Bool.random(using: &random)) }
            }()
            if isCopied { path = next }
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [], "seed \(seed), round \(round)")
        }
        let store = try Store.open(directory: path, options: smallOptions())
        try expect(store, is: model, "seed \(seed), at the end")
    }

    private func step(_ store: Store, _ model: inout GroupModel, _ random: inout Seeded) throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<5:
            let name = "topic-\(Int.random(in: 0..<4, using: &random))"
            if model.topics[name] == nil { model.topics[name] = try store.makeTopic(name, partitions: 3).id }
        case 5..<8:
            guard let name = model.topics.keys.sorted().randomElement(using: &random), let id = model.topics[name] else { return }
            guard case .done = try store.administer(.deleteTopic(id: id)) else { throw TestFailure("\(name) was not deleted") }
            model.deleteTopic(name)
        case 8..<10:
            guard let topic = store.topics().first else { return }
            _ = try store.append(makeBatch([[UInt8](repeating: 1, count: 60_000)]), to: topic.partitions[0])
        default:
            // Several submissions in flight share commits.
            let submissions = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                (0..<Int.random(in: 0...3, using: &random)).map { _ in change(model, &random) }
            }
            let outcomes = Outcomes(submissions.count)
            store.submit(submissions.map { changes in .groups(changes, lane: WaitingLane()) { outcomes.add("\($0.map(\.description) ?? "done")") } })
            #expect(try outcomes.all().allSatisfy { $0 == "done" })
            for change in submissions.joined() { model.apply(change) }
        }
    }

    private func change(_ model: GroupModel, _ random: inout Seeded) -> GroupChange {
        var change = GroupChange(groupID: ["", "a", "b", "b1", "grüppchen", String(repeating: "g", count: 255)].randomElement(using: &random) ?? "")
        let topics = model.topics.values.sorted { $0.high < $1.high } + [Uuid(high: 1, low: 2)]
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            guard let topicID = topics.randomElement(using: &random) else { break }
            let key = OffsetKey(topicID: topicID, partition: Int32.random(in: 0..<3, using: &random))
            var value = CommittedOffset(offset: Int64.random(in: 0...(.max), using: &random), commitTimeMs: Int64.random(in: 0...9, using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 { value.metadata = String(repeating: "m", count: Int.random(in: 0...5_000, using: &random)) }
            if Int.random(in: 0..<4, using: &random) == 0 { value.expireTimeMs = Int64.random(in: 0...9, using: &random) }
            if Bool.random(using: &random) { value.leaderEpoch = Int32.random(in: 0...9, using: &random) }
            change.offsets.append((key, Int.random(in: 0..<4, using: &random) == 0 ? nil : value))
        }
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            let key = [[], [1], [1, 1], [1, 2], [UInt8](repeating: 255, count: 250)].randomElement(using: &random) ?? []
            let sizes = [0, 1, 500, 5_000, 200_000, 700_000]
            let size = sizes[min(Int.random(in: 0..<40, using: &random) / 7, 5)]
            let value = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: size)
            change.records.append(GroupRecord(key: key, value: Int.random(in: 0..<3, using: &random) == 0 ? nil : value))
        }
        return change
    }

    private func expect(_ store: Store, is model: GroupModel, _ when: String) throws {
        for id in model.groupIDs.union(["a", "never"]) {
            #expect(store.committedOffsets(of: id) == model.offsets[id] ?? [:], "\(when): group '\(id)'")
            let records = try store.groupRecords(of: id)
            #expect(records.allSatisfy { $0.value != nil }, "\(when)")
            let found = Dictionary(records.map { ($0.key, $0.value ?? []) }, uniquingKeysWith: { $1 })
            #expect(found == model.records[id] ?? [:], "\(when): group '\(id)'")
        }
        // A group that has nothing but offsets of a topic that is gone is listed until the sweep has been there.
        #expect(model.groupIDs.isSubset(of: store.groupIDs()), "\(when)")
    }
}
