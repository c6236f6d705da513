import Foundation
import KafkaProtocol
import LMDB
import Testing

@testable import Store

@Suite struct OpeningTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// The sentence with which the directory is refused.
    private func refusal(_ path: String) throws -> String {
        do {
            _ = try Store.open(directory: path, options: smallOptions())
        } catch { return error.description }
        throw TestFailure("\(path) was opened")
    }

    @Test func aDirectoryInUseIsRefusedUntilItIsGivenFree() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        #expect(try refusal(directory.path).contains("in use by another broker"))
        store.close()
        let path = directory.path
        #expect(throws: Never.self) { try Store.open(directory: path, options: smallOptions()) }
    }

    @Test func otherFilesAreNoStore() throws {
        try Data("x".utf8).write(to: URL(fileURLWithPath: directory.path + "/letter.txt"))
        #expect(try refusal(directory.path).contains("letter.txt"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["letter.txt"], "nothing was written")
    }

    @Test func aFileThatIsNotLMDBIsRefused() throws {
        try Data(repeating: 3, count: 50_000).write(to: URL(fileURLWithPath: directory.path + "/data.mdb"))
        #expect(try refusal(directory.path).contains("not an LMDB environment"))
        #expect(throws: StoreError.self) { try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36) }
    }

    private func byteCount(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path + "/data.mdb")[.size] as? Int)
    }

    @Test func aFileThatIsCutOffIsRefusedByEverybody() throws {
        let (path, _) = try closedStore(directory) { store, partition in
            for size in [1, 3_000, 900_000] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: size)]), to: partition) }
        }
        let whole = try byteCount(path)
        for length in [whole - 4096, whole - 5000, whole / 2, 3 * 4096, 2 * 4096] {
            truncate(path + "/data.mdb", length)
            #expect(try refusal(path).contains("is cut off"), "\(length) of \(whole) bytes")
            for look: () throws -> Void in [
                { _ = try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36) }, { _ = try StoreInspection(of: path) },
                { _ = try Store.compact(path) }, { try Store.backup(of: path, to: directory.subdirectory("copy")) },
            ] {
                #expect(throws: StoreError.self, performing: look)
            }
            #expect(try byteCount(path) == length)
        }
    }

    /// LMDB writes no page that a commit takes at the end of the file and gives up itself.
    @Test func aFileThatEndsInPagesThatNobodyHasUsedIsWhole() throws {
        let (path, _) = try closedStore(directory) { store, partition in
            for size in [1, 3_000, 90_000] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: size)]), to: partition) }
        }
        try damage(path) { transaction, databases throws(LMDBError) in
            try transaction.put("unwanted", [UInt8](repeating: 1, count: 1 << 20), in: databases.meta)
            try transaction.delete("unwanted", in: databases.meta)
        }
        #expect(try StoreInspection(of: path).fileByteCount > byteCount(path) + 900_000)
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
        let store = try Store.open(directory: path, options: smallOptions())
        _ = try store.makeTopic("u")
    }

    @Test func whatAnInterruptedCopyLeftIsNoStore() throws {
        try Data(repeating: 1, count: 50_000).write(to: URL(fileURLWithPath: directory.path + "/data.mdb.partial"))
        #expect(try refusal(directory.path).contains("interrupted copy"))
    }

    @Test func anotherProgramsEnvironmentIsRefused() throws {
        try {
            let environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 36))
            try environment.write { (transaction) throws(LMDBError) in
                let database = try transaction.database("theirs")
                try transaction.put("a", [1], in: database)
            }
        }()
        #expect(try refusal(directory.path).contains("not a store of lmbroker"))
        #expect(throws: StoreError.self) { try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36) }
    }

    @Test func aNewerFormatIsRefused() throws {
        let (path, _) = try closedStore(directory) { _, _ in }
        try damage(path) { transaction, databases throws(LMDBError) in
            var identity = IdentityRow()
            identity.storeFormat = Databases.format + 1
            try transaction.put("identity", identity.encoded(), in: databases.meta)
        }
        #expect(try refusal(path).contains("format \(Databases.format + 1)"))
    }

    @Test func aCleanShutdownLeavesNothingInTheJournal() throws {
        let (path, _) = try closedStore(directory) { store, partition in
            for size in [1, 3_000, 90_000] { _ = try store.append(makeBatch([[UInt8](repeating: 1, count: size)]), to: partition) }
        }
        func image() throws -> (clean: Bool, entries: Int, next: UInt64) {
            let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
            let first = try environment.snapshot()
            let databases = try Databases(existingIn: first)
            let image = try StoreImage(first, databases)
            return (image.wasShutDownCleanly, image.journal.entries.count, image.journal.nextSequence)
        }
        let closed = try image()
        #expect(closed.clean && closed.entries == 0)
        // The sequences go on behind the mark.
        let store = try Store.open(directory: path, options: smallOptions())
        _ = try store.makeTopic("u")
        let copy = directory.subdirectory("copy")
        try store.backup(to: copy)
        store.close()
        #expect(try image().next == closed.next + 1)
        #expect(try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).journalEntryCount == 1)
    }

    @Test func topicsAndIdsThatCannotBeAreRefused() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        for name in ["", String(repeating: "n", count: 600)] {
            guard
                case .failure(.invalidTopicException, _) = try store.administer(
                    .createTopic(name: name, id: nil, partitionCount: 1, configs: [:]))
            else { throw TestFailure("a topic with a name of \(name.utf8.count) bytes was created") }
        }
        let topic = try store.makeTopic("t")
        _ = try store.administer(.deleteTopic(id: topic.id))
        guard case .failure = try store.administer(.createTopic(name: "u", id: topic.id, partitionCount: 1, configs: [:])) else {
            throw TestFailure("the id of a topic whose deletion is in the journal was given again")
        }
    }
}
