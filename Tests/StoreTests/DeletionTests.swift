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
}
