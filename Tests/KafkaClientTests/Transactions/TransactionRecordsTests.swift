import KafkaProtocol
import NIOCore
import Testing

@testable import KafkaClient

/// Transactions of those who read record by record.
@Suite(.timeLimit(.minutes(1)))
struct TransactionRecordsTests {
    private static let partition = TopicPartition("orders", 0)

    /// All orders come in one fetch; what a transaction takes further is the record that it has worked on, and no other.
    @Test func eachRecordHasOneResultThoughATransactionIsAborted() async throws {
        try await TransactionScene.with(["orders", "receipts"], partitions: 1) { scene in
            try await writeOrders(0..<10, scene.cluster)
            let consumer = try orders(scene.cluster)
            let producer = try await scene.producer("worker")
            var turn = 0
            for try await order in consumer.records {
                turn += 1
                try producer.begin()
                try await producer.send("\(order.offset)", to: "receipts")
                try await producer.sendOffsets(of: consumer)
                if turn == 5 {
                    try await producer.abort()
                    try await consumer.rewind()
                    continue
                }
                try await producer.commit()
                #expect(try await Admin(scene.cluster).committedOffsets(of: "receipts")[Self.partition]?.offset == order.offset + 1)
                if order.offset == 9 { break }
            }
            #expect(turn == 11)
            #expect(try await scene.values(of: "receipts", partitions: 1, .readCommitted) == (0..<10).map(String.init))
            await consumer.close()
            await producer.close()
        }
    }

    /// It can be aborted at once, long before its time is over.
    @Test func anOffsetOfATopicThatIsNoMoreCostsTheTransactionAndNotTheProducer() async throws {
        try await TransactionScene.with(["orders", "receipts"], partitions: 1) { scene in
            try await writeOrders(0..<1, scene.cluster)
            let consumer = try orders(scene.cluster)
            let producer = try await scene.producer("worker")
            _ = try await consumer.next()
            try producer.begin()
            try await producer.send("lost", to: "receipts")
            try await Admin(scene.cluster).deleteTopic("orders")
            let error = await #expect(throws: ClientError.self) { try await producer.sendOffsets(of: consumer) }
            #expect(error?.isRetriable == false)
            try await producer.abort()
            try producer.begin()
            try await producer.send("kept", to: "receipts")
            try await producer.sendOffsets(of: consumer)
            try await producer.commit()
            #expect(try await scene.values(of: "receipts", partitions: 1, .readCommitted) == ["kept"])
            await consumer.close()
            await producer.close()
        }
    }

    @Test(arguments: [true, false])
    func aBatchThatIsTooLargeIsSplitWithinATransaction(isVersion2: Bool) async throws {
        try await TransactionScene.with { scene in
            try await Admin(scene.cluster).alterConfigs(.topic("topic"), ["max.message.bytes": .set("500")])
            let producer = try await scene.producer(isVersion2Allowed: isVersion2)
            for round in 0..<2 {
                try producer.begin()
                for number in 0..<200 { try await producer.send("\(round)/\(number)", partition: 0) }
                try await producer.commit()
            }
            let wanted = (0..<2).flatMap { round in (0..<200).map { "\(round)/\($0)" } }
            #expect(try await scene.values(.readCommitted) == wanted)
            await producer.close()
        }
    }

    /// The answer to what an earlier transaction has asked says nothing about the next one, which was given up already otherwise.
    @Test func anAdditionThatIsAnsweredLateIsNoneOfTheNextTransaction() async throws {
        try await FlakyScene.with(seed: 1, keys: [], topics: ["topic"]) { scene in
            var options = ProducerOptions()
            options.deliveryTimeout = .seconds(3)
            let producer = TransactionalProducer(
                scene.cluster, transactionalID: "id", timeout: .seconds(60), options: options, isVersion2Allowed: false)
            try await producer.initialize()
            let refusal = Fault.refused(.concurrentTransactions)
            scene.front.plan.change { $0.refusing = [.addPartitionsToTxn: .concurrentTransactions] }
            try producer.begin()
            try await producer.send("expires", partition: 0)
            await #expect(throws: ClientError.self) { try await producer.commit() }
            try await producer.abort()
            try producer.begin()
            try await producer.send("kept", partition: 0)
            let commit = Task { try await producer.commit() }
            // By then the record waits for the partition to be added.
            let count = scene.front.plan.value.count(.addPartitionsToTxn, refusal)
            await scene.front.plan.until { $0.count(.addPartitionsToTxn, refusal) >= count + 3 }
            scene.front.plan.change { $0.refusing = [:] }
            try await commit.value
            #expect(try await scene.values(.readCommitted) == [["kept"], [], []])
            await producer.close()
        }
    }
}
