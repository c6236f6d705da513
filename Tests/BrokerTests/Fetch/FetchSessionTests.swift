import KafkaProtocol
import NIOCore
import Store
import Testing

@testable import Broker

@Suite struct FetchSessionTests {
    @Test func onlyPartitionsWithNewsAreAnswered() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("news", partitions: 3)
            let client = try broker.connect()
            let first = try client.ask(FetchRequest("news", [(0, 0), (1, 0), (2, 0)], session: (0, 0)), version: 12)
            #expect(first.sessionID > 0)
            #expect(first.partitions.count == 3)
            let second = try client.ask(FetchRequest("news", [], session: (first.sessionID, 1)), version: 12)
            #expect(second.sessionID == first.sessionID)
            #expect(second.partitions.isEmpty)
            try await broker.append([1], to: topic.partitions[1], timestamp: 1)
            let third = try client.ask(FetchRequest("news", [], session: (first.sessionID, 2)), version: 12)
            #expect(third.partitions.map(\.partitionIndex) == [1])
            // The client says how far it is; nothing else has changed.
            let fourth = try client.ask(FetchRequest("news", [(1, 1)], session: (first.sessionID, 3)), version: 12)
            #expect(fourth.partitions.isEmpty)
        }
    }

    @Test func sessionsWaitForRecordsToo() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("wait")
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("wait", [(0, 0)], session: (0, 0)), version: 12)
            let fetch = try client.send(FetchRequest("wait", [], maxWaitMs: 60_000, session: (opened.sessionID, 1)), version: 12)
            try await wait(while: await broker.parkedFetchCount() == 0)
            try await broker.append([1], to: topic.partitions[0], timestamp: 1)
            #expect(try client.receive(FetchRequest.self, version: 12, correlationID: fetch).recordBytes(0) ?? 0 > 0)
        }
    }

    @Test func wrongEpochsAndUnknownSessionsAreRefused() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("epochs")
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("epochs", [(0, 0)], session: (0, 0)), version: 12)
            let skipped = try client.ask(FetchRequest("epochs", [], session: (opened.sessionID, 2)), version: 12)
            #expect(skipped.errorCode == .invalidFetchSessionEpoch)
            let unknown = try client.ask(FetchRequest("epochs", [], session: (opened.sessionID ^ 1, 1)), version: 12)
            #expect(unknown.errorCode == .fetchSessionIDNotFound)
            let other = try client.ask(FetchRequest("", [], session: (opened.sessionID, 1)), version: 13)
            #expect(other.errorCode == .fetchSessionTopicIDError)
            // A refused request changes nothing.
            #expect(try client.ask(FetchRequest("epochs", [], session: (opened.sessionID, 1)), version: 12).errorCode == .none)
        }
    }

    @Test func aSessionIsClosedByItsLastEpoch() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("closed")
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("closed", [(0, 0)], session: (0, 0)), version: 12)
            let last = try client.ask(FetchRequest("closed", [(0, 0)], session: (opened.sessionID, -1)), version: 12)
            #expect(last.sessionID == 0)
            #expect(last.partitions.count == 1)
            #expect(broker.server.context.fetchSessions.count == 0)
            let gone = try client.ask(FetchRequest("closed", [], session: (opened.sessionID, 1)), version: 12)
            #expect(gone.errorCode == .fetchSessionIDNotFound)
        }
    }

    @Test func forgottenPartitionsAreNotAnsweredAnyMore() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("forgotten", partitions: 3)
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("forgotten", [(0, 0), (1, 0), (2, 0)], session: (0, 0)), version: 12)
            var request = FetchRequest("forgotten", [], session: (opened.sessionID, 1))
            var forgotten = FetchRequest.ForgottenTopic()
            forgotten.topic = "forgotten"
            forgotten.partitions = [0, 2]
            request.forgottenTopicsData = [forgotten]
            for partition in topic.partitions { try await broker.append([1], to: partition, timestamp: 1) }
            #expect(try client.ask(request, version: 12).partitions.map(\.partitionIndex) == [1])
            forgotten.partitions = [1]
            var rest = FetchRequest("forgotten", [], session: (opened.sessionID, 2))
            rest.forgottenTopicsData = [forgotten]
            // A session of nothing is none.
            #expect(try client.ask(rest, version: 12).sessionID == 0)
        }
    }

    @Test func servedPartitionsGoToTheEndOfTheOrder() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("fair", partitions: 3)
            for partition in topic.partitions {
                for _ in 0..<4 { try await broker.append([UInt8](repeating: 1, count: 1000), to: partition, timestamp: 1) }
            }
            let client = try broker.connect()
            var request = FetchRequest("fair", [(0, 0), (1, 0), (2, 0)], session: (0, 0))
            request.maxBytes = 500
            var answer = try client.ask(request, version: 12)
            var served = answer.partitions.filter { $0.records?.length ?? 0 > 0 }.map(\.partitionIndex)
            for epoch in Int32(1)...2 {
                var next = FetchRequest("fair", [], session: (answer.sessionID, epoch))
                next.maxBytes = 500
                answer = try client.ask(next, version: 12)
                served += answer.partitions.filter { $0.records?.length ?? 0 > 0 }.map(\.partitionIndex)
            }
            #expect(served == [0, 1, 2])
        }
    }

    @Test func aSessionOutlivesItsTopic() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("again")
            let client = try broker.connect()
            let opened = try client.ask(FetchRequest("again", [(0, 0)], session: (0, 0)), version: 12)
            _ = await broker.store.perform(.deleteTopic(id: topic.id))
            let gone = try client.ask(FetchRequest("again", [], maxWaitMs: 60_000, session: (opened.sessionID, 1)), version: 12)
            #expect(gone.partitions.map(\.errorCode) == [.unknownTopicOrPartition])
            let anew = try await broker.createTopic("again")
            try await broker.append([1], to: anew.partitions[0], timestamp: 1)
            let back = try client.ask(FetchRequest("again", [], maxWaitMs: 60_000, session: (opened.sessionID, 2)), version: 12)
            #expect(back.partitions.map(\.errorCode) == [.none])
            #expect(back.recordBytes(0) ?? 0 > 0)
        }
    }

    @Test func slotsAreBoundedAndOldSessionsGiveWay() throws {
        let sessions = FetchSessions(slotCount: 2)
        let directory = try TemporaryStore()
        defer { directory.close() }
        func open(_ size: Int, at time: NIODeadline) -> Int32? {
            let request = FetchRequest("none", (0..<Int32(size)).map { ($0, 0) }, session: (0, 0))
            guard case .plan(let plan) = sessions.plan(request, version: 12, store: directory.store, now: time) else { return nil }
            return plan.session?.id
        }
        func use(_ id: Int32, epoch: Int32, at time: NIODeadline) -> Bool {
            let request = FetchRequest("none", [], session: (id, epoch))
            guard case .plan = sessions.plan(request, version: 12, store: directory.store, now: time) else { return false }
            return true
        }
        let start = NIODeadline.now()
        let (first, second) = (try #require(open(5, at: start)), try #require(open(2, at: start)))
        #expect(open(9, at: start + .seconds(60)) == nil)
        #expect(use(first, epoch: 1, at: start + .seconds(100)))
        #expect(use(second, epoch: 1, at: start + .seconds(100)))
        // Both were used lately: the smaller one that is old enough gives way to a larger one, and to no other.
        #expect(open(2, at: start + .seconds(130)) == nil)
        #expect(open(3, at: start + .seconds(130)) != nil)
        #expect(!use(second, epoch: 2, at: start + .seconds(131)))
        // The one longest unused gives way to any.
        #expect(open(1, at: start + .seconds(230)) != nil)
        #expect(!use(first, epoch: 2, at: start + .seconds(231)))
        #expect(sessions.count == 2)
    }

    /// A session looks at its topics' names again and again, and keeps them.
    @Test func namesTooLongForATopicAreAnsweredAndNotRemembered() throws {
        let sessions = FetchSessions(slotCount: 9)
        let directory = try TemporaryStore()
        defer { directory.close() }
        func plan(_ length: Int, _ session: (Int32, Int32)) -> FetchSessions.Outcome {
            let request = FetchRequest(String(repeating: "a", count: length), [(0, 0), (1, 0), (0, 7)], session: session)
            return sessions.plan(request, version: 12, store: directory.store)
        }
        guard case .plan(let long) = plan(250, (0, 0)), case .plan(let opened) = plan(249, (0, 0)), let id = opened.session?.id else {
            Issue.record("both are answered, one with a session")
            return
        }
        #expect(long.session == nil)
        #expect(long.targets.map(\.fetchOffset) == [7, 0], "named again, it is the same partition")
        guard case .refused(.fetchSessionIDNotFound) = plan(250, (id, 1)) else {
            Issue.record("not to be taken into a session")
            return
        }
        #expect(sessions.count == 0)
    }

    /// They may be partitions that there are not, and outlive their client.
    @Test func thePartitionsOfAllSessionsAreBounded() throws {
        let sessions = FetchSessions(slotCount: 9, targetsMax: 10)
        let directory = try TemporaryStore()
        defer { directory.close() }
        func plan(_ partitions: Range<Int32>, _ session: (Int32, Int32)) -> FetchSessions.Outcome {
            sessions.plan(FetchRequest("none", partitions.map { ($0, 0) }, session: session), version: 12, store: directory.store)
        }
        guard case .plan(let opened) = plan(0..<8, (0, 0)), let id = opened.session?.id else {
            Issue.record("there is room for a session of 8")
            return
        }
        guard case .plan(let other) = plan(0..<3, (0, 0)) else {
            Issue.record("without a session, what is asked for is answered")
            return
        }
        #expect(other.session == nil && other.targets.count == 3)
        guard case .plan(let grown) = plan(6..<10, (id, 1)) else {
            Issue.record("there is room for two more")
            return
        }
        #expect(grown.targets.count == 10)
        guard case .refused(.fetchSessionIDNotFound) = plan(10..<11, (id, 2)) else {
            Issue.record("one too many")
            return
        }
        #expect(sessions.count == 0)
    }
}
