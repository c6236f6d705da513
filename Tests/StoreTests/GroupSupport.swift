import Foundation
import KafkaProtocol
import LMDB
import Testing

@testable import Store

extension Store {
    func change(_ changes: [GroupChange]) throws -> StoreError? {
        let box = Box<StoreError?>()
        submit([
            .groups(changes, lane: WaitingLane()) {
                box.value = .some($0)
                box.done.signal()
            }
        ])
        box.done.wait()
        return try #require(box.value)
    }

    /// Commits offsets of a group and expects success.
    func commit(_ groupID: String, _ offsets: [OffsetKey: Int64]) throws {
        let changes = offsets.map { (key: $0, value: CommittedOffset?.some(CommittedOffset(offset: $1, commitTimeMs: 1))) }
        #expect(try change([GroupChange(groupID: groupID, offsets: changes)]) == nil)
    }

    func setRecords(_ groupID: String, _ records: [(String, [UInt8]?)]) throws {
        let records = records.map { GroupRecord(key: Array($0.0.utf8), value: $0.1) }
        #expect(try change([GroupChange(groupID: groupID, records: records)]) == nil)
    }

    func recordTexts(of groupID: String) throws -> [String: [UInt8]] {
        Dictionary(try groupRecords(of: groupID).map { (String(decoding: $0.key, as: UTF8.self), $0.value ?? []) }, uniquingKeysWith: { $1 })
    }
}

extension Submission {
    /// More than a map of 8 MiB holds. Ends of transactions are admitted however little room there is, so its commit meets the end.
    static func beyondTheMap(_ partition: Partition, _ finish: @escaping @Sendable (StoreError?) -> Void) -> Submission {
        let markers = TransactionEnd(
            producerID: 1_000, producerEpoch: 0, isCommit: true, partitions: Array(repeating: partition.id, count: 70_000))
        let state = TransactionState(producerID: markers.producerID, producerEpoch: 0)
        return .transactions([TransactionChange(transactionalID: "large", state: state, end: markers)], lane: WaitingLane(), finish: finish)
    }
}

extension Topic {
    func key(_ partition: Int32 = 0) -> OffsetKey { OffsetKey(topicID: id, partition: partition) }
}

/// Options under which an entry stands in the journal for a few commits only.
func tinyJournalOptions() -> StoreOptions {
    var options = smallOptions()
    options.journalOperationsMax = 40
    return options
}

/// How many keys a database of a closed store has.
func entryCount(_ path: String, _ database: (GroupDatabases) -> Database) throws -> Int {
    let environment = try Environment(path: path, options: .init(mapByteCount: 1 << 36))
    let first = try environment.snapshot()
    let databases = try Databases(existingIn: first)
    try first.commit()
    let groups = try #require(databases.groups)
    let snapshot = try environment.snapshot()
    return try snapshot.statistics(of: database(groups)).entryCount
}
