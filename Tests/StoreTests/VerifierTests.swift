import Foundation
import KafkaProtocol
import LMDB
import Testing

@testable import Store

private func groups(_ databases: Databases) -> GroupDatabases {
    guard let groups = databases.groups else { preconditionFailure("opened to write, a store has all databases") }
    return groups
}

private func recordRow(asOf: Int64, total: Int32, _ bytes: [UInt8]) -> [UInt8] {
    var row = GroupRecordRow()
    row.asOf = asOf
    row.totalByteCount = total
    row.bytes = bytes
    return row.encoded()
}

private func offsetKey(_ topicID: Uuid, _ partition: Int32) -> GroupOffsetKey {
    GroupOffsetKey(groupID: "g", key: PackedOffsetKey(OffsetKey(topicID: topicID, partition: partition)))
}

private func offsetRow(asOf: Int64) -> [UInt8] {
    var row = OffsetRow()
    row.asOf = asOf
    return row.encoded()
}

@Suite struct VerifierTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// The sentences of the report, or the one of the refusal. The store must not be open in this process.
    private func complaints(_ path: String) -> [String] {
        do { return try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems } catch { return [error.description] }
    }

    @Test func timesBefore1970AreNoProblem() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for byteCount in [100_000, 10, 400_000] {
            _ = try store.append(makeBatch([[UInt8](repeating: 1, count: byteCount)], timestamp: -100), to: partition)
        }
        store.close()
        #expect(complaints(directory.path) == [])
    }

    private func fill(_ store: Store, _ partition: Partition) throws {
        for size in [10, 5_000, 100_000, 20, 400_000] {
            _ = try store.append(makeBatch([[UInt8](repeating: 0xa5, count: size)]), to: partition)
        }
        _ = try store.append(makeBatch([[1]], producerID: 4, epoch: 0, sequence: 0), to: partition)
        let key = OffsetKey(topicID: partition.topicID, partition: 0)
        let records = [GroupRecord(key: [1], value: [1, 2]), GroupRecord(key: [2], value: [UInt8](repeating: 3, count: 600_000))]
        let offset = CommittedOffset(offset: 1, metadata: "m", commitTimeMs: 1)
        #expect(try store.change([GroupChange(groupID: "g", records: records, offsets: [(key, offset)])]) == nil)
    }

    /// Wrong values, put where right ones stood through LMDB itself.
    @Test func wrongValuesAreReportedAndNeverACrash() throws {
        let never = PartitionID(rawValue: .max)
        let damages: [(String, (inout Transaction, Databases, PartitionID) throws(LMDBError) -> Void)] = [
            ("no row", { (t, d, p) throws(LMDBError) in try t.delete(PartitionKey(partition: p), in: d.partitions) }),
            ("short row", { (t, d, p) throws(LMDBError) in try t.put(PartitionKey(partition: p), [1, 2], in: d.partitions) }),
            ("wrong row key", { (t, d, p) throws(LMDBError) in try t.put([1, 2, 3] as [UInt8], [1], in: d.partitions) }),
            ("no topic", { (t, d, p) throws(LMDBError) in try t.put("t", [1, 0, 0, 0, 0], in: d.topics) }),
            ("short producer", { (t, d, p) throws(LMDBError) in try t.put(ProducerKey(p, 4), [1], in: d.producers) }),
            ("wrong producer key", { (t, d, p) throws(LMDBError) in try t.put([9] as [UInt8], [1], in: d.producers) }),
            ("no extent", { (t, d, p) throws(LMDBError) in try t.delete(LogKey(p, 0), in: d.log) }),
            ("empty extent", { (t, d, p) throws(LMDBError) in try t.put(LogKey(p, 0), [], in: d.log) }),
            ("no part", { (t, d, p) throws(LMDBError) in try t.delete(LogKey(p, 4, part: 1), in: d.log) }),
            ("one part too many", { (t, d, p) throws(LMDBError) in try t.put(LogKey(p, 4, part: 9), [], in: d.log) }),
            ("short log key", { (t, d, p) throws(LMDBError) in try t.put([0, 0, 0, 1, 9] as [UInt8], [1], in: d.log) }),
            ("last log key", { (t, d, p) throws(LMDBError) in try t.put(LogKey(never, .max, part: .max), [1], in: d.log) }),
            ("negative offset", { (t, d, p) throws(LMDBError) in try t.put(LogKey(p, -1), [1], in: d.log) }),
            (
                "last time key",
                { (t, d, p) throws(LMDBError) in try t.put(TimeKey(never, runningMaximum: .max, baseOffset: -1), [], in: d.times) }
            ),
            ("short time key", { (t, d, p) throws(LMDBError) in try t.put([255, 255, 255, 255] as [UInt8], [1], in: d.times) }),
            ("no time", { (t, d, p) throws(LMDBError) in try t.delete(TimeKey(p, runningMaximum: 1_000, baseOffset: 0), in: d.times) }),
            (
                "short time",
                { (t, d, p) throws(LMDBError) in try t.put(TimeKey(p, runningMaximum: 1_000, baseOffset: 0), [1], in: d.times) }
            ),
            ("short journal entry", { (t, d, p) throws(LMDBError) in try t.put(1 << 40 as UInt64, [1], in: d.journal) }),
            (
                "journal of zeros",
                { (t, d, p) throws(LMDBError) in try t.put(9 as UInt64, [UInt8](repeating: 0, count: 64), in: d.journal) }
            ),
            ("short group key", { (t, d, p) throws(LMDBError) in try t.put([5, 1, 2] as [UInt8], [1], in: groups(d).records) }),
            ("long group key", { (t, d, p) throws(LMDBError) in try t.put([1, 103, 1, 9, 1, 1] as [UInt8], [1], in: groups(d).records) }),
            (
                "group that is no text",
                { (t, d, p) throws(LMDBError) in
                    try t.put([1, 255, 1, 9] as [UInt8], recordRow(asOf: 1, total: 1, [1]), in: groups(d).records)
                }
            ),
            ("short group record", { (t, d, p) throws(LMDBError) in try t.put(GroupRecordKey("g", [1]), [1], in: groups(d).records) }),
            (
                "record without its end",
                { (t, d, p) throws(LMDBError) in try t.delete(GroupRecordKey("g", [2], part: 2), in: groups(d).records) }
            ),
            (
                "record without its middle",
                { (t, d, p) throws(LMDBError) in try t.delete(GroupRecordKey("g", [2], part: 1), in: groups(d).records) }
            ),
            (
                "record without its beginning",
                { (t, d, p) throws(LMDBError) in try t.delete(GroupRecordKey("g", [2]), in: groups(d).records) }
            ),
            (
                "one record part too many",
                { (t, d, p) throws(LMDBError) in
                    try t.put(GroupRecordKey("g", [2], part: 3), recordRow(asOf: 1, total: 600_000, [1]), in: groups(d).records)
                }
            ),
            (
                "record of the future",
                { (t, d, p) throws(LMDBError) in
                    try t.put(GroupRecordKey("g", [1]), recordRow(asOf: 1 << 40, total: 1, [1]), in: groups(d).records)
                }
            ),
            ("short offset key", { (t, d, p) throws(LMDBError) in try t.put([1, 103, 1] as [UInt8], [1], in: groups(d).offsets) }),
            (
                "long offset key",
                { (t, d, p) throws(LMDBError) in try t.put([UInt8](repeating: 1, count: 23), [1], in: groups(d).offsets) }
            ),
            (
                "offset of no topic",
                { (t, d, p) throws(LMDBError) in try t.put(offsetKey(Uuid(), 0), offsetRow(asOf: 1), in: groups(d).offsets) }
            ),
            (
                "offset of no partition",
                { (t, d, p) throws(LMDBError) in try t.put(offsetKey(Uuid(high: 1, low: 1), -1), offsetRow(asOf: 1), in: groups(d).offsets) }
            ),
            (
                "offset of the future",
                { (t, d, p) throws(LMDBError) in
                    try t.put(offsetKey(Uuid(high: 1, low: 1), 0), offsetRow(asOf: 1 << 40), in: groups(d).offsets)
                }
            ),
            (
                "short offset",
                { (t, d, p) throws(LMDBError) in try t.put(offsetKey(Uuid(high: 1, low: 1), 0), [1], in: groups(d).offsets) }
            ),
            ("no identity", { (t, d, p) throws(LMDBError) in try t.delete("identity", in: d.meta) }),
            ("broken counters", { (t, d, p) throws(LMDBError) in try t.put("counters", [1, 0, 0, 0, 0, 1], in: d.meta) }),
        ]
        let (path, id) = try closedStore(directory) { try fill($0, $1) }
        #expect(complaints(path) == [])
        for (name, wrong) in damages {
            let copy = directory.subdirectory(name)
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            try damage(copy) { transaction, databases throws(LMDBError) in try wrong(&transaction, databases, id) }
            #expect(complaints(copy) != [], "\(name)")
            // Opening such a store refuses or serves, and leaves nothing locked behind.
            for _ in 0..<2 {
                do {
                    let store = try Store.open(directory: copy, options: smallOptions())
                    store.close()
                } catch { #expect(!error.description.contains("in use"), "\(name): \(error)") }
            }
        }
    }

    /// One flipped bit in the bytes of a value: of batches in extents and in the journal, of rows, of heads of entries.
    @Test(arguments: 1...UInt64(3))
    func aFlippedBitIsReported(seed: UInt64) throws {
        var random = Seeded(seed)
        let path = directory.subdirectory("live")
        let copy = directory.subdirectory("copy")
        let store = try Store.open(directory: path, options: smallOptions())
        let partition = try store.makeTopic("t", configs: ["retention.ms": "5"]).partitions[0]
        try fill(store, partition)
        let topic = try #require(store.topic(named: "t"))
        for number in 0..<6 {
            let producer = TestProducer("transactional-\(number)", producerID: Int64(50 + number))
            try producer.send([[1]], to: partition, of: store)
            try producer.sendOffsets("g", [topic.key(): 1], to: store)
            if number > 1 { try producer.end(number % 2 == 0, in: store) }
        }
        try store.backup(to: copy)
        store.close()
        for target in [path, copy] {
            let values = try allValues(target)
            for _ in 0..<40 {
                let (database, key, value) = try #require(values.randomElement(using: &random))
                var wrong = value
                wrong[Int.random(in: value.indices, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                try set(target, database, key, wrong)
                #expect(complaints(target) != [], "seed \(seed): \(database), key \(key), \(differences(value, wrong))")
                try set(target, database, key, value)
            }
            #expect(complaints(target) == [])
        }
    }

    private func differences(_ left: [UInt8], _ right: [UInt8]) -> [Int] { left.indices.filter { left[$0] != right[$0] } }

    private func order(of database: String) -> KeyOrder { ["journal", "tail"].contains(database) ? .integers : .bytes }

    private func allValues(_ path: String) throws -> [(database: String, key: [UInt8], value: [UInt8])] {
        let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
        let snapshot = try environment.snapshot()
        var values: [(database: String, key: [UInt8], value: [UInt8])] = []
        for name in Databases.names(inFormat: Databases.format) {
            let database = try snapshot.database(name, order(of: name))
            var cursor = try snapshot.cursor(in: database)
            while try cursor.move(.next) {
                values.append((name, cursor.key.withUnsafeBytes { Array($0) }, cursor.value.withUnsafeBytes { Array($0) }))
            }
        }
        return values
    }

    private func set(_ path: String, _ name: String, _ key: [UInt8], _ value: [UInt8]) throws {
        let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
        try environment.write { (transaction) throws(LMDBError) in
            let database = try transaction.database(name, order(of: name))
            try transaction.put(key, value, in: database)
        }
    }
}
