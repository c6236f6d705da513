import Dispatch
import KafkaProtocol
import NIOCore
import NIOPosix
import Store
import Testing

@testable import Broker

@Suite struct PipeliningTests {
    /// Answers that are ready at once wait for those that need a commit or records.
    @Test func answersComeInTheOrderOfTheRequests() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("ordered")
            let client = try broker.connect()
            let one = try batch(["value"])
            var sent: [(produce: Int32, versions: Int32)] = []
            for _ in 0..<50 {
                let produce = try client.send(ProduceRequest("ordered", batch: one), version: 9, records: one)
                sent.append((produce, try client.send(ApiVersionsRequest(), version: 0)))
            }
            for (round, ids) in sent.enumerated() {
                let produced = try client.receive(ProduceRequest.self, version: 9, correlationID: ids.produce)
                #expect(produced.responses[0].partitionResponses[0].baseOffset == Int64(round))
                _ = try client.receive(ApiVersionsRequest.self, version: 0, correlationID: ids.versions)
            }
        }
    }

    /// What the socket does not take at once is the channel's to write, and so is what comes from the committer meanwhile.
    @Test func answersBehindOneThatTheSocketDoesNotTakeKeepTheirOrder() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("large")
            for _ in 0..<4 { try await broker.append([UInt8](repeating: 7, count: 900_000), to: topic.partitions[0], timestamp: 1) }
            try await broker.createTopic("small")
            let client = try broker.connect(receiveByteCount: 4_096)
            let one = try batch(["value"])
            for _ in 0..<20 {
                let fetch = try client.send(FetchRequest("large", [(0, 0)], partitionMaxBytes: 100 << 20), version: 12)
                let behind = try (0..<50).map { _ in try client.send(ProduceRequest("small", batch: one), version: 9, records: one) }
                #expect(try client.receive(FetchRequest.self, version: 12, correlationID: fetch).recordBytes(0) ?? 0 > 3_500_000)
                for id in behind { _ = try client.receive(ProduceRequest.self, version: 9, correlationID: id) }
            }
            try await wait(while: broker.server.context.responseBytes.usedBytes > 0)
        }
    }

    /// The fetch ahead waits for the produce behind it on the same connection, and is woken by it.
    @Test func aWaitingFetchHoldsBackItsSuccessorsAnswersButNotTheirWork() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("held")
            let client = try broker.connect()
            let one = try batch(["value"])
            let fetch = try client.send(FetchRequest("held", [(0, 0)], maxWaitMs: 15_000), version: 12)
            let produce = try client.send(ProduceRequest("held", batch: one), version: 9, records: one)
            let fetched = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(fetched.recordBytes(0) == one.count)
            let produced = try client.receive(ProduceRequest.self, version: 9, correlationID: produce)
            #expect(produced.responses[0].partitionResponses[0].errorCode == .none)
        }
    }

    @Test func aRequestWithoutAcknowledgementHasNoAnswer() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("silent")
            let client = try broker.connect()
            let one = try batch(["value"])
            try client.send(ProduceRequest("silent", batch: one, acks: 0), version: 9, records: one)
            // The next answer on the wire is the next request's.
            _ = try client.ask(ApiVersionsRequest())
            #expect(topic.partitions[0].highWatermark == 1)
        }
    }

    @Test func aFailureWithoutAcknowledgementClosesTheConnection() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            let one = try batch(["value"])
            try client.send(ProduceRequest("missing", batch: one, acks: 0), version: 9, records: one)
            #expect(client.isClosed())
        }
    }

    /// Members that wait for others must not keep the others' requests from being read.
    @Test func aMemberThatWaitsTakesNoRoomThatOthersNeed() async throws {
        try await TestBroker.with(["queued.max.request.bytes=1048576", "group.initial.rebalance.delay.ms=600000"]) { broker in
            let join = JoinGroupRequest {
                $0.groupID = "g"
                $0.sessionTimeoutMs = 30_000
                $0.rebalanceTimeoutMs = 600_000
                $0.protocolType = "consumer"
                $0.protocols = [JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = ("range", [UInt8](repeating: 1, count: (1 << 20) - 13)) }]
            }
            let member = try broker.connect()
            try member.send(join, version: 2)
            try await wait(while: broker.server.context.groups.list(states: [], types: []).isEmpty)
            #expect(try !broker.connect().ask(ApiVersionsRequest(), version: 0).apiKeys.isEmpty)
            #expect(broker.server.context.requestBytes.usedBytes == 0)
        }
    }

    /// Each takes the committer's time, and its answer may be long.
    @Test func aConnectionHasAFewQuestionsForProducersUnderWay() async throws {
        let question = DescribeProducersRequest {
            $0.topics = [DescribeProducersRequest.Topic { ($0.name, $0.partitionIndexes) = ("asked", [0]) }]
        }
        let answers = try await askOften(question, version: 0, expecting: DescribeProducersHandler.bytesExpected)
        #expect(answers.allSatisfy { $0.topics[0].partitions[0].errorCode == .none })
    }

    /// An answer of a group that is held until a commit may hold what all members have said.
    @Test func aConnectionHasAFewAnswersOfAGroupHeld() async throws {
        let heartbeat = ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.memberEpoch, $0.rebalanceTimeoutMs) = ("g", "member", 0, 60_000)
            ($0.subscribedTopicNames, $0.topicPartitions) = (["asked"], [])
        }
        let answers = try await askOften(heartbeat, version: 1, expecting: GroupService.heldBytesExpected)
        #expect(answers.allSatisfy { $0.errorCode == .none })
    }

    /// Asks while the committer tells nobody of what it has done, where each request expects so long an answer. Returns the answers.
    private func askOften<R: Request>(_ request: R, version: Int16, expecting byteCount: Int) async throws -> [R.Response] {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("asked")
            let gate = Gate()
            broker.store.submit([.admin(.describeProducers(partition: topic.partitions[0].id), lane: gate) { _ in }])
            let (taken, answers) = try await ask(broker, request, version) { gate.open() }
            #expect(taken <= broker.server.context.connectionLimits.answerBytesMax / byteCount + 1)
            return answers
        }
    }

    /// Sends a request a hundred times at once. Returns how many the broker takes before it may go on, and the answers.
    private func ask<R: Request>(
        _ broker: TestBroker, _ request: R, _ version: Int16, goOn: () -> Void
    ) async throws -> (taken: Int, answers: [R.Response]) {
        let frames = (1...100).map { encodeRequest(request, correlationID: $0, clientID: "test", version: version).bytes }
        let client = try broker.connect()
        try client.write(Array(frames.joined()))
        let taken = broker.server.context.requestBytes
        try await wait(while: taken.usedBytes == 0)
        // Behind what the loop does now.
        _ = await broker.parkedFetchCount()
        // A frame is counted without its length.
        let count = taken.usedBytes / (frames[0].count - 4)
        goOn()
        return (count, try (1...100).map { try client.receive(R.self, version: version, correlationID: $0) })
    }

    /// How long an answer about groups gets is known when it is made.
    @Test func aConnectionHasOneAnswerAboutGroupsInTheMaking() async throws {
        #expect(try await countTaken(of: DescribeGroupsRequest { $0.groups = ["g"] }) == 1)
        #expect(try await countTaken(of: ConsumerGroupDescribeRequest { $0.groupIDs = ["g"] }) == 1)
        #expect(try await countTaken(of: ListGroupsRequest()) == 1)
    }

    /// Asks while no thread is free to answer. Returns how many requests the broker takes meanwhile.
    private func countTaken<R: Request>(of request: R) async throws -> Int {
        try await TestBroker.with(["num.io.threads=1"]) { broker in
            let gate = DispatchSemaphore(value: 0)
            defer { gate.signal() }
            broker.server.context.readers.submit { _ in gate.wait() }
            return try await ask(broker, request, R.versions.upperBound) { gate.signal() }.taken
        }
    }

    /// What a client has sent before it hangs up is kept.
    @Test func recordsOfAClientThatLeavesAtOnceAreAppended() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("left")
            let one = try batch(["value"])
            do {
                let client = try broker.connect()
                try client.send(ProduceRequest("left", batch: one, acks: 0), version: 9, records: one)
            }
            let reader = try broker.connect()
            let fetched = try reader.ask(FetchRequest("left", [(0, 0)], maxWaitMs: 15_000), version: 12)
            #expect(fetched.recordBytes(0) == one.count)
        }
    }

    @Test func stoppingSendsAnAnswerToItsEnd() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("long", configs: ["max.message.bytes": "20000000"])
            for _ in 0..<12 { try await broker.append([UInt8](repeating: 1, count: 1 << 20), to: topic.partitions[0], timestamp: 1) }
            let client = try broker.connect()
            var request = FetchRequest("long", [(0, 0)], minBytes: 12 << 20, partitionMaxBytes: 20 << 20)
            request.maxBytes = 20 << 20
            let fetch = try client.send(request, version: 12)
            // More than the sockets take: the rest waits in the channel.
            try client.awaitAnswer()
            for lane in broker.server.context.lanes { try await lane.loop.submit { lane.drain() }.get() }
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(answer.recordBytes(0) ?? 0 > 12 << 20)
            #expect(client.isClosed())
        }
    }

    @Test func stoppingAnswersWhatWasTakenAndClosesTheRest() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("stopped")
            let client = try broker.connect()
            let waiting = try broker.connect()
            let fetch = try waiting.send(FetchRequest("stopped", [(0, 0)], maxWaitMs: 60_000), version: 12)
            _ = try client.ask(ApiVersionsRequest())
            try await wait(while: await broker.parkedFetchCount() == 0)
            await broker.server.stop()
            let fetched = try waiting.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(fetched.recordBytes(0) == 0)
            #expect(waiting.isClosed())
            #expect(client.isClosed())
        }
    }
}

/// Keeps the committer where it tells of what it has done.
private final class Gate: Lane {
    private let semaphore = DispatchSemaphore(value: 0)
    let isWatching = false

    func open() { semaphore.signal() }

    func deliver(_ finished: [Submission], changed: [PartitionID]) {
        semaphore.wait()
        for submission in finished { submission.finish() }
    }
}

extension TestBroker {
    func parkedFetchCount() async -> Int { await parked { $0.count } }

    /// The sum over all loops.
    func parked(_ count: @escaping @Sendable (ParkedFetches) -> Int) async -> Int {
        var sum = 0
        for lane in server.context.lanes { sum += (try? await lane.loop.submit { count(lane.parked) }.get()) ?? 0 }
        return sum
    }
}
