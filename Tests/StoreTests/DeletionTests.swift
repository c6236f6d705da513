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

    /// What the journal holds below the log start is let go of at once, the extents before it by the commits after. A kill in between
    /// leaves a log that ends below where the partition does, and nothing is wrong with it.
    @Test(arguments: [0, 1])
    func aKillBeforeExtentsAreDeletedLeavesASoundStore(recordsLeft: Int64) throws {
        let directory = try TemporaryDirectory()
        let left = try TemporaryDirectory()
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let partition = try store.makeTopic("t").partitions[0]
        for byteCount in [400_000, 10, 10] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: byteCount)]), to: partition) }
        let end = partition.highWatermark
        let (file, copied) = (directory.path + "/data.mdb", DispatchSemaphore(value: 0))
        let cut = AdminOperation.moveLogStart(partition: partition.id, to: end - recordsLeft)
        // Answered on the committer's thread, before it goes on to the next commit.
        store.submit([
            .admin(cut, lane: WaitingLane()) { _ in
                do { try FileManager.default.copyItem(atPath: file, toPath: left.path + "/data.mdb") } catch { Issue.record(error) }
                copied.signal()
            }
        ])
        copied.wait()
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
}
