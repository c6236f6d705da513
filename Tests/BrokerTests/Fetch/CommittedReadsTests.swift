import KafkaProtocol
import Store
import Testing

@testable import Broker

/// What consumers of both isolation levels get of transactions.
@Suite struct CommittedReadsTests {
    private static let producerID: Int64 = 7

    @Test func committedReadersStopAtTheOpenTransactionAndOthersDoNot() async throws {
        try await TestBroker.with { broker in
            let partition = try await broker.createTopic("t").partitions[0]
            try await broker.append([1], to: partition, timestamp: 100)
            try await broker.open(Self.producerID, 0, [partition])
            try await broker.appendTransactional([2], to: partition, Self.producerID, epoch: 0, sequence: 0, timestamp: 200)
            try await broker.append([3], to: partition, timestamp: 300)
            let client = try broker.connect()
            let committed = try client.ask(FetchRequest(committed: "t", [(0, 0)]), version: 12).partitions[0]
            let all = try client.ask(FetchRequest("t", [(0, 0)]), version: 12).partitions[0]
            #expect(committed.highWatermark == 3 && all.highWatermark == 3)
            #expect(committed.lastStableOffset == 1 && all.lastStableOffset == 1)
            #expect(committed.records?.length ?? 0 > 0)
            #expect(all.records?.length == 3 * (committed.records?.length ?? 0))
            #expect(committed.abortedTransactions?.isEmpty == true)
            #expect(all.abortedTransactions?.count == nil)
            // At the stable offset there is nothing, and nothing wrong.
            let waiting = try client.ask(FetchRequest(committed: "t", [(0, 1)]), version: 12).partitions[0]
            #expect(waiting.errorCode == .none && waiting.records?.length == 0)
        }
    }

    @Test func abortedTransactionsAreNamedWhereTheyReach() async throws {
        try await TestBroker.with { broker in
            let partition = try await broker.createTopic("t").partitions[0]
            for (epoch, isCommit) in [false, true, false].enumerated() {
                try await broker.open(Self.producerID, Int16(epoch), [partition])
                let first = try await broker.appendTransactional(
                    [UInt8](repeating: 1, count: 1000), to: partition, Self.producerID, epoch: Int16(epoch), sequence: 0, timestamp: 1)
                #expect(first == Int64(2 * epoch))
                try await broker.end(Self.producerID, Int16(epoch), isCommit, [partition])
            }
            let client = try broker.connect()
            func aborted(_ offset: Int64, maxBytes: Int32 = 1 << 20) throws -> [Int64]? {
                let answer = try client.ask(FetchRequest(committed: "t", [(0, offset)], partitionMaxBytes: maxBytes), version: 12).partitions[0]
                #expect(answer.lastStableOffset == 6)
                return answer.abortedTransactions?.map(\.firstOffset)
            }
            #expect(try aborted(0) == [0, 4])
            #expect(try aborted(0, maxBytes: 1) == [0])
            #expect(try aborted(2) == [4])
            #expect(try aborted(1, maxBytes: 1) == [0])
            #expect(try aborted(2, maxBytes: 1) == [])
            #expect(try aborted(6) == [])
        }
    }

    /// The commit of an end wakes those who wait for what was committed, also in a session that fetches incrementally.
    @Test(arguments: [false, true])
    func aWaitingFetchIsWokenByTheEnd(incremental: Bool) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("t", partitions: 2)
            let partition = topic.partitions[0]
            let client = try broker.connect()
            var session: (id: Int32, epoch: Int32) = (0, -1)
            if incremental {
                let first = try client.ask(FetchRequest(committed: "t", [(0, 0), (1, 0)], session: (0, 0)), version: 12)
                session = (first.sessionID, 1)
            }
            try await broker.open(Self.producerID, 0, [partition])
            try await broker.appendTransactional([2], to: partition, Self.producerID, epoch: 0, sequence: 0, timestamp: 1)
            let request = FetchRequest(committed: "t", incremental ? [] : [(0, 0), (1, 0)], maxWaitMs: 60_000, session: session)
            let fetch = try client.send(request, version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            // More of the same transaction is nothing to a reader of committed records.
            try await broker.appendTransactional([3], to: partition, Self.producerID, epoch: 0, sequence: 1, timestamp: 1)
            #expect(await broker.parkedFetchCount() == 1)
            try await broker.end(Self.producerID, 0, true, [partition])
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            let found = try #require(answer.partitions.first { $0.partitionIndex == 0 })
            #expect(found.lastStableOffset == 3 && found.highWatermark == 3)
            #expect(found.records?.length ?? 0 > 3 * 61)
            #expect(await broker.parkedFetchCount() == 0)
        }
    }

    @Test func minBytesCountOnlyWhatIsCommitted() async throws {
        try await TestBroker.with { broker in
            let partition = try await broker.createTopic("t").partitions[0]
            let value = [UInt8](repeating: 1, count: 1000)
            try await broker.append(value, to: partition, timestamp: 1)
            try await broker.open(Self.producerID, 0, [partition])
            for sequence in 0..<5 {
                try await broker.appendTransactional(value, to: partition, Self.producerID, epoch: 0, sequence: Int32(sequence), timestamp: 1)
            }
            let client = try broker.connect()
            let fetch = try client.send(FetchRequest(committed: "t", [(0, 0)], maxWaitMs: 60_000, minBytes: 3000), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            try await broker.end(Self.producerID, 0, false, [partition])
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(answer.recordBytes(0) ?? 0 > 6000)
            #expect(answer.partitions[0].abortedTransactions?.map(\.firstOffset) == [1])
        }
    }

    @Test func offsetsAreListedBelowTheStableOffset() async throws {
        try await TestBroker.with { broker in
            let partition = try await broker.createTopic("t").partitions[0]
            try await broker.append([1], to: partition, timestamp: 100)
            try await broker.open(Self.producerID, 0, [partition])
            try await broker.appendTransactional([2], to: partition, Self.producerID, epoch: 0, sequence: 0, timestamp: 200)
            let client = try broker.connect()
            func offset(_ timestamp: Int64, committed: Bool) throws -> Int64? {
                var request = ListOffsetsRequest("t", [(0, timestamp)])
                request.isolationLevel = committed ? 1 : 0
                return try client.ask(request, version: 7).topics.first?.partitions.first?.offset
            }
            #expect(try offset(-1, committed: true) == 1)
            #expect(try offset(-1, committed: false) == 2)
            #expect(try offset(150, committed: true) == -1)
            #expect(try offset(150, committed: false) == 1)
            #expect(try offset(50, committed: true) == 0)
            #expect(try offset(-3, committed: false) == 1)
            try await broker.end(Self.producerID, 0, true, [partition])
            #expect(try offset(-1, committed: true) == 3)
            #expect(try offset(150, committed: true) == 1)
            // Markers are of now, and no record.
            #expect(try offset(-3, committed: true) == 1)
            #expect(try offset(201, committed: true) == -1)
        }
    }
}

extension FetchRequest {
    /// By name, for versions to 12.
    fileprivate init(
        committed topic: String, _ partitions: [(index: Int32, offset: Int64)], maxWaitMs: Int32 = 0, minBytes: Int32 = 1,
        session: (id: Int32, epoch: Int32) = (0, -1), partitionMaxBytes: Int32 = 1 << 20
    ) {
        self.init(topic, partitions, maxWaitMs: maxWaitMs, minBytes: minBytes, session: session, partitionMaxBytes: partitionMaxBytes)
        isolationLevel = 1
    }
}

// Transactions in the store, past the protocol.
extension TestBroker {
    fileprivate func open(_ producerID: Int64, _ epoch: Int16, _ partitions: [Partition]) async throws {
        let state = TransactionState(producerID: producerID, producerEpoch: epoch, isOpen: true, partitions: partitions.map(\.id))
        try await step(TransactionChange(transactionalID: "a", state: state))
    }

    fileprivate func end(_ producerID: Int64, _ epoch: Int16, _ isCommit: Bool, _ partitions: [Partition]) async throws {
        let end = TransactionEnd(producerID: producerID, producerEpoch: epoch + 1, isCommit: isCommit, partitions: partitions.map(\.id))
        try await step(
            TransactionChange(transactionalID: "a", state: TransactionState(producerID: producerID, producerEpoch: epoch + 1), end: end))
    }

    private func step(_ change: TransactionChange) async throws {
        let error = await withCheckedContinuation { continuation in
            store.submit([.transactions([change], lane: DirectLane.shared) { continuation.resume(returning: $0) }])
        }
        if let error { throw error }
    }

    @discardableResult
    fileprivate func appendTransactional(
        _ value: [UInt8], to partition: Partition, _ producerID: Int64, epoch: Int16, sequence: Int32, timestamp: Int64
    ) async throws -> Int64 {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: value, timestamp: timestamp)
        let batch = try builder.finish(producerID: producerID, producerEpoch: epoch, baseSequence: sequence, transactional: true)
        let frame = Frame(batch)
        guard let header = RecordBatchHeader(frame.span, at: 0) else { throw WireClient.Failure(description: "no header") }
        let append = Append(partition: partition, frame: frame, slice: FrameSlice(offset: 0, length: batch.count), header: header)
        let results = await withCheckedContinuation { continuation in
            store.submit([.append([append], lane: DirectLane.shared) { continuation.resume(returning: $0) }])
        }
        guard results[0].errorCode == .none else { throw WireClient.Failure(description: "refused: \(results[0])") }
        return results[0].baseOffset
    }
}
