import Dispatch
import Foundation
import KafkaProtocol
import Testing

@testable import Store

@Suite struct DeletionTests {
    private static let commitByteCount = 4 << 20

    /// Commits as large as commits become, two always under way, as with clients that keep the broker busy: nothing is swept in
    /// between. Retention leaves two commits' worth.
    @Test(arguments: [8, 64])
    func deletionKeepsUpWithProducersHoweverShortValuesAre(valuePages: Int) throws {
        let directory = try TemporaryDirectory()
        var options = smallOptions()
        options.valuePages = valuePages
        options.commitBytesMax = Self.commitByteCount
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        let append = try makeAppend(partition, try makeBatch([[UInt8](repeating: 1, count: 256 << 10)]))
        let appends = Array(repeating: append, count: Self.commitByteCount / append.slice.length)
        let underWay = DispatchSemaphore(value: 2)
        for _ in 0..<40 {
            underWay.wait()
            let start = max(0, partition.highWatermark - Int64(2 * appends.count))
            store.submit([
                .append(appends, lane: WaitingLane()) { results in #expect(results.allSatisfy { $0.errorCode == .none }) },
                .admin(.moveLogStart(partition: partition.id, to: start), lane: WaitingLane()) { _ in underWay.signal() },
            ])
        }
        for _ in 0..<2 { underWay.wait() }
        store.close()
        for _ in 0..<2 { underWay.signal() }
        let size = try FileManager.default.attributesOfItem(atPath: directory.path + "/data.mdb")[.size] as? Int
        #expect(try #require(size) < 12 * Self.commitByteCount, "of \(40 * Self.commitByteCount) bytes that were written")
    }

    /// Small batches of many partitions, sealed a few bytes at a time because the journal may not hold more: an extent is written for each
    /// of them with every commit, and those of three commits are to stay.
    @Test func deletionKeepsUpWithManyTinyExtents() throws {
        let directory = try TemporaryDirectory()
        var options = smallOptions()
        options.journalOperationsMax = 200
        options.commitBytesMax = 16 << 10
        let store = try Store.open(directory: directory.path, options: options)
        let partitions = try store.makeTopic("t", partitions: 200).partitions
        let batch = try makeBatch([[1]])
        let appends = try partitions.map { try makeAppend($0, batch) }
        let isWritten = DispatchSemaphore(value: 0)
        // All at once, so that no commit is made that has nothing but deleting to do.
        store.submit(
            (0..<Int64(60)).flatMap { round -> [Submission] in
                let moves: [Submission] = partitions.map {
                    .admin(.moveLogStart(partition: $0.id, to: max(0, round - 3)), lane: WaitingLane()) { _ in }
                }
                return moves + [
                    .append(appends, lane: WaitingLane()) { results in
                        #expect(results.allSatisfy { $0.errorCode == .none })
                        if round == 59 { isWritten.signal() }
                    }
                ]
            })
        isWritten.wait()
        store.close()
        let report = try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36)
        #expect(report.problems == [])
        #expect(report.extentCount < 20 * partitions.count, "of \(60 * partitions.count) that were written")
    }

    /// What the journal holds below the log start is let go of at once, the extents before it by the commits after. A kill in between
    /// leaves a log that ends below where the partition does, and nothing is wrong with it.
    @Test(arguments: [0, 1])
    func aKillBeforeExtentsAreDeletedLeavesASoundStore(recordsLeft: Int64) throws {
        let directory = try TemporaryDirectory()
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for byteCount in [400_000, 10, 10] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: byteCount)]), to: partition) }
        let end = partition.highWatermark
        let left = try whatAKillLeaves(of: store, after: .moveLogStart(partition: partition.id, to: end - recordsLeft))
        store.close()

        let report = try StoreVerifier.verify(directory: left.path, mapByteCount: 1 << 36)
        #expect(report.problems == [])
        #expect(report.extentCount == 1, "the copy was made before anything was deleted")
        let reopened = try Store.open(directory: left.path, options: smallOptions())
        let found = try #require(reopened.topics().first?.partitions.first)
        #expect(found.logStartOffset == end - recordsLeft && found.highWatermark == end)
        #expect(try reopened.values(of: found).count == Int(recordsLeft))
        reopened.close()
    }

    /// The store as it stands on disk right after the commit of `operation`, in a directory of its own.
    private func whatAKillLeaves(of store: Store, after operation: AdminOperation) throws -> TemporaryDirectory {
        let left = try TemporaryDirectory()
        let (file, copied) = (store.directory + "/data.mdb", DispatchSemaphore(value: 0))
        // Answered on the committer's thread, before it goes on to the next commit.
        store.submit([
            .admin(operation, lane: WaitingLane()) { _ in
                do { try FileManager.default.copyItem(atPath: file, toPath: left.path + "/data.mdb") } catch { Issue.record(error) }
                copied.signal()
            }
        ])
        copied.wait()
        return left
    }

    /// A batch that the log start passes in the journal has come into no extent; what its time has done to the index must be known
    /// after a kill all the same, or the index falls out of order, and retention lets go of what is young.
    @Test func theTimesOfWhatTheLogStartHasPassedAreNotForgotten() throws {
        let directory = try TemporaryDirectory()
        var options = smallOptions()
        options.journalOperationsMax = 40
        let store = try Store.open(directory: directory.path, options: options)
        let partition = try store.makeTopic("t").partitions[0]
        let other = try store.makeTopic("o").partitions[0]
        func append(_ byteCount: Int, timestamp: Int64, to partition: Partition) throws {
            _ = try store.append(makeBatch([[UInt8](repeating: 1, count: byteCount)], timestamp: timestamp), to: partition)
        }
        func settle() throws { for _ in 0..<10 { try append(10, timestamp: 1, to: other) } }
        // An extent, a small batch that stays in the journal, and a large one behind it, whose place in the index is after both.
        for (byteCount, timestamp) in [(400_000, 1), (10, 10), (100_000, 1_000)] as [(Int, Int64)] {
            try append(byteCount, timestamp: timestamp, to: partition)
        }
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 1))
        let deadline = ContinuousClock.now + .seconds(30)
        while store.statistics().deletedExtentCount < 1 { try #require(ContinuousClock.now < deadline) }
        try settle()
        _ = try store.administer(.moveLogStart(partition: partition.id, to: 2))
        // What came before the move is trimmed, the move itself is not.
        try settle()
        try append(10, timestamp: 20, to: partition)
        let left = try whatAKillLeaves(of: store, after: .seal(partition: other.id))
        store.close()

        #expect(try StoreVerifier.verify(directory: left.path, mapByteCount: 1 << 36).problems == [])
        let reopened = try Store.open(directory: left.path, options: options)
        let found = try #require(reopened.topic(named: "t")?.partitions.first)
        #expect(found.logStartOffset == 2 && found.highWatermark == 4)
        _ = try reopened.administer(.seal(partition: found.id))
        let end = try reopened.withReader { reader throws(StoreError) in try reader.expiredEnd(of: found, before: 15, isCompacted: false) }
        #expect(end == 2, "the large batch is young")
        reopened.close()
        #expect(try StoreVerifier.verify(directory: left.path, mapByteCount: 1 << 36).problems == [])
    }

    /// More rows than one commit deletes, and nothing else in it.
    @Test func aDeletedPartitionOfManyProducersGoesWhileNobodyWrites() throws {
        let directory = try TemporaryDirectory()
        var store = try Store.open(directory: directory.path, options: smallOptions())
        var topic = try store.makeTopic("t")
        for producerID in 0..<Int64(200) {
            _ = try store.append(makeBatch([[1]], producerID: producerID, epoch: 0, sequence: 0), to: topic.partitions[0])
        }
        store.close()
        store = try Store.open(directory: directory.path, options: smallOptions())
        topic = try #require(store.topic(named: "t"))
        _ = try store.administer(.deleteTopic(id: topic.id))
        let deadline = ContinuousClock.now + .seconds(30)
        while store.partition(topic.partitions[0].id) != nil { try #require(ContinuousClock.now < deadline, "the partition is still there") }
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// One that has many rows to delete is deleted from with every commit, and so are others.
    @Test func aPartitionOfManyProducersKeepsNoOtherFromBeingDeleted() throws {
        let directory = try TemporaryDirectory()
        var store = try Store.open(directory: directory.path, options: smallOptions())
        let (rows, extents) = (try store.makeTopic("rows"), try store.makeTopic("extents"))
        let appends = try (0..<Int64(10_000)).map {
            try makeAppend(rows.partitions[0], try makeBatch([[1]], producerID: $0, epoch: 0, sequence: 0))
        }
        let isWritten = DispatchSemaphore(value: 0)
        store.submit([.append(appends, lane: WaitingLane()) { _ in isWritten.signal() }])
        isWritten.wait()
        for _ in 0..<10 { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: 100_000)]), to: extents.partitions[0]) }
        // Its rows are written when the journal is emptied.
        store.close()
        store = try Store.open(directory: directory.path, options: smallOptions())
        let (many, few) = (rows.partitions[0].id, extents.partitions[0].id)
        for topic in [rows, extents] { _ = try store.administer(.deleteTopic(id: topic.id)) }
        let deadline = ContinuousClock.now + .seconds(30)
        var wasAlone = false
        while store.partition(many) != nil {
            try #require(ContinuousClock.now < deadline, "the partition is still there")
            wasAlone = wasAlone || store.partition(few) == nil && store.partition(many) != nil
        }
        #expect(wasAlone)
        store.close()
    }
}
