import KafkaProtocol
import Testing

@testable import Coordinators

struct NoTopics: TopicDirectory {
    var version: UInt64 { 0 }
    func topic(named name: String) -> TopicFacts? { nil }
    func topic(id: Uuid) -> TopicFacts? { nil }
    func names() -> [String] { [] }
}

@Suite struct GroupCoordinatorTests {
    private var coordinator = GroupCoordinator(options: GroupOptions(), topics: NoTopics(), random: .seeded(1))
    private let start = Moment(monotonicMs: 1_000, wallClockMs: 1_700_000_000_000)

    @Test func aGroupOfCommittedOffsetsOnlyIsListedAndDeleted() throws {
        var coordinator = coordinator
        try coordinator.load("offsets", records: [], at: start)
        #expect(coordinator.list(states: [], types: []).map(\.groupID) == ["offsets"])
        #expect(coordinator.list(states: ["EMPTY"], types: ["Classic"]).count == 1)
        #expect(coordinator.list(states: ["stable"], types: []).isEmpty)
        #expect(coordinator.delete("offsets").0 == .none)
        #expect(coordinator.delete("offsets").0 == .groupIDNotFound)
        #expect(coordinator.describe("offsets", version: 5).groupState == "Dead")
        #expect(coordinator.describe("offsets", version: 5).errorCode == .none)
        #expect(coordinator.describe("offsets", version: 6).errorCode == .groupIDNotFound)
    }
}
