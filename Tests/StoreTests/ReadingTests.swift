import KafkaProtocol
import LMDB
import Synchronization
import Testing

@testable import Store

@Suite struct ReadingTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A large batch stands in the keyspace at once, while smaller ones before it are in the journal still. A reader whose
    /// snapshot is older than the sealing of those must not take the large one for what comes next.
    @Test func anOldSnapshotSkipsNothing() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let other = try store.makeTopic("other").partitions[0]
        _ = try store.append(makeBatch([[1]]), to: partition)
        _ = try store.append(makeBatch([[UInt8](repeating: 2, count: 100_000)]), to: partition)
        var sink = ByteSink()
        try store.withReader { reader throws(StoreError) in
            do {
                while partition.tail.withLock({ !$0.pieces.isEmpty }) {
                    _ = try store.append(makeBatch([[UInt8](repeating: 3, count: 50_000)]), to: other)
                }
            } catch { throw .system("\(error)") }
            _ = try reader.read(partition, from: 0, limit: 2, maxBytes: 1 << 20, firstBatchWhole: true, into: &sink)
        }
        var found: [Int64: [UInt8]] = [:]
        _ = try sink.collect(from: 0, into: &found)
        #expect(found.keys.sorted() == [0, 1])
    }

    /// A commit that seals a batch is seen in the database before readers are told of it.
    @Test func whatIsSealedUnderAReaderIsFound() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        let other = try store.makeTopic("other").partitions[0]
        _ = try store.append(makeBatch([[7]], timestamp: 5), to: partition)
        let before = partition.tail.withLock { $0 }
        while partition.tail.withLock({ !$0.pieces.isEmpty }) {
            _ = try store.append(makeBatch([[UInt8](repeating: 3, count: 50_000)]), to: other)
        }
        // Not sealed and trimmed in one commit, as far as readers know.
        let after = partition.tail.withLock { tail in
            defer { tail = before }
            return tail
        }
        let found = try store.withReader { reader throws(StoreError) in try reader.offset(in: partition, atOrAfter: 5) }
        #expect(found?.offset == 0)
        #expect(try store.values(of: partition) == [0: [7]])
        partition.tail.withLock { $0 = after }
        store.close()
    }

    /// Every offset of a log of small, large and multi-part batches can be read from, in any state of sealing.
    @Test(arguments: 1...UInt64(4))
    func everyOffsetCanBeReadFrom(seed: UInt64) throws {
        var random = Seeded(seed)
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        var values: [[UInt8]] = []
        for _ in 0..<40 {
            let size = [10, 30_000, directByteCountMin, extentByteCountMax - 80, 600_000].randomElement(using: &random) ?? 10
            let batch = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                [UInt8](repeating: .random(in: 0...255, using: &random), count: size)
            }
            _ = try store.append(makeBatch(batch), to: partition)
            values += batch
        }
        for offset in values.indices {
            var sink = ByteSink()
            _ = try store.withReader { reader throws(StoreError) in
                try reader.read(
                    partition, from: Int64(offset), limit: partition.highWatermark, maxBytes: 1, firstBatchWhole: true, into: &sink)
            }
            var found: [Int64: [UInt8]] = [:]
            _ = try sink.collect(from: Int64(offset), into: &found)
            #expect(found[Int64(offset)] == values[offset])
        }
    }
}

/// What a reader does with data that are not what was written.
@Suite struct DamagedReadingTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func read(_ store: Store, _ partition: Partition, from offset: Int64) throws -> Int {
        var sink = ByteSink()
        return try store.withReader { reader throws(StoreError) in
            try reader.read(partition, from: offset, limit: partition.highWatermark, maxBytes: 1 << 24, firstBatchWhole: true, into: &sink)
        }
    }

    @Test func aMissingPartIsAnErrorAndNoCrash() throws {
        let large = try makeBatch([[UInt8](repeating: 2, count: 600_000)])
        let (path, id) = try closedStore(directory) { store, partition in
            _ = try store.append(large, to: partition)
            _ = try store.append(large, to: partition)
        }
        try damage(path) { transaction, databases throws(LMDBError) in
            try transaction.delete(LogKey(id, 1, part: 1), in: databases.log)
        }
        let store = try Store.open(directory: path, options: smallOptions())
        let partition = try #require(store.partition(id))
        #expect(try read(store, partition, from: 0) == large.count, "what comes before the damage is delivered")
        #expect(throws: StoreError.self) { try read(store, partition, from: 1) }
    }

    @Test func aLengthThatLiesDrawsInNothingElse() throws {
        let batch = try makeBatch([[UInt8](repeating: 2, count: 100_000)])
        let (path, id) = try closedStore(directory) { store, partition in
            for _ in 0..<3 { _ = try store.append(batch, to: partition) }
        }
        for length: UInt32 in [250_000, 90_000, 50] {
            try damage(path) { transaction, databases throws(LMDBError) in
                var bytes = batch
                bytes.withUnsafeMutableBytes {
                    RecordBatchHeader.patch($0, baseOffset: 1, partitionLeaderEpoch: 0)
                    $0.storeBytes(of: length.bigEndian, toByteOffset: 8, as: UInt32.self)
                }
                try transaction.put(LogKey(id, 1), bytes, in: databases.log)
            }
            let store = try Store.open(directory: path, options: smallOptions())
            let partition = try #require(store.partition(id))
            if length > 100_000 {
                #expect(try read(store, partition, from: 0) == batch.count)
                #expect(throws: StoreError.self) { try read(store, partition, from: 1) }
            } else {
                // Cut off where it says it ends; the client's CRC finds it. What follows is not what comes next.
                #expect(try read(store, partition, from: 1) == Int(length) + 12)
            }
            #expect(try read(store, partition, from: 2) == batch.count)
            store.close()
        }
    }
}

/// Fills a store with one partition and closes it.
func closedStore(
    _ directory: TemporaryDirectory, _ name: String = "store", _ fill: (Store, Partition) throws -> Void
) throws -> (path: String, id: PartitionID) {
    let path = directory.subdirectory(name)
    let store = try Store.open(directory: path, options: smallOptions())
    let partition = try store.makeTopic("t").partitions[0]
    try fill(store, partition)
    store.close()
    return (path, partition.id)
}

/// Changes a store that nobody has open, behind its back.
func damage(_ path: String, _ body: (inout Transaction, Databases) throws(LMDBError) -> Void) throws {
    let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
    try environment.write { (transaction) throws(LMDBError) in
        let databases = try Databases(creatingIn: &transaction)
        try body(&transaction, databases)
    }
}
