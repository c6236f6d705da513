import KafkaProtocol
import Testing

@testable import Broker

@Suite struct FullGroupsTests {
    /// Clients that join and leave their connection without a word leave as much behind as the configuration says.
    @Test func membersThatNobodySeesAgainTakeUpOnlySoMuch() async throws {
        try await TestBroker.with(["lmbroker.groups.max.bytes=1048576", "group.initial.rebalance.delay.ms=600000"]) { broker in
            let join = JoinGroupRequest {
                ($0.sessionTimeoutMs, $0.rebalanceTimeoutMs, $0.protocolType) = (600_000, 600_000, "consumer")
                $0.protocols = [JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = ("range", [UInt8](repeating: 1, count: 600_000)) }]
            }
            let groups = broker.server.context.groups
            for count in 1...2 {
                var joining = join
                joining.groupID = "g\(count)"
                try broker.connect().send(joining, version: 3)
                try await wait(while: groups.list(states: [], types: []).count < count)
            }
            var late = join
            late.groupID = "late"
            #expect(try broker.connect().ask(late, version: 3).errorCode == .coordinatorNotAvailable)
            #expect(groups.list(states: [], types: []).count == 2)
        }
    }
}
