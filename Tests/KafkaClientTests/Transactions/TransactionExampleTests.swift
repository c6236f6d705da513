import Foundation
import KafkaClient
import KafkaProtocol
import Testing

// The example of docs/TRANSACTIONS.md: what is between the lines is the same there.
// example begins
/// Writes a receipt for each order, exactly once, however often workers fail and start again.
func writeReceipts(_ cluster: Cluster, consumer: GroupConsumer, transactionalID: String) async throws {
    let producer = TransactionalProducer(cluster, transactionalID: transactionalID)
    do {
        try await producer.initialize()
        while let orders = try await consumer.next() {
            var receipts: [(key: [UInt8]?, value: [UInt8])] = []
            try orders.forEachRecord { record, reader in
                receipts.append((reader.array(record.key), Array("receipt of ".utf8) + (reader.array(record.value) ?? [])))
                return true
            }
            try producer.begin()
            do {
                for receipt in receipts { try await producer.send(key: receipt.key, value: receipt.value, to: "receipts") }
                try await producer.sendOffsets(of: consumer)
                try await producer.commit()
            } catch {
                // Throws when this producer is fenced, or when nobody can say whether the commit was carried out.
                try await producer.abort()
                try await consumer.rewind()
            }
        }
    } catch {
        await producer.close()
        throw error
    }
    await producer.close()
}

/// Reads what is committed only, and leaves commits to the transactions.
func orders(_ cluster: Cluster) throws -> GroupConsumer {
    var options = GroupConsumerOptions()
    options.autoCommitInterval = nil
    options.fetching.isolation = .readCommitted
    let consumer = GroupConsumer(cluster, group: "receipts", options: options)
    try consumer.subscribe(["orders"])
    return consumer
}
// example ends

@Suite(.timeLimit(.minutes(2)), .serialized)
struct TransactionExampleTests {
    private func receipts(_ scene: TransactionScene, count: Int) async throws -> [String] {
        while true {
            let values = try await scene.values(of: "receipts", .readCommitted)
            if values.count >= count { return values }
            await Task.yield()
        }
    }

    @Test func eachOrderHasOneReceiptThoughAWorkerIsFenced() async throws {
        try await TransactionScene.with(["orders", "receipts"]) { scene in
            let cluster = scene.cluster
            let first = try orders(cluster)
            let firstWorker = Task { try await writeReceipts(cluster, consumer: first, transactionalID: "worker") }
            try await writeOrders(0..<100, cluster)
            _ = try await receipts(scene, count: 1)
            let second = try orders(cluster)
            let secondWorker = Task { try await writeReceipts(cluster, consumer: second, transactionalID: "worker") }
            try await writeOrders(100..<200, cluster)
            // The second has taken the id over: the first finds out with its next transaction, or has none any more.
            first.stop()
            _ = await firstWorker.result
            await first.close()
            let values = try await receipts(scene, count: 200)
            second.stop()
            try await secondWorker.value
            #expect(values.count == 200)
            #expect(Set(values) == Set((0..<200).map { "receipt of order \($0)" }))
            let committed = try await Admin(cluster).committedOffsets(of: "receipts")
            #expect(committed.values.reduce(0) { $0 + $1.offset } == 200)
            await second.close()
        }
    }

    @Test func whatWasAbortedIsReadAgain() async throws {
        try await TransactionScene.with(["orders", "receipts"], partitions: 1) { scene in
            let cluster = scene.cluster
            try await writeOrders(0..<10, cluster)
            let consumer = try orders(cluster)
            let producer = try await scene.producer("worker")
            for isCommit in [false, true] {
                var seen = 0
                try producer.begin()
                while seen < 10, let records = try await consumer.next() {
                    try records.forEachRecord { _, _ in
                        seen += 1
                        return true
                    }
                }
                #expect(seen == 10)
                try await producer.send("all", to: "receipts")
                try await producer.sendOffsets(of: consumer)
                if isCommit {
                    try await producer.commit()
                } else {
                    try await producer.abort()
                    #expect(try await Admin(cluster).committedOffsets(of: "receipts").isEmpty)
                    try await consumer.rewind()
                }
            }
            #expect(try await Admin(cluster).committedOffsets(of: "receipts")[TopicPartition("orders", 0)]?.offset == 10)
            await consumer.close()
            await producer.close()
        }
    }

    /// What is told of the example is what is run here.
    @Test func theDocumentShowsThisCode() throws {
        let here = URL(filePath: #filePath)
        let root = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let source = try String(contentsOf: here, encoding: .utf8)
        let document = try String(contentsOf: root.appending(path: "docs/TRANSACTIONS.md"), encoding: .utf8)
        let begin = try #require(source.range(of: "// example begins\n"))
        let end = try #require(source.range(of: "// example ends\n"))
        #expect(document.contains("```swift\n" + source[begin.upperBound..<end.lowerBound] + "```"))
    }
}
