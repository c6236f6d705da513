import Glibc
import KafkaProtocol
import Testing

@testable import Store

@Suite struct FullStoreTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func fill(_ store: Store, _ partition: Partition, size: Int) throws -> Int64 {
        let batch = try makeBatch([[UInt8](repeating: 1, count: size)])
        for count in 0..<1_000_000 {
            let result = try store.append(batch, to: partition)
            if result.errorCode == .kafkaStorageError { return Int64(count) }
            try #require(result.errorCode == .none)
        }
        throw TestFailure("the store never became full")
    }

    /// Fills the partition until the store refuses other things, too: trimming the journal, when nobody waits, may make room for a
    /// while. Returns how many batches there are.
    private func fillForGood(_ store: Store, _ partition: Partition, size: Int) throws -> Int64 {
        var count: Int64 = 0
        for attempt in 0..<100 {
            count += try fill(store, partition, size: size)
            let outcome = try store.administer(.createTopic(name: "no-\(attempt)", id: nil, partitionCount: 1, configs: [:]))
            if case .failure(.kafkaStorageError, _) = outcome, case .full = store.state { return count }
        }
        throw TestFailure("topics are created in a full store")
    }

    /// Appends until it works; the deletion goes on in the background.
    private func appendWhenThereIsRoom(_ store: Store, _ partition: Partition, size: Int) throws {
        let batch = try makeBatch([[UInt8](repeating: 2, count: size)])
        let end = monotonicNs() + 20_000_000_000
        while try store.append(batch, to: partition).errorCode != .none {
            guard monotonicNs() < end else { throw TestFailure("there is no room again") }
        }
    }

    @Test(arguments: [4_000, 30_000, 200_000], [8 << 20, 20 << 20])
    func aFullStoreReadsAndMakesRoomByDeleting(size: Int, maxBytes: Int) throws {
        var options = smallOptions()
        options.journalBytesMax = 200 << 20
        options.maxBytes = maxBytes
        let store = try Store.open(directory: directory.path, options: options)
        let full = try store.makeTopic("full")
        let kept = try store.makeTopic("kept").partitions[0]
        #expect(try store.append(makeBatch([[7]]), to: kept).errorCode == .none)
        let count = try fillForGood(store, full.partitions[0], size: size)
        #expect(Int(count) * size > maxBytes / 5, "what is free is used")
        #expect(store.statistics().fileByteCount < maxBytes + (2 << 20))
        #expect(try store.values(of: kept) == [0: [7]])
        #expect(full.partitions[0].highWatermark == count)
        // What makes room, and what asks, is admitted.
        guard case .topic = try store.administer(.setTopicConfigs(topicID: full.id, configs: ["retention.ms": "1"])) else {
            throw TestFailure("retention could not be shortened")
        }
        guard case .producers = try store.administer(.describeProducers(partition: kept.id)) else { throw TestFailure("no producers") }
        guard case .logStart = try store.administer(.moveLogStart(partition: full.partitions[0].id, to: count)) else {
            throw TestFailure("records could not be deleted")
        }
        try appendWhenThereIsRoom(store, kept, size: size)
        _ = try fill(store, kept, size: size)
        guard case .done = try store.administer(.deleteTopic(id: full.id)) else { throw TestFailure("the topic was not deleted") }
        guard case .logStart = try store.administer(.moveLogStart(partition: kept.id, to: -1)) else { throw TestFailure("not deleted") }
        try appendWhenThereIsRoom(store, kept, size: size)
        #expect(store.state == .serving)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// What was deleted under a reader's eyes is no room: to take it for some would let the file grow past its limit.
    @Test func pagesThatAReaderHoldsAreNoRoomUntilItEnds() throws {
        let maxBytes = 20 << 20
        var options = smallOptions()
        options.journalBytesMax = 200 << 20
        options.maxBytes = maxBytes
        let store = try Store.open(directory: directory.path, options: options)
        let topics = try ["a", "b"].map { try store.makeTopic($0) }
        _ = try fill(store, topics[0].partitions[0], size: 200_000)
        try store.withReader { (_) throws(StoreError) in
            do {
                guard case .done = try store.administer(.deleteTopic(id: topics[0].id)) else { throw TestFailure("not deleted") }
                let end = monotonicNs() + 20_000_000_000
                while store.statistics().heldByteCount < maxBytes / 4, monotonicNs() < end { sched_yield() }
                #expect(store.statistics().heldByteCount >= maxBytes / 4)
                // Long enough for the free pages to be counted again, which is done ten times a second.
                let batch = try makeBatch([[UInt8](repeating: 3, count: 200_000)])
                let stop = monotonicNs() + 500_000_000
                while monotonicNs() < stop { _ = try store.append(batch, to: topics[1].partitions[0]) }
                #expect(store.statistics().fileByteCount < maxBytes + (2 << 20))
            } catch { Issue.record(error) }
        }
        try appendWhenThereIsRoom(store, topics[1].partitions[0], size: 200_000)
        #expect(store.statistics().fileByteCount < maxBytes + (2 << 20))
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// A commit that meets the end of the map is undone as a whole, and the store goes on from what is on disk.
    @Test func aCommitThatFailsForWantOfRoomNeverWas() throws {
        var options = smallOptions()
        options.mapByteCount = 8 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 2)
        let doomed = try store.makeTopic("doomed")
        let batch = try makeBatch([[UInt8](repeating: 1, count: 50_000)], producerID: 3, epoch: 0, sequence: 0)
        #expect(try store.append(batch, to: topic.partitions[0]).errorCode == .none)
        #expect(try store.append(makeBatch([[5]]), to: doomed.partitions[0]).errorCode == .none)
        // One commit of all of these: it cannot be written.
        let results = Outcomes(4)
        store.submit([
            .admin(.deleteTopic(id: doomed.id), lane: WaitingLane()) { results.add("\($0)") },
            .admin(.createTopic(name: "new", id: nil, partitionCount: 3, configs: [:]), lane: WaitingLane()) { results.add("\($0)") },
            .append(
                [
                    try makeAppend(topic.partitions[0], makeBatch([[1]], producerID: 3, epoch: 0, sequence: 1)),
                    try makeAppend(topic.partitions[1], makeBatch([[1]])),
                ], lane: WaitingLane()
            ) {
                for result in $0 where result.errorCode == .none { results.add("appended") }
                results.add("failure")
            },
            .beyondTheMap(topic.partitions[0]) { results.add($0 == nil ? "changed" : "failure") },
        ])
        #expect(try results.all().allSatisfy { $0.contains("failure") })
        #expect(store.topics().map(\.name) == ["doomed", "t"])
        #expect(store.topic(named: "doomed")?.partitions[0] === doomed.partitions[0])
        #expect(topic.partitions.map(\.highWatermark) == [1, 0])
        #expect(try store.values(of: doomed.partitions[0]) == [0: [5]])
        // The sequences and offsets go on where they stood.
        #expect(try store.append(makeBatch([[6]], producerID: 3, epoch: 0, sequence: 1), to: topic.partitions[0]).baseOffset == 1)
        #expect(try store.append(makeBatch([[7]]), to: doomed.partitions[0]).baseOffset == 1)
        let next = try store.makeTopic("next", partitions: 3)
        #expect(try store.append(makeBatch([[8]]), to: next.partitions[2]).baseOffset == 0)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// Whoever fills the store with offsets, or with markers of transactions that nobody knows, is refused before a commit meets the end:
    /// what deletes, and what ends a transaction that is known, still finds room.
    @Test func theLastOfTheReserveIsForWhatMakesRoom() throws {
        var options = smallOptions()
        options.mapByteCount = 20 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topics = try ["full", "kept"].map { try store.makeTopic($0) }
        let kept = topics[1].partitions[0]
        let producer = TestProducer("a", producerID: 7)
        try producer.send([[7]], to: kept, of: store)
        try store.commit("mine", [topics[1].key(): 1])
        _ = try fillForGood(store, topics[0].partitions[0], size: 200_000)
        let markers = TransactionEnd(producerID: 99, producerEpoch: 0, isCommit: false, partitions: [kept.id])
        let unknown = TransactionChange(transactionalID: "", state: nil, end: markers)
        #expect(try store.step(unknown)?.errorCode == .kafkaStorageError)
        let version = store.catalogVersion
        let count = try fillWithOffsets(store, topics[1])
        #expect(count > 10, "offsets are taken where records are not")
        let begun = TestProducer("b", producerID: 8)
        #expect(try store.step(TransactionChange(transactionalID: "b", state: begun.state))?.errorCode == .kafkaStorageError)
        #expect(store.catalogVersion == version, "no commit failed: the store was never loaded again")
        // What makes room, and what ends a transaction.
        try producer.end(true, in: store)
        #expect(kept.lastStableOffset == kept.highWatermark)
        let leaving = GroupChange(groupID: "mine", records: [.init(key: [1], value: [2]), .init(key: [2], value: nil)])
        #expect(try store.change([leaving]) == nil)
        #expect(leaving.makesRoom && !GroupChange(groupID: "mine", records: [.init(key: [1], value: [3])]).makesRoom)
        let deletion = GroupChange(groupID: "mine", offsets: [(topics[1].key(), nil)])
        #expect(try store.change([deletion]) == nil && store.committedOffset("mine", topics[1].key()) == nil)
        guard case .done = try store.administer(.deleteTopic(id: topics[0].id)) else { throw TestFailure("the topic was not deleted") }
        try appendWhenThereIsRoom(store, kept, size: 200_000)
        try store.commit("mine", [topics[1].key(): 2])
        #expect(try store.step(unknown) == nil)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// Commits offsets of ever more groups until the store refuses them. Returns how many it took.
    private func fillWithOffsets(_ store: Store, _ topic: Topic) throws -> Int {
        let offset = CommittedOffset(offset: 1, metadata: String(repeating: "m", count: 4_000), commitTimeMs: 1)
        for count in 0..<100_000 {
            let error = try store.change([GroupChange(groupID: "g\(count)", offsets: [(topic.key(), offset)])])
            guard let error else { continue }
            guard case .full = error else { throw error }
            return count
        }
        throw TestFailure("offsets are committed in a full store without end")
    }

    /// The file cannot grow beyond its map: records are refused before that, with a margin for what makes room.
    @Test func theEndOfTheMapIsALimit() throws {
        var options = smallOptions()
        options.mapByteCount = 20 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topics = try ["full", "kept"].map { try store.makeTopic($0) }
        let count = try fillForGood(store, topics[0].partitions[0], size: 200_000)
        #expect(Int(count) * 200_000 > options.mapByteCount / 5, "what is free is used")
        guard case .full(let sentence) = store.state else { throw TestFailure("the store is not full") }
        #expect(sentence.contains("the file cannot grow beyond 20 MiB"))
        guard case .done = try store.administer(.deleteTopic(id: topics[0].id)) else { throw TestFailure("the topic was not deleted") }
        try appendWhenThereIsRoom(store, topics[1].partitions[0], size: 200_000)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }
}
