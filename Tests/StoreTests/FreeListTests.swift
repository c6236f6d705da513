import Dispatch
import KafkaProtocol
import Synchronization
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(2))) struct FreeListTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Deletions by many commits leave a row of the free list each, which adjoin in the file but for what stays between them.
    @Test func theFreeListIsJoinedOnceTheStoreIsIdle() throws {
        let isJoined = DispatchSemaphore(value: 0)
        var options = smallOptions()
        options.onEvent = { if $0.message.hasPrefix("joined") { isJoined.signal() } }
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        let staying = try store.makeTopic("staying").partitions[0]
        let batch = try makeBatch([[UInt8](repeating: 1, count: 256 << 10)])
        for index in 0..<200 {
            _ = try store.append(batch, to: partition)
            if [20, 40, 60, 100, 150].contains(index) { _ = try store.append(batch, to: staying) }
        }
        for offset in 1..<199 { _ = try store.administer(.moveLogStart(partition: partition.id, to: Int64(offset))) }
        let scattered = store.statistics()
        // It waits for a pause, and after a stall of this test there may have been one before, of which is told before this is answered.
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 199))
        let wasJoined = isJoined.wait(timeout: .now()) == .success
        if !wasJoined { #expect(isJoined.wait(timeout: .now() + 60) == .success) }
        let joined = store.statistics()
        if !wasJoined { #expect(joined.freeListRowCount < scattered.freeListRowCount / 4) }
        #expect(joined.fileByteCount == scattered.fileByteCount)
        for _ in 0..<100 { _ = try store.append(batch, to: partition) }
        #expect(store.statistics().fileByteCount == scattered.fileByteCount, "what was joined is filled again")
        #expect(try store.values(of: partition).keys.min() == 199)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func whatADeletedTopicLeavesInPiecesIsJoined() throws {
        let (store, topic, isJoined) = try storeToDelete(batchesPerPartition: 80)
        let staying = try store.makeTopic("staying").partitions[0]
        _ = try store.administer(.deleteTopic(id: topic.id))
        // Joining comes after some commits, and a pause.
        let small = try makeBatch([[1]])
        for _ in 0..<64 { _ = try store.append(small, to: staying) }
        #expect(isJoined.wait(timeout: .now() + 30) == .success)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func whatIsQuicklyJoinedIsJoinedWhileMuchIsWritten() throws {
        let (store, topic, isJoined) = try storeToDelete(batchesPerPartition: 160)
        let busy = try store.makeTopic("busy").partitions[0]
        // From here on, the committer always has something to do.
        let large = try makeBatch([[UInt8](repeating: 1, count: 240 << 10)])
        let isDone = Mutex(false)
        let writers = DispatchGroup()
        for _ in 0..<2 {
            DispatchQueue.global().async(group: writers) {
                while !isDone.withLock({ $0 }), (try? store.append(large, to: busy)) != nil {}
            }
        }
        _ = try store.administer(.deleteTopic(id: topic.id))
        #expect(isJoined.wait(timeout: .now() + 30) == .success)
        isDone.withLock { $0 = true }
        writers.wait()
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// Partitions of a topic are deleted in turn, so each commit frees pieces from all over the file, however few the commits are.
    private func storeToDelete(batchesPerPartition: Int) throws -> (Store, Topic, isJoined: DispatchSemaphore) {
        let isJoined = DispatchSemaphore(value: 0)
        var options = smallOptions()
        options.onEvent = { if $0.message.hasPrefix("joined") { isJoined.signal() } }
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 16)
        let batch = try makeBatch([[UInt8](repeating: 1, count: 64 << 10)])
        for partition in topic.partitions { for _ in 0..<batchesPerPartition { _ = try store.append(batch, to: partition) } }
        return (store, topic, isJoined)
    }

    @Test func lookingAtTheFreeListIsForManyCommitsAndLittleOfTheTime() {
        var upkeep = FreeListUpkeep()
        #expect(upkeep.isDue(lastTransactionID: 1_000, nowNs: 0), "of a store that was just opened")
        upkeep.looked(lastTransactionID: 1_000, fromNs: 0, toNs: 30_000_000)
        #expect(!upkeep.isDue(lastTransactionID: 1_063, nowNs: 60_000_000_000))
        #expect(!upkeep.isDue(lastTransactionID: 2_000, nowNs: 3_000_000_000))
        #expect(upkeep.isDue(lastTransactionID: 1_064, nowNs: 3_030_000_000))
        upkeep.wrote(64 << 20 - 1)
        #expect(!upkeep.wasMuchWritten)
        upkeep.wrote(1)
        #expect(upkeep.wasMuchWritten)
        upkeep.wasTooLong()
        #expect(!upkeep.wasMuchWritten)
        #expect(upkeep.isDue(lastTransactionID: 1_064, nowNs: 3_030_000_000), "at the next pause, or once searching takes long")
        upkeep.wrote(64 << 20)
        upkeep.looked(lastTransactionID: 2_000, fromNs: 0, toNs: 1)
        #expect(!upkeep.wasMuchWritten)
    }
}
