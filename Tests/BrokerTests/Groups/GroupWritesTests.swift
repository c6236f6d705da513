import KafkaProtocol
import Store
import Synchronization
import Testing

@testable import Broker

@Suite struct GroupWritesTests {
    private func change(_ groupID: String, _ byte: UInt8) -> GroupChange {
        GroupChange(groupID: groupID, records: [GroupRecord(key: [byte], value: [byte])])
    }

    /// What is decided while a write is under way is one write, in the order of the decisions.
    @Test func oneWriteOfAGroupIsUnderWayAtATime() throws {
        var writes = GroupWrites()
        let first = writes.add(change("a", 1)) { _ in }
        #expect(first?.changes.flatMap { $0.records.map(\.key) } == [[1]])
        let waits = [writes.add(change("a", 2)) { _ in }, writes.add(change("a", 3)) { _ in }]
        #expect(waits.allSatisfy { $0 == nil })
        let other = writes.add(change("b", 9)) { _ in }
        #expect(other != nil, "another group need not wait")
        let second = writes.next("a")
        #expect(second?.changes.flatMap { $0.records.map(\.key) } == [[2], [3]])
        #expect(second?.finishes.count == 2)
        #expect(writes.isBusy("a"))
        let third = writes.next("a")
        #expect(third == nil)
        #expect(!writes.isBusy("a"))
    }

    @Test func aFailedWriteTakesThoseBehindItAlong() {
        var writes = GroupWrites()
        let failed = Mutex(0)
        _ = writes.add(change("a", 1)) { _ in }
        for byte: UInt8 in 2...4 {
            _ = writes.add(change("a", byte)) { error in if error != nil { failed.withLock { $0 += 1 } } }
        }
        for finish in writes.abandon("a") { finish(.full("no room")) }
        #expect(failed.withLock { $0 } == 3)
        #expect(!writes.isBusy("a"))
    }

    @Test func aDeletionUnderWayIsKnown() {
        var writes = GroupWrites()
        _ = writes.add(change("a", 1)) { _ in }
        #expect(!writes.isDeleting("a"))
        _ = writes.add(GroupChange(groupID: "a", deletesOffsets: true)) { _ in }
        #expect(writes.isDeleting("a") && !writes.isDeleting("b"))
        #expect(writes.next("a")?.changes.count == 1)
        #expect(writes.isDeleting("a"))
        #expect(writes.next("a") == nil)
        #expect(!writes.isDeleting("a"))
    }
}
