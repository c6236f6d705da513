import KafkaProtocol
import LMDB
import Testing

@testable import Store

@Suite struct ProducerLimitTests {
    private let directory: TemporaryDirectory
    private static let limit = 64

    init() throws { directory = try TemporaryDirectory() }

    private func options(_ onEvent: @escaping @Sendable (StoreEvent) -> Void = { _ in }) -> StoreOptions {
        var options = smallOptions()
        options.producersMax = Self.limit
        options.onEvent = onEvent
        return options
    }

    private func write(_ producerIDs: Range<Int64>, sequence: Int32 = 0, to partition: Partition, of store: Store) throws {
        for id in producerIDs {
            let batch = try makeBatch([[1]], producerID: id, epoch: 0, sequence: sequence)
            #expect(try store.append(batch, to: partition).errorCode == .none)
        }
        awaitNextMillisecond()
    }

    /// What is older is told by the clock.
    private func awaitNextMillisecond() {
        let now = wallClockMs()
        while wallClockMs() == now {}
    }

    private func ids(_ store: Store, _ partition: Partition) throws -> [Int64] { try store.describeProducers(partition).map(\.producerID) }

    @Test func thoseThatHaveWrittenNothingForTheLongestTimeAreForgotten() throws {
        let events = Outcomes(1)
        let store = try Store.open(directory: directory.path, options: options { events.add($0.message) })
        let partitions = try store.makeTopic("t", partitions: 2).partitions
        try write(0..<32, to: partitions[0], of: store)
        try write(100..<132, to: partitions[1], of: store)
        #expect(try ids(store, partitions[0]).count + ids(store, partitions[1]).count == Self.limit)
        try write(0..<8, sequence: 1, to: partitions[0], of: store)
        try write(1_000..<1_040, to: partitions[1], of: store)
        // The eldest are gone: those of the first partition that did not write again, and the first of the second.
        #expect(try ids(store, partitions[0]) == Array(0..<8))
        #expect(try ids(store, partitions[1]).suffix(40) == Array(1_000..<1_040))
        #expect(try ids(store, partitions[1]).count == Self.limit - 8)
        // Who was forgotten may go on with any sequence; whoever was not is known again.
        try write(20..<21, sequence: 7, to: partitions[0], of: store)
        let again = try makeBatch([[1]], producerID: 3, epoch: 0, sequence: 1)
        #expect(try store.append(again, to: partitions[0]).baseOffset == 35)
        let gap = try makeBatch([[1]], producerID: 3, epoch: 0, sequence: 7)
        #expect(try store.append(gap, to: partitions[0]).errorCode == .outOfOrderSequenceNumber)
        #expect(try events.all().count == 1, "it is told, and not for each of them")
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func aLowerLimitIsComeDownTo() throws {
        var many = options()
        many.producersMax = 1_000
        var store = try Store.open(directory: directory.path, options: many)
        try write(0..<500, to: store.makeTopic("t").partitions[0], of: store)
        store.close()
        store = try Store.open(directory: directory.path, options: options())
        let partition = try #require(store.topic(named: "t")).partitions[0]
        #expect(try ids(store, partition).count == 500)
        try write(1_000..<1_200, to: partition, of: store)
        #expect(try ids(store, partition).count <= Self.limit * 9 / 8)
        #expect(try ids(store, partition).suffix(8) == Array(1_192..<1_200))
        store.close()
    }

    /// Markers of producers that nobody knows leave something to remember, too.
    @Test func openTransactionsStayAndMarkersCount() throws {
        let store = try Store.open(directory: directory.path, options: options())
        let partition = try store.makeTopic("t").partitions[0]
        let producer = TestProducer("a", producerID: 1)
        try producer.send([[9]], to: partition, of: store)
        awaitNextMillisecond()
        for id in 100..<400 {
            let end = TransactionEnd(producerID: Int64(id), producerEpoch: 0, isCommit: false, partitions: [partition.id])
            #expect(try store.step(TransactionChange(transactionalID: "", state: nil, end: end)) == nil)
            if id % 50 == 0 { awaitNextMillisecond() }
        }
        let known = try store.describeProducers(partition)
        #expect(known.count <= Self.limit * 9 / 8)
        #expect(known.first { $0.producerID == 1 }?.currentTransactionStartOffset == 0)
        #expect(known.contains { $0.producerID == 399 })
        try producer.end(true, in: store)
        #expect(try store.committedValues(of: partition) == [0: [9]])
    }

    /// Of a partition that nobody writes to any more, rows would stay for ever, and each start would remember them all again.
    @Test func rowsOfPartitionsThatAreQuietGoAsWell() throws {
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: options())
        for number in 0..<6 {
            let first = Int64(number * 1_000)
            try write(first..<(first + 48), to: store.makeTopic("t\(number)").partitions[0], of: store)
            // Everything is sealed, and every row written: from now on, nobody writes to this topic.
            store.close()
            store = try Store.open(directory: path, options: options())
        }
        let killed = directory.subdirectory("killed")
        try write(9_000..<9_010, to: #require(store.topic(named: "t5")).partitions[0], of: store)
        try store.backup(to: killed)
        store.close()
        for path in [path, killed] {
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
            #expect(try producerRowCount(path) <= Self.limit)
            let opened = try Store.open(directory: path, options: options())
            let remembered = try opened.topics().reduce(0) { try $0 + ids(opened, $1.partitions[0]).count }
            #expect(remembered <= Self.limit)
            opened.close()
        }
    }

    private func producerRowCount(_ path: String) throws -> Int {
        let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
        let first = try environment.snapshot()
        let databases = try Databases(existingIn: first)
        try first.commit()
        let snapshot = try environment.snapshot()
        return try snapshot.statistics(of: databases.producers).entryCount
    }

    /// Memory goes with what is remembered, not with the most that ever was.
    @Test func forgettingGivesItsRoomBack() {
        var state = PartitionState()
        for id in 0..<10_000 { state.producers[Int64(id)] = ProducerState(epoch: 0) }
        let before = state.producers.capacity
        for id in 100..<10_000 { state.forgetProducer(Int64(id)) }
        #expect(state.producers.count == 100 && state.producers[99] != nil)
        #expect(state.producers.capacity < before / 4)
    }
}
