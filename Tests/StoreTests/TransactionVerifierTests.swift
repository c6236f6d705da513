import Foundation
import KafkaProtocol
import LMDB
import Testing

@testable import Store

@Suite struct TransactionVerifierTests {
    /// Wrong entries of the index and wrong states, put behind the store's back.
    @Test func plantedFlawsAreReported() throws {
        let directory = try TemporaryDirectory()
        let path = directory.subdirectory("live")
        var store = try Store.open(directory: path, options: smallOptions())
        let topic = try store.makeTopic("t")
        let partition = topic.partitions[0]
        let first = TestProducer("first", producerID: 1)
        let second = TestProducer("second", producerID: 2)
        try first.send([[1]], to: partition, of: store)  // 0
        try second.send([[2]], to: partition, of: store)  // 1
        try second.end(false, in: store)  // 2
        try first.end(true, in: store)  // 3
        try second.send([[3]], to: partition, of: store)  // 4
        try second.sendOffsets("g", [topic.key(): 1], to: store)
        store.close()
        // Shut down, all of it stands in rows.
        #expect(try StoreVerifier.verify(directory: path, mapByteCount: 1 << 36).problems == [])
        store = try Store.open(directory: path, options: smallOptions())
        #expect(partition.id == store.topic(named: "t")?.partitions[0].id)
        store.close()

        func aborted(_ producerID: Int64, _ firstOffset: Int64, _ stable: Int64) -> [UInt8] {
            AbortedRow {
                $0.producerID = producerID
                $0.firstOffset = firstOffset
                $0.lastStableOffset = stable
            }.encoded()
        }
        func producer(_ start: Int64, _ epoch: Int16) -> [UInt8] {
            ProducerRow {
                $0.epoch = epoch
                $0.transactionStart = start
            }.encoded()
        }
        func state(_ change: (inout TransactionRow) -> Void) -> [UInt8] {
            TransactionRow {
                $0.value = TransactionFields(second.state)
                change(&$0)
            }.encoded()
        }
        let right = aborted(2, 1, 0)
        let flaws: [(String, (inout Transaction, TransactionDatabases, Databases, PartitionID) throws(LMDBError) -> Void)] = [
            ("no entry", { (t, d, _, p) throws(LMDBError) in try t.delete(AbortedKey(p, 2), in: d.aborted) }),
            ("another producer", { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(p, 2), aborted(1, 1, 0), in: d.aborted) }),
            ("another beginning", { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(p, 2), aborted(2, 0, 0), in: d.aborted) }),
            ("another stable offset", { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(p, 2), aborted(2, 1, 3), in: d.aborted) }),
            ("an entry too many", { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(p, 3), right, in: d.aborted) }),
            ("a broken entry", { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(p, 2), Array(right.dropLast()), in: d.aborted) }),
            ("a broken key", { (t, d, _, p) throws(LMDBError) in try t.put([0, 0, 0, 1, 2] as [UInt8], right, in: d.aborted) }),
            (
                "an entry of no partition",
                { (t, d, _, p) throws(LMDBError) in try t.put(AbortedKey(PartitionID(rawValue: 99), 2), right, in: d.aborted) }
            ),
            ("an open one forgotten", { (t, _, d, p) throws(LMDBError) in try t.put(ProducerKey(p, 2), producer(-1, 1), in: d.producers) }),
            ("an open one moved", { (t, _, d, p) throws(LMDBError) in try t.put(ProducerKey(p, 2), producer(3, 1), in: d.producers) }),
            ("an open one invented", { (t, _, d, p) throws(LMDBError) in try t.put(ProducerKey(p, 1), producer(0, 1), in: d.producers) }),
            ("no state", { (t, d, _, _) throws(LMDBError) in try t.delete(TransactionKey("second"), in: d.states) }),
            ("a broken state", { (t, d, _, _) throws(LMDBError) in try t.put(TransactionKey("second"), [1, 2, 3], in: d.states) }),
            ("a broken key of states", { (t, d, _, _) throws(LMDBError) in try t.put([7, 7] as [UInt8], [1], in: d.states) }),
            (
                "the partition missing in the state",
                { (t, d, _, _) throws(LMDBError) in try t.put(TransactionKey("second"), state { $0.value.partitions = [] }, in: d.states) }
            ),
            (
                "the group missing in the state",
                { (t, d, _, _) throws(LMDBError) in try t.put(TransactionKey("second"), state { $0.value.groupIDs = [] }, in: d.states) }
            ),
            ("one producer id twice", { (t, d, _, _) throws(LMDBError) in try t.put(TransactionKey("third"), state { _ in }, in: d.states) }),
        ]
        for (name, flaw) in flaws {
            let copy = directory.subdirectory(name)
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            try damage(copy) { transaction, databases throws(LMDBError) in
                guard let ours = databases.transactions else { throw .corrupted }
                try flaw(&transaction, ours, databases, partition.id)
            }
            var complaints: [String]
            do {
                complaints = try StoreVerifier.verify(directory: copy, mapByteCount: 1 << 36).problems
            } catch { complaints = [error.description] }
            #expect(complaints != [], "\(name)")
        }
    }
}
