import Dispatch
import Foundation
import KafkaProtocol
import LMDB
import Synchronization
import Testing

@testable import Store

@Suite struct GroupTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func anOffsetIsAsItWasCommitted() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let topic = try store.makeTopic("t", partitions: 2)
        let value = CommittedOffset(offset: 7, leaderEpoch: 3, metadata: "where I was", commitTimeMs: 5, expireTimeMs: 99)
        #expect(try store.change([GroupChange(groupID: "g", offsets: [(topic.key(1), value)])]) == nil)
        #expect(store.committedOffset("g", topic.key(1)) == value)
        #expect(store.committedOffset("g", topic.key(0)) == nil)
        #expect(store.committedOffset("h", topic.key(1)) == nil)
        #expect(store.committedOffsets(of: "g") == [topic.key(1): value])
        #expect(store.groupIDs() == ["g"])
        #expect(try store.change([GroupChange(groupID: "g", offsets: [(topic.key(1), nil)])]) == nil)
        #expect(store.committedOffsets(of: "g") == [:])
        #expect(store.groupIDs() == [])
    }

    /// The sweep may touch a group's object once more when it is nobody's any more, and there is another of that name.
    @Test func aRetiredGroupDoesNotTakeItsSuccessorAlong() throws {
        let opening = try StoreOpening(directory.path, smallOptions())
        defer { opening.lock.release() }
        let shared = SharedState()
        let writer = StoreWriter(environment: opening.environment, databases: opening.databases, options: smallOptions(), shared: shared)
        try writer.load()
        func commit(_ submission: Submission) throws { _ = try writer.commit([submission]) }
        try commit(.admin(.createTopic(name: "t", id: nil, partitionCount: 1, configs: [:]), lane: WaitingLane()) { _ in })
        let key = try #require(shared.catalog.withLock { $0.byName["t"] }).key()
        func change(_ offset: CommittedOffset?) throws {
            try commit(.groups([GroupChange(groupID: "g", offsets: [(key, offset)])], lane: WaitingLane()) { #expect($0 == nil) })
        }
        try change(CommittedOffset(offset: 1, commitTimeMs: 1))
        let retired = try #require(shared.groups.withLock { $0["g"] })
        try change(nil)
        try writer.shutDown()
        #expect(shared.groups.withLock { $0["g"] } == nil)
        try change(CommittedOffset(offset: 2, commitTimeMs: 2))
        var draft = CommitDraft(timeMs: 0, sequence: writer.journal.nextSequence, valueByteCountMax: writer.sizing.byteCountMax)
        draft.touchedGroups = [retired]
        writer.publishGroups(draft)
        #expect(shared.groups.withLock { $0["g"] } != nil)
    }

    /// A change of no groups is answered after what was submitted before it, and writes nothing.
    @Test func anEmptyChangeIsABarrier() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let topic = try store.makeTopic("t")
        #expect(try store.change([]) == nil)
        let before = store.statistics().commitCount
        #expect(try store.change([GroupChange(groupID: "g")]) == nil)
        #expect(store.statistics().commitCount == before)
        #expect(store.groupIDs() == [])
        let outcomes = Outcomes(2)
        let key = topic.key()
        store.submit([
            .groups([GroupChange(groupID: "g", offsets: [(key, CommittedOffset(offset: 1, commitTimeMs: 1))])], lane: WaitingLane()) { _ in
                outcomes.add("write")
            },
            .groups([], lane: WaitingLane()) { _ in outcomes.add("barrier sees \(store.committedOffset("g", key)?.offset ?? -1)") },
        ])
        #expect(try outcomes.all() == ["write", "barrier sees 1"])
    }

    @Test func whatTheStoreCannotHoldIsRefusedWhole() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let topic = try store.makeTopic("t")
        let good = GroupChange(groupID: "good", offsets: [(topic.key(), CommittedOffset(offset: 1, commitTimeMs: 1))])
        let bad: [GroupChange] = [
            GroupChange(groupID: String(repeating: "g", count: 256), records: [GroupRecord(key: [1], value: [1])]),
            GroupChange(groupID: "g", records: [GroupRecord(key: [UInt8](repeating: 1, count: 251), value: [1])]),
            GroupChange(groupID: "g", records: [GroupRecord(key: [1], value: [UInt8](repeating: 1, count: GroupChange.valueByteCountMax + 1))]),
            GroupChange(
                groupID: "g",
                offsets: [
                    (
                        topic.key(),
                        CommittedOffset(offset: 1, metadata: String(repeating: "m", count: GroupChange.metadataByteCountMax + 1), commitTimeMs: 1)
                    )
                ]),
        ]
        for change in bad {
            guard case .tooLarge(let sentence) = try store.change([good, change]) else { throw TestFailure("it was not refused") }
            #expect(!sentence.isEmpty)
            #expect(store.groupIDs() == [])
        }
    }

    /// The largest of everything, many times an entry and a row, in one commit.
    @Test func largeValuesGoThroughTheJournalAndItsEnd() throws {
        var path = directory.subdirectory("live")
        let large = (0..<GroupChange.valueByteCountMax).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let offset = CommittedOffset(offset: 1, metadata: String(repeating: "m", count: GroupChange.metadataByteCountMax), commitTimeMs: 1)
        var keys: [OffsetKey] = []
        try {
            let store = try Store.open(directory: path, options: smallOptions())
            let topic = try store.makeTopic("t", partitions: 5)
            keys = (0..<5).map { topic.key($0) }
            let records = (0..<6).map { GroupRecord(key: [$0], value: large) } + (6..<200).map { GroupRecord(key: [$0], value: Array(large.prefix(4_000))) }
            #expect(try store.change([GroupChange(groupID: "g", records: records, offsets: keys.map { ($0, offset) })]) == nil)
            try store.backup(to: directory.subdirectory("copy"))
        }()
        // Out of the rows, and out of the journal of the copy.
        for _ in 0..<2 {
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
            let store = try Store.open(directory: path, options: smallOptions())
            let records = try store.groupRecords(of: "g")
            #expect(records.count == 200)
            #expect(records.prefix(6).allSatisfy { $0.value == large })
            #expect(keys.allSatisfy { store.committedOffset("g", $0) == offset })
            // A shorter value leaves no parts of the longer one behind.
            try store.setRecords("g", [("\u{0}", [1, 2, 3]), ("\u{1}", nil)])
            store.close()
            #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
            let again = try Store.open(directory: path, options: smallOptions())
            let found = try again.groupRecords(of: "g")
            #expect(found.count == 199 && found.first?.value == [1, 2, 3] && found.dropFirst().first?.key == [2])
            again.close()
            path = directory.subdirectory("copy")
        }
    }

    @Test func aTopicMadeAnewHasNoOffsets() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        let topic = try store.makeTopic("t")
        try store.commit("g", [topic.key(): 5])
        _ = try store.administer(.deleteTopic(id: topic.id))
        #expect(store.committedOffset("g", topic.key()) == nil)
        #expect(store.committedOffsets(of: "g") == [:])
        let anew = try store.makeTopic("t")
        #expect(store.committedOffset("g", anew.key()) == nil)
        // An offset for the old one, committed too late, is passed over.
        try store.commit("g", [topic.key(): 9, anew.key(): 1])
        #expect(store.committedOffsets(of: "g").mapValues(\.offset) == [anew.key(): 1])
    }

    /// Offsets of deleted topics go in bounded steps while nobody waits, and go on doing so after a restart.
    @Test(arguments: [false, true])
    func offsetsOfDeletedTopicsAreSweptAway(restarting: Bool) throws {
        let path = directory.subdirectory("live")
        let copy = directory.subdirectory("copy")
        let count: Int32 = 3_000
        var options = smallOptions()
        options.journalOperationsMax = restarting ? 400_000 : 1_000
        let store = try Store.open(directory: path, options: options)
        let topics = try (0..<3).map { try store.makeTopic("t\($0)", partitions: 1) }
        for group in ["a", "b", "c"] {
            for topic in topics { try store.commit(group, Dictionary((0..<count).map { (topic.key($0), 1) }, uniquingKeysWith: { $1 })) }
        }
        let outcomes = Outcomes(2)
        for topic in topics.prefix(2) {
            store.submit([
                .admin(.deleteTopic(id: topic.id), lane: WaitingLane()) { outcomes.add("\($0)") }
            ])
        }
        #expect(try outcomes.all() == ["done", "done"])
        // What a kill leaves before the sweep has been everywhere.
        if restarting { try store.backup(to: copy) } else { try store.awaitSweep() }
        store.close()
        let target = restarting ? copy : path
        if restarting {
            #expect(try StoreVerifier.verify(directory: target, mapByteCount: 1 << 36).problems == [])
            let opened = try Store.open(directory: target, options: options)
            try opened.awaitSweep()
            #expect(opened.groupIDs().sorted() == ["a", "b", "c"])
            opened.close()
        }
        #expect(try entryCount(target) { $0.offsets } == 3 * Int(count))
        let report = try StoreVerifier.verify(directory: target, mapByteCount: 1 << 36)
        #expect(report.problems == [])
        let last = try Store.open(directory: target, options: options)
        #expect(last.committedOffsets(of: "b").count == Int(count))
    }

    @Test func aFullStoreStillTakesChangesOfGroups() throws {
        var options = smallOptions()
        options.maxBytes = 12 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t")
        let batch = try makeBatch([[UInt8](repeating: 1, count: 30_000)])
        while try store.append(batch, to: topic.partitions[0]).errorCode == .none {}
        guard case .full = store.state else { throw TestFailure("the state is \(store.state)") }
        for number in 0..<3_000 {
            let change = GroupChange(
                groupID: "g\(number % 50)", records: [GroupRecord(key: [UInt8(number % 7)], value: [UInt8](repeating: 1, count: 500))],
                offsets: [(topic.key(Int32(number % 20)), CommittedOffset(offset: Int64(number), commitTimeMs: 1))])
            let error = try store.change([change])
            guard error == nil else { throw TestFailure("change \(number): \(error?.description ?? "")") }
        }
        #expect(store.statistics().fileByteCount < (12 << 20) + (2 << 20))
        #expect(store.committedOffset("g49", topic.key(19))?.offset == 2_999)
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    /// A commit that meets the end of the map takes the changes of groups with it, and what was there before stays.
    @Test func aCommitThatFailsForWantOfRoomChangesNoGroup() throws {
        var options = tinyJournalOptions()
        options.mapByteCount = 8 << 20
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t", partitions: 2)
        for number in 0..<100 {
            try store.setRecords("g", [("a", [UInt8(number)]), ("b\(number % 9)", [1])])
            try store.commit("g", [topic.key(0): Int64(number)])
        }
        let version = store.catalogVersion
        let outcomes = Outcomes(3)
        store.submit([
            .groups(
                [
                    GroupChange(
                        groupID: "g", records: [GroupRecord(key: Array("a".utf8), value: nil), GroupRecord(key: [9], value: [9])],
                        offsets: [(topic.key(0), nil), (topic.key(1), CommittedOffset(offset: 1, commitTimeMs: 1))]),
                    GroupChange(groupID: "new", records: [GroupRecord(key: [9], value: [9])]),
                ], lane: WaitingLane()
            ) { outcomes.add($0 == nil ? "done" : "failure") },
            .append([try makeAppend(topic.partitions[1], makeBatch([[1]]))], lane: WaitingLane()) { outcomes.add($0[0].errorCode == .none ? "done" : "failure") },
            .beyondTheMap(topic.partitions[0]) { outcomes.add($0 == nil ? "done" : "failure") },
        ])
        #expect(try outcomes.all() == ["failure", "failure", "failure"])
        #expect(store.committedOffsets(of: "g").mapValues(\.offset) == [topic.key(0): 99])
        #expect(try store.recordTexts(of: "g").count == 10)
        #expect(try store.recordTexts(of: "g")["a"] == [99])
        #expect(store.groupIDs() == ["g"])
        #expect(store.catalogVersion > version, "the catalog was published anew")
        try store.commit("g", [topic.key(0): 100])
        store.close()
        #expect(try StoreVerifier.verify(directory: directory.path, mapByteCount: 1 << 36).problems == [])
    }

    @Test func theCatalogsVersionGrowsWithEachChangeOfTopics() throws {
        let store = try Store.open(directory: directory.path, options: smallOptions())
        var versions = [store.catalogVersion]
        func note() { versions.append(store.catalogVersion) }
        let topic = try store.makeTopic("t")
        note()
        _ = try store.administer(.createPartitions(topicID: topic.id, total: 3))
        note()
        _ = try store.administer(.deleteTopic(id: topic.id))
        note()
        #expect(versions == Array(Set(versions)).sorted(), "\(versions)")
        let before = store.catalogVersion
        let other = try store.makeTopic("u")
        _ = try store.append(makeBatch([[1]]), to: other.partitions[0])
        try store.commit("g", [other.key(): 1])
        #expect(store.catalogVersion == before + 1, "records and offsets are no change of topics")
    }

    /// Offsets that are all different are settled as fast as they come: the journal keeps within its limit.
    @Test func manyDifferentOffsetsDoNotOvergrowTheJournal() throws {
        var options = smallOptions()
        options.journalBytesMax = 200 << 20
        options.journalOperationsMax = 20_000
        let store = try Store.open(directory: directory.path, options: options)
        let topic = try store.makeTopic("t")
        let one = CommittedOffset(offset: 1, commitTimeMs: 1)
        var largest = 0
        for group in 0..<40 {
            let offsets = (0..<5_000).map { (key: topic.key($0), value: CommittedOffset?.some(one)) }
            #expect(try store.change([GroupChange(groupID: "g\(group)", offsets: offsets)]) == nil)
            largest = max(largest, store.statistics().journalByteCount)
        }
        #expect(largest < 25_000 * OffsetChanged.byteCount(one), "the journal had \(largest) bytes")
        #expect(store.groupIDs().count == 40)
    }
}

extension Store {
    /// Waits until no group has an offset of a topic that is gone.
    func awaitSweep() throws {
        let end = monotonicNs() + 30_000_000_000
        while monotonicNs() < end {
            let groups = shared.groups.withLock { Array($0.values) }
            let isDone = groups.allSatisfy { group in
                group.published.withLock { published in published.offsets.keys.allSatisfy { topic(id: $0.topicID) != nil } }
            }
            if isDone { return }
            sched_yield()
        }
        throw TestFailure("offsets of deleted topics are still there")
    }
}
