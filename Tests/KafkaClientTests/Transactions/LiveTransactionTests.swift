import ArgumentParser
import KafkaProtocol
import Testing

@testable import KafkaClient
@testable import lmbroker

/// A broker with a topic, for tests of transactions.
struct TransactionScene {
    let broker: LiveBroker
    let cluster: Cluster

    static func with(_ topics: [String] = ["topic"], partitions: Int32 = 2, _ body: (TransactionScene) async throws -> Void) async throws {
        let broker = LiveBroker()
        try await broker.start(["group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000"])
        let cluster = broker.cluster()
        do {
            for topic in topics { try await Admin(cluster).createTopic(topic, partitions: partitions) }
            try await body(TransactionScene(broker: broker, cluster: cluster))
        } catch {
            cluster.close()
            await broker.remove()
            throw error
        }
        cluster.close()
        await broker.remove()
    }

    func producer(_ id: String = "id", isVersion2Allowed: Bool = true) async throws -> TransactionalProducer {
        let producer = TransactionalProducer(
            cluster, transactionalID: id, timeout: .seconds(60), options: ProducerOptions(), isVersion2Allowed: isVersion2Allowed)
        try await producer.initialize()
        return producer
    }

    /// All values that are there now, by partition and offset.
    func values(of topic: String = "topic", partitions: Int32 = 2, _ isolation: IsolationLevel) async throws -> [String] {
        var options = ConsumerOptions()
        options.isolation = isolation
        let places = (0..<partitions).map { TopicPartition(topic, $0) }
        let ends = try await Admin(cluster).offsets(Dictionary(uniqueKeysWithValues: places.map { ($0, PartitionPlace.latest) }), isolation: isolation)
        var values: [String] = []
        for place in places where (ends[place] ?? 0) > 0 {
            let consumer = Consumer(cluster, options: options)
            defer { consumer.close() }
            var next = try await consumer.assign([place: .earliest])[place] ?? 0
            while next < ends[place] ?? 0, let records = try await consumer.next() {
                try records.forEachRecord { record, reader in
                    values.append(String(decoding: reader.array(record.value) ?? [], as: UTF8.self))
                    return true
                }
                next = records.nextOffset
            }
        }
        return values
    }
}

extension TransactionalProducer {
    func send(_ text: String, to topic: String = "topic", partition: Int32? = nil) async throws(ClientError) {
        try await send(key: Array(text.utf8), value: Array(text.utf8), to: topic, partition: partition)
    }
}

@Suite(.timeLimit(.minutes(2)), .serialized)
struct LiveTransactionTests {
    @Test(arguments: [true, false])
    func whatIsCommittedIsReadAndWhatIsAbortedIsNot(isVersion2: Bool) async throws {
        try await TransactionScene.with { scene in
            let producer = try await scene.producer(isVersion2Allowed: isVersion2)
            var wanted: Set<String> = []
            for round in 0..<6 {
                try producer.begin()
                for number in 0..<50 { try await producer.send("\(round)/\(number)") }
                if round % 2 == 0 {
                    try await producer.commit()
                    for number in 0..<50 { wanted.insert("\(round)/\(number)") }
                } else {
                    try await producer.abort()
                }
            }
            let committed = try await scene.values(.readCommitted)
            #expect(committed.count == wanted.count)
            #expect(Set(committed) == wanted)
            #expect(Set(try await scene.values(.readUncommitted)).isSuperset(of: wanted))
            await producer.close()
        }
    }

    @Test func readersOfCommittedRecordsWaitForTheEnd() async throws {
        try await TransactionScene.with { scene in
            let delivered = Watch(0)
            var options = ProducerOptions()
            options.onDelivery = { delivery in delivered.change { $0 += delivery.recordCount } }
            let producer = TransactionalProducer(scene.cluster, transactionalID: "id", options: options)
            try await producer.initialize()
            try producer.begin()
            try await producer.send("one", partition: 0)
            await delivered.until { $0 == 1 }
            #expect(try await scene.values(.readCommitted) == [])
            #expect(try await scene.values(.readUncommitted) == ["one"])
            try await producer.commit()
            #expect(try await scene.values(.readCommitted) == ["one"])
            await producer.close()
        }
    }

    @Test(arguments: [true, false])
    func whoeverTakesTheIDOverFencesItsLastHolder(isVersion2: Bool) async throws {
        try await TransactionScene.with { scene in
            let first = try await scene.producer(isVersion2Allowed: isVersion2)
            try first.begin()
            try await first.send("of the first")
            let second = try await scene.producer(isVersion2Allowed: isVersion2)
            try second.begin()
            try await second.send("of the second")
            await #expect(throws: ClientError.self) { try await first.commit() }
            let refusal = await #expect(throws: ClientError.self) { try await first.abort() }
            #expect(refusal?.endsTransactionalProducer == true, "\(String(describing: refusal))")
            #expect(throws: ClientError.self) { try first.begin() }
            try await second.commit()
            #expect(try await scene.values(.readCommitted) == ["of the second"])
            await first.close()
            await second.close()
        }
    }

    @Test(arguments: [true, false])
    func aTransactionThatCouldNotTakeARecordCanOnlyBeAborted(isVersion2: Bool) async throws {
        try await TransactionScene.with { scene in
            let producer = try await scene.producer(isVersion2Allowed: isVersion2)
            try producer.begin()
            try await producer.send("small", partition: 0)
            await #expect(throws: ClientError.self) { try await producer.send(String(repeating: "x", count: 2_000_000)) }
            let refusal = await #expect(throws: ClientError.self) { try await producer.commit() }
            #expect(refusal?.code == .transactionAbortable)
            try await producer.abort()
            try producer.begin()
            try await producer.send("after", partition: 0)
            try await producer.commit()
            #expect(try await scene.values(.readCommitted) == ["after"])
            await producer.close()
        }
    }

    @Test func transactionsGoOneAfterTheOther() async throws {
        try await TransactionScene.with { scene in
            let producer = TransactionalProducer(scene.cluster, transactionalID: "id")
            #expect(throws: ClientError.self) { try producer.begin() }
            try await producer.initialize()
            await #expect(throws: ClientError.self) { try await producer.initialize() }
            await #expect(throws: ClientError.self) { try await producer.send("outside") }
            await #expect(throws: ClientError.self) { try await producer.commit() }
            try producer.begin()
            #expect(throws: ClientError.self) { try producer.begin() }
            // Nothing was sent: there is nothing to end at the broker.
            try await producer.commit()
            await producer.close()
            #expect(try await scene.values(.readUncommitted) == [])
        }
    }

    @Test func aRestartedBrokerGoesOnWithAnOpenTransaction() async throws {
        try await TransactionScene.with { scene in
            let producer = try await scene.producer()
            try producer.begin()
            try await producer.send("before", partition: 0)
            await scene.broker.stop()
            try await scene.broker.start()
            try await producer.send("behind", partition: 0)
            try await producer.commit()
            #expect(try await scene.values(.readCommitted) == ["before", "behind"])
            await producer.close()
        }
    }

    @Test func listedDescribedAndAbortedByHand() async throws {
        try await TransactionScene.with { scene in
            let address = ["--broker", "127.0.0.1:\(scene.broker.port)"]
            let place = TopicPartition("topic", 1)
            let onNothing = try await TransactionAbort.asyncParse(["--topic", "topic", "--partition", "1"] + address)
            await #expect(throws: Outcome.refused) { try await onNothing.run() }
            let delivered = Watch(0)
            var options = ProducerOptions()
            options.onDelivery = { delivery in delivered.change { $0 += delivery.recordCount } }
            let producer = TransactionalProducer(scene.cluster, transactionalID: "stuck", options: options)
            try await producer.initialize()
            try producer.begin()
            try await producer.send("hangs", partition: 1)
            await delivered.until { $0 == 1 }

            let admin = Admin(scene.cluster)
            let listed = try await admin.transactions(states: ["Ongoing"])
            #expect(listed.map(\.id) == ["stuck"])
            #expect(try await admin.transactions(states: ["Empty"]).isEmpty)
            await #expect(throws: ClientError.self) { try await admin.transactions(states: ["Sleeping"]) }
            let described = try #require(try await admin.describeTransaction("stuck"))
            #expect(described.state == "Ongoing" && described.partitions == [place] && described.startMs != nil && described.timeoutMs == 60_000)
            #expect(try await admin.describeTransaction("nobody") == nil)
            let open = try await admin.producers(of: place)
            #expect(open.map(\.id) == [described.producerID] && open.first?.openSince == 0)

            try await TransactionList.asyncParse(["--state", "Ongoing", "--json"] + address).run()
            try await TransactionDescribe.asyncParse(["stuck"] + address).run()
            let ofAnother = try await TransactionAbort.asyncParse(["--topic", "topic", "--partition", "1", "--producer-id", "\(described.producerID + 1)"] + address)
            await #expect(throws: Outcome.refused) { try await ofAnother.run() }
            try await TransactionAbort.asyncParse(["--topic", "topic", "--partition", "1"] + address).run()
            #expect(try await admin.describeTransaction("stuck")?.state == "CompleteAbort")
            #expect(try await admin.producers(of: place).allSatisfy { $0.openSince == nil })
            await #expect(throws: ClientError.self) { try await producer.commit() }
            #expect(try await scene.values(.readCommitted) == [])
            await producer.close()
        }
    }

    @Test func theOneMeantIsAborted() throws {
        func producer(_ id: Int64, openSince: Int64?) -> PartitionProducer {
            PartitionProducer(id: id, epoch: 0, lastSequence: 0, lastTimestampMs: 0, coordinatorEpoch: 0, openSince: openSince)
        }
        let place = TopicPartition("topic", 0)
        let producers = [producer(1, openSince: nil), producer(2, openSince: 5), producer(3, openSince: 9)]
        #expect(try TransactionAbort.choose(producers, 3, place).id == 3)
        #expect(try TransactionAbort.choose([producers[0], producers[1]], nil, place).id == 2)
        #expect(throws: ClientError.self) { try TransactionAbort.choose(producers, nil, place) }
        #expect(throws: ClientError.self) { try TransactionAbort.choose(producers, 1, place) }
        #expect(throws: ClientError.self) { try TransactionAbort.choose([producers[0]], nil, place) }
    }
}
