import Dispatch
import KafkaProtocol
import NIOPosix
import Store
import Testing

@testable import Broker

/// Regular expressions take their time, which is for whoever sends them to wait.
@Suite struct PatternTests {
    private func heartbeat(_ groupID: String, _ epoch: Int32 = 0, names: [String]? = nil, pattern: String? = nil) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            ($0.groupID, $0.memberID, $0.memberEpoch, $0.rebalanceTimeoutMs) = (groupID, "member of \(groupID)", epoch, 60_000)
            ($0.subscribedTopicNames, $0.subscribedTopicRegex, $0.topicPartitions) = (names, pattern, [])
        }
    }

    @Test func groupsGoOnWhileThePatternOfOneIsLookedUp() async throws {
        try await TestBroker.with(["num.io.threads=1"]) { broker in
            let topic = try await broker.createTopic("orders")
            let (client, other) = (try broker.connect(), try broker.connect())
            #expect(try client.ask(heartbeat("known", pattern: "o.*")).errorCode == .none)

            let gate = DispatchSemaphore(value: 0)
            defer { gate.signal() }
            broker.server.context.readers.submit { _ in gate.wait() }
            let sent = try client.send(heartbeat("new", pattern: "o.*"))
            try await wait(while: broker.server.context.requestBytes.usedBytes == 0)
            #expect(try other.ask(heartbeat("plain", names: ["orders"])).errorCode == .none)
            // One that the group knows is not looked up again.
            #expect(try other.ask(heartbeat("known", 1, pattern: "o.*")).errorCode == .none)
            #expect(Set(broker.server.context.groups.list(states: [], types: []).map(\.groupID)) == ["known", "plain"])

            gate.signal()
            let joined = try client.receive(ConsumerGroupHeartbeatRequest.self, correlationID: sent)
            #expect(joined.errorCode == .none)
            #expect(joined.assignment?.topicPartitions.map(\.topicID) == [topic.id])
        }
    }

    @Test func whatAMemberAsksNextFindsItLetIn() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("orders")
            let client = try broker.connect()
            let frames = [heartbeat("g", pattern: "o.*"), heartbeat("g", -1)].enumerated().map { index, request in
                encodeRequest(request, correlationID: Int32(index), clientID: "test", version: 1).bytes
            }
            try client.write(Array(frames.joined()))
            for correlationID in Int32(0)...1 {
                #expect(try client.receive(ConsumerGroupHeartbeatRequest.self, correlationID: correlationID).errorCode == .none)
            }
            #expect(try client.ask(ConsumerGroupDescribeRequest { $0.groupIDs = ["g"] }).groups[0].groupState == "Empty")
        }
    }

    @Test func aPatternThatCannotBeUsedIsRefused() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            #expect(try client.ask(heartbeat("g", pattern: "(")).errorCode == .invalidRegularExpression)
            #expect(try client.ask(ListGroupsRequest()).groups.isEmpty)
        }
    }
}
