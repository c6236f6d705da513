import KafkaProtocol
import NIOCore
import Store
import Testing

@testable import Broker

@Suite struct LongPollTests {
    @Test func aWaitingFetchIsWokenByTheCommitThatSatisfiesIt() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("woken", partitions: 2)
            let client = try broker.connect()
            let fetch = try client.send(FetchRequest("woken", [(0, 0), (1, 0)], maxWaitMs: 60_000), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            try await broker.append([1, 2, 3], to: topic.partitions[1], timestamp: 1)
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(answer.recordBytes(0) == 0)
            #expect(answer.recordBytes(1) ?? 0 > 61)
            #expect(await broker.parkedFetchCount() == 0)
        }
    }

    @Test func minBytesAreWaitedFor() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("patient")
            let client = try broker.connect()
            let fetch = try client.send(FetchRequest("patient", [(0, 0)], maxWaitMs: 60_000, minBytes: 3000), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            for _ in 0..<3 { try await broker.append([UInt8](repeating: 1, count: 1000), to: topic.partitions[0], timestamp: 1) }
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(answer.recordBytes(0) ?? 0 >= 3000)
        }
    }

    @Test func theEndOfTheWaitAnswersWithNothing() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("empty")
            let answer = try broker.connect().ask(FetchRequest("empty", [(0, 0)], maxWaitMs: 50), version: 12)
            #expect(answer.recordBytes(0) == 0)
            #expect(answer.partitions[0].highWatermark == 0)
        }
    }

    @Test func errorsAreNotWaitedWith() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("short")
            let client = try broker.connect()
            let beyond = try client.ask(FetchRequest("short", [(0, 5)], maxWaitMs: 60_000), version: 12)
            #expect(beyond.partitions.map(\.errorCode) == [.offsetOutOfRange])
            let unknown = try client.ask(FetchRequest("short", [(8, 0), (9, 0)], maxWaitMs: 60_000), version: 12)
            #expect(unknown.partitions.map(\.errorCode) == [.unknownTopicOrPartition, .unknownTopicOrPartition])
            let byID = try client.ask(FetchRequest("", [(0, 0)], maxWaitMs: 60_000), version: 13)
            #expect(byID.partitions.map(\.errorCode) == [.unknownTopicID])
        }
    }

    /// Nor do they end the wait of a session that names them again and again, as Java's consumer does of a topic that was made anew with
    /// fewer partitions.
    @Test func aPartitionThatIsNotThereKeepsNobodyFromWaitingForThoseThatAre() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("fewer")
            let client = try broker.connect()
            let first = try client.send(FetchRequest("fewer", [(0, 0), (9, 0)], maxWaitMs: 60_000, session: (0, 0)), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            try await broker.append([1], to: topic.partitions[0], timestamp: 1)
            let opened = try client.receive(FetchRequest.self, version: 12, correlationID: first)
            #expect(opened.partitions.map(\.errorCode) == [.none, .unknownTopicOrPartition])
            var next = FetchRequest("fewer", [(0, 1)], maxWaitMs: 60_000, session: (opened.sessionID, 1))
            let second = try client.send(next, version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            try await broker.append([2], to: topic.partitions[0], timestamp: 2)
            let told = try client.receive(FetchRequest.self, version: 12, correlationID: second)
            #expect(told.partitions.map(\.errorCode).sorted { $0.rawValue < $1.rawValue } == [.none, .unknownTopicOrPartition])
            next = FetchRequest("fewer", [(0, 2)], maxWaitMs: 50, session: (opened.sessionID, 2))
            #expect(try client.ask(next, version: 12).partitions.map(\.errorCode) == [.unknownTopicOrPartition])
        }
    }

    /// Java's consumer asks for a topic that was deleted some thousand times a second, if it may.
    @Test func whoAsksAgainForWhatIsNotThereWaits() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("gone", [(0, 0)], maxWaitMs: 60_000, session: (0, 0)), version: 12)
            #expect(opened.partitions.map(\.errorCode) == [.unknownTopicOrPartition])
            let more = try client.ask(FetchRequest("gone", [(1, 0)], maxWaitMs: 60_000, session: (opened.sessionID, 1)), version: 12)
            #expect(more.partitions.map(\.errorCode) == [.unknownTopicOrPartition, .unknownTopicOrPartition])
            let again = try client.send(FetchRequest("gone", [], maxWaitMs: 400, session: (opened.sessionID, 2)), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            let told = try client.receive(FetchRequest.self, version: 12, correlationID: again)
            #expect(told.partitions.map(\.errorCode) == [.unknownTopicOrPartition, .unknownTopicOrPartition])
        }
    }

    /// Of a topic that is there, a partition is missing and not the topic.
    @Test func aPartitionBeyondTheTopicsIsUnknownByIDToo() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("known")
            var request = FetchRequest("", [(3, 0)], maxWaitMs: 60_000)
            request.topics[0].topicID = topic.id
            #expect(try broker.connect().ask(request, version: 13).partitions.map(\.errorCode) == [.unknownTopicOrPartition])
        }
    }

    /// KIP-595: who tells the epoch of its last record is told where the log parted from its own, or that they have nothing in common.
    @Test(arguments: [(0, 1, ErrorCode.none, nil), (0, 9, .none, 2), (5, 1, .offsetOutOfRange, nil), (5, 9, .offsetOutOfRange, nil)] as [(Int32, Int64, ErrorCode, Int64?)])
    func whoTellsItsLastEpoch(lastFetchedEpoch: Int32, offset: Int64, errorCode: ErrorCode, end: Int64?) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("parted")
            for _ in 0..<2 { try await broker.append([1], to: topic.partitions[0], timestamp: 1) }
            var request = FetchRequest("parted", [(0, offset)], maxWaitMs: 60_000)
            request.topics[0].partitions[0].lastFetchedEpoch = lastFetchedEpoch
            let partition = try #require(try broker.connect().ask(request, version: 12).partitions.first)
            #expect(partition.errorCode == errorCode)
            #expect(partition.divergingEpoch.endOffset == end ?? -1 && partition.divergingEpoch.epoch == (end == nil ? -1 : 0))
            #expect((partition.records?.length ?? 0 > 0) == (errorCode == .none && end == nil))
        }
    }

    @Test func aClientThatLeavesTakesItsWaitingFetchAlong() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("left")
            do {
                let client = try broker.connect()
                for _ in 0..<5 { try client.send(FetchRequest("left", [(0, 0)], maxWaitMs: 600_000), version: 12) }
                try await wait(while: await broker.parkedFetchCount() < 5)
            }
            try await wait(while: await broker.parkedFetchCount() > 0)
        }
    }

    @Test func aFetchThatWaitsTakesNoRoomThatOthersNeed() async throws {
        try await TestBroker.with(["queued.max.request.bytes=1048576"]) { broker in
            try await broker.createTopic("quiet")
            let client = try broker.connect()
            // Two megabytes of one partition.
            try client.send(FetchRequest("quiet", Array(repeating: (0, 0), count: 70_000), maxWaitMs: 600_000), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            #expect(broker.server.context.requestBytes.usedBytes == 0)
            #expect(try !broker.connect().ask(ApiVersionsRequest(), version: 0).apiKeys.isEmpty)
        }
    }

    /// A session names its partitions once, and each fetch of it that waits holds something for all of them.
    @Test func aConnectionHasOnlySoManyPartitionsWaitedFor() async throws {
        try await TestBroker.with { broker in
            let partitionCount = 4_000
            try await broker.createTopic("many", partitions: partitionCount)
            let client = try broker.connect()
            let first = try client.ask(FetchRequest("many", (0..<Int32(partitionCount)).map { ($0, 0) }, session: (0, 0)), version: 12)
            var frames: [UInt8] = []
            for epoch in 1...100 {
                let request = FetchRequest("", [], maxWaitMs: 600_000, session: (first.sessionID, Int32(epoch)))
                frames += encodeRequest(request, correlationID: Int32(epoch), clientID: "test", version: 12).bytes
            }
            try client.write(frames)
            try await wait(while: await broker.parkedFetchCount() == 0)
            let enough = broker.server.context.connectionLimits.answerBytesMax / (partitionCount * WaitingFetch.bytesWaitingPerTarget) + 1
            #expect(await broker.parkedFetchCount() <= enough)
        }
    }

    /// The topic's name may mean another one by then: the client is told to look.
    @Test(arguments: [false, true]) func theEndOfATopicIsToldToWhoWaits(isMadeAnew: Bool) async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("ended")
            let client = try broker.connect()
            let fetch = try client.send(FetchRequest("ended", [(0, 0)], maxWaitMs: 600_000), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            async let deleted = broker.store.perform(.deleteTopic(id: topic.id))
            if isMadeAnew { _ = await (deleted, broker.store.perform(.createTopic(name: "ended", id: nil, partitionCount: 1, configs: [:]))) }
            _ = await deleted
            let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
            #expect(answer.partitions.map(\.errorCode) == [.unknownTopicOrPartition])
            #expect(await broker.parked { $0.watchedCount } == 0)
        }
    }

    @Test func aPartitionIsFetchedOnceHoweverOftenItIsNamed() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("often")
            let request = FetchRequest("often", [(0, 0), (0, 0), (0, 0)], maxWaitMs: 60_000)
            let clients = try (0..<3).map { _ in try broker.connect() }
            let fetches = try clients.map { try $0.send(request, version: 12) }
            try await wait(while: await broker.parkedFetchCount() < 3)
            try await broker.append([1], to: topic.partitions[0], timestamp: 1)
            for (client, fetch) in zip(clients, fetches) {
                let answer = try client.receive(FetchRequest.self, version: 12, correlationID: fetch)
                #expect(answer.partitions.count == 1 && answer.recordBytes(0) ?? 0 > 61)
            }
            #expect(await broker.parked { $0.watchedCount } == 0)
        }
    }

    /// Every record is delivered to every one of many that wait, whatever the race between parking and committing.
    @Test func noWakeUpIsLost() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("raced")
            let count: Int64 = 300
            try await withThrowingTaskGroup(of: Int64.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await onThread {
                            let client = try broker.connect()
                            var offset: Int64 = 0
                            while offset < count {
                                let answer = try client.ask(FetchRequest("raced", [(0, offset)], maxWaitMs: 15_000), version: 12)
                                // A wait that ends without records is a wake-up lost.
                                guard answer.recordBytes(0) ?? 0 > 0 else { return offset }
                                offset = answer.partitions[0].highWatermark
                            }
                            return offset
                        }
                    }
                }
                for _ in 0..<count { try await broker.append([1], to: topic.partitions[0], timestamp: 1) }
                for try await offset in group { #expect(offset == count) }
            }
        }
    }

    @Test func theFirstBatchComesWholeAndTheLimitHoldsForTheRest() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("limited", partitions: 3)
            for partition in topic.partitions {
                for _ in 0..<3 { try await broker.append([UInt8](repeating: 1, count: 1000), to: partition, timestamp: 1) }
            }
            let client = try broker.connect()
            let answer = try client.ask(FetchRequest("limited", [(1, 0), (0, 0), (2, 0)], partitionMaxBytes: 10), version: 12)
            #expect(answer.recordBytes(1).map { (1000..<1200).contains($0) } == true)
            #expect([answer.recordBytes(0), answer.recordBytes(2)] == [0, 0])
            var capped = FetchRequest("limited", [(0, 0), (1, 0), (2, 0)])
            capped.maxBytes = 4000
            let shared = try client.ask(capped, version: 12)
            #expect(shared.recordBytes(0) ?? 0 > 3000)
            #expect(shared.partitions.reduce(0) { $0 + ($1.records?.length ?? 0) } <= 4000)
            capped.maxBytes = 0
            let least = try client.ask(capped, version: 12)
            #expect(least.recordBytes(0).map { (1000..<1200).contains($0) } == true, "who takes nothing would wait for ever")
            #expect([least.recordBytes(1), least.recordBytes(2)] == [0, 0])
        }
    }
}
