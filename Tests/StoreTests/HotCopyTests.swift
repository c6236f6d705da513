import Dispatch
import Foundation
import KafkaProtocol
import Synchronization
import Testing

@testable import Store

/// A copy made at any moment is what a crash at that moment leaves, without the directory being torn from under the store.
@Suite struct HotCopyTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: 1...UInt64(3))
    func copiesDuringAppendsHoldAllThatWasAcknowledged(seed: UInt64) throws {
        let threads = 3
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        let partitions = try store.makeTopic("t", partitions: threads).partitions
        let acknowledged = Mutex([Int64](repeating: 0, count: threads))
        let isDone = Mutex(false)
        let group = DispatchGroup()
        for thread in 0..<threads {
            DispatchQueue.global().async(group: group) {
                var random = Seeded(seed &* 31 &+ UInt64(thread))
                do {
                    while !isDone.withLock({ $0 }) {
                        let size = [10, 2_000, 40_000, 90_000, 300_000].randomElement(using: &random) ?? 10
                        let value = [UInt8](repeating: UInt8(thread), count: size)
                        let result = try store.append(makeBatch([value, value]), to: partitions[thread])
                        #expect(result.errorCode == .none)
                        acknowledged.withLock { $0[thread] = result.baseOffset + 2 }
                        if Int.random(in: 0..<20, using: &random) == 0 {
                            _ = try store.administer(.moveLogStart(partition: partitions[thread].id, to: max(result.baseOffset - 20, 0)))
                        }
                        if Int.random(in: 0..<20, using: &random) == 0 {
                            let topic = try store.makeTopic("passing-\(thread)", partitions: 3)
                            _ = try store.append(makeBatch([value]), to: topic.partitions[2])
                            _ = try store.administer(.deleteTopic(id: topic.id))
                        }
                    }
                } catch { Issue.record(error) }
            }
        }
        var random = Seeded(seed)
        var copies: [(path: String, ends: [Int64])] = []
        for number in 0..<6 {
            let target = acknowledged.withLock { $0.reduce(0, +) } + Int64.random(in: 5...40, using: &random)
            let end = monotonicNs() + 20_000_000_000
            while acknowledged.withLock({ $0.reduce(0, +) }) < target, monotonicNs() < end { sched_yield() }
            let ends = acknowledged.withLock { $0 }
            let path = directory.subdirectory("copy-\(number)")
            try store.backup(to: path, compacting: number % 3 == 2)
            copies.append((path, ends))
        }
        isDone.withLock { $0 = true }
        group.wait()
        for copy in copies {
            #expect(try StoreVerifier.verify(directory: copy.path, mapByteCount: 1 << 36).problems == [], "seed \(seed)")
            let opened = try Store.open(directory: copy.path, options: smallOptions())
            let found = try #require(opened.topic(named: "t")).partitions
            for (index, end) in copy.ends.enumerated() {
                #expect(found[index].highWatermark >= end)
                let values = try opened.values(of: found[index])
                #expect(values.keys.sorted() == Array(found[index].logStartOffset..<found[index].highWatermark))
                #expect(values.values.allSatisfy { $0.allSatisfy { $0 == UInt8(index) } })
            }
        }
    }

    /// What a partition says it holds stands in the same commit as what was deleted, wherever the sweep stops.
    @Test func copiesDuringDeletionsAgreeWithThemselves() throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        let partitions = try store.makeTopic("t", partitions: 260).partitions
        let small = try makeBatch([[1]])
        let large = try makeBatch([[UInt8](repeating: 1, count: 70_000)])
        _ = try store.append(partitions.map { try makeAppend($0, small) })
        for _ in 0..<3 { _ = try store.append((0..<70).map { _ in try makeAppend(partitions[259], large) }) }
        // Those with nothing to delete use up most of what one commit looks at.
        let box = Outcomes(260)
        store.submit(
            partitions.map { partition in
                .admin(.moveLogStart(partition: partition.id, to: -1), lane: WaitingLane()) { _ in box.add("") }
            })
        _ = try box.all()
        for number in 0..<4 {
            let path = directory.subdirectory("copy-\(number)")
            try store.backup(to: path)
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
        }
    }

    /// Partitions of a topic that is deleted while its additions are being settled leave no extents behind.
    @Test func aDeletedTopicsAdditionsAreNotOrphaned() throws {
        let live = directory.subdirectory("live")
        let store = try Store.open(directory: live, options: smallOptions())
        let topic = try store.makeTopic("t")
        let other = try store.makeTopic("other").partitions[0]
        let filler = try makeBatch([[UInt8](repeating: 1, count: 60_000)])
        for _ in 0..<30 { _ = try store.append(filler, to: other) }
        guard case .topic(let grown) = try store.administer(.createPartitions(topicID: topic.id, total: 9_000)) else {
            throw TestFailure("no partitions")
        }
        let large = try makeBatch([[UInt8](repeating: 1, count: 300_000)])
        for _ in 0..<40 { _ = try store.append(large, to: grown.partitions[8_999]) }
        _ = try store.administer(.deleteTopic(id: topic.id))
        for number in 0..<30 {
            _ = try store.append(filler, to: other)
            let path = directory.subdirectory("copy-\(number)")
            try store.backup(to: path)
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [], "copy \(number)")
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private func names(_ path: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    @Test(arguments: [nil, 1 << 30] as [Int?])
    func whatAnInterruptedCopyLeftIsWrittenOver(bytesPerSecond: Int?) throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        _ = try store.append(makeBatch([[UInt8](repeating: 1, count: 300_000)]), to: store.makeTopic("t").partitions[0])
        let copy = directory.subdirectory("copy")
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 5_000_000).write(to: URL(fileURLWithPath: copy + "/data.mdb.partial"))
        try store.backup(to: copy, bytesPerSecond: bytesPerSecond)
        #expect(try names(copy) == ["data.mdb"])
        let byteCount = try FileManager.default.attributesOfItem(atPath: copy + "/data.mdb")[.size] as? Int
        #expect(byteCount ?? .max < 5_000_000, "nothing of what was there is left behind the copy")
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [])
    }

    @Test func oneCopyAtATimeIsWrittenIntoADirectory() throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        let copy = directory.subdirectory("copy")
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        let other = open(copy + "/data.mdb.partial", O_WRONLY | O_CREAT, 0o640)
        #expect(flock(other, LOCK_EX) == 0)
        #expect(throws: StoreError.system("another copy is being made in \(copy)")) { try store.backup(to: copy) }
        #expect(try names(copy) == ["data.mdb.partial"], "which is the other's")
        close(other)
        try store.backup(to: copy)
        #expect(try names(copy) == ["data.mdb"])
    }

    @Test func aTargetThatCannotTakeTheCopyIsAnError() throws {
        let store = try Store.open(directory: directory.subdirectory("live"), options: smallOptions())
        #expect(throws: StoreError.self) { try store.backup(to: directory.path + "/no/such/place") }
        #expect(throws: StoreError.self) { try store.backup(to: directory.subdirectory("live")) }
        #expect(try names(directory.subdirectory("live")) == ["data.mdb", "lock.mdb"])
        let copy = directory.subdirectory("copy")
        try store.backup(to: copy)
        #expect(throws: StoreError.self) { try store.backup(to: copy) }
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems == [], "the copy that was there is untouched")
    }
}
