import KafkaProtocol
import Testing

@testable import Coordinators

/// Topics as a test wants them.
struct ConsumerTopics: TopicDirectory {
    private(set) var version: UInt64 = 1
    private var byName: [String: TopicFacts] = [:]
    private var idsMade: UInt64 = 0

    init(_ topics: KeyValuePairs<String, Int32> = [:]) {
        for (name, count) in topics { create(name, count) }
    }

    func topic(named name: String) -> TopicFacts? { byName[name] }
    func topic(id: Uuid) -> TopicFacts? { byName.values.first { $0.id == id } }
    func names() -> [String] { Array(byName.keys) }

    mutating func create(_ name: String, _ partitionCount: Int32) {
        idsMade += 1
        byName[name] = TopicFacts(name: name, id: Uuid(high: idsMade, low: 7), partitionCount: partitionCount)
        version += 1
    }

    mutating func grow(_ name: String, to partitionCount: Int32) {
        byName[name]?.partitionCount = partitionCount
        version += 1
    }

    mutating func delete(_ name: String) {
        byName[name] = nil
        version += 1
    }

    func id(_ name: String) -> Uuid { byName[name]?.id ?? Uuid() }
}

/// A coordinator with what it has written, a clock, and one group.
struct ConsumerHarness {
    static let groupID = "orders"

    var coordinator: GroupCoordinator
    var durable: [[UInt8]: [UInt8]] = [:]
    var now: Int64 = 1_000
    private var tokens: UInt64 = 0

    var topics: ConsumerTopics {
        didSet { coordinator.environment.topics = topics }
    }

    init(_ topics: ConsumerTopics, options: GroupOptions = GroupOptions(), seed: UInt64 = 1) {
        self.topics = topics
        coordinator = GroupCoordinator(options: options, topics: topics, random: .seeded(seed))
    }

    var moment: Moment { Moment(monotonicMs: now, wallClockMs: 1_700_000_000_000 + now) }

    mutating func caller(_ version: Int16, clientID: String = "client") -> Caller {
        tokens += 1
        return Caller(token: RequestToken(rawValue: tokens), clientID: clientID, clientHost: "/127.0.0.1", version: version)
    }

    mutating func write(_ effects: GroupEffects) {
        for record in effects.records {
            #expect(record.key.count <= 250)
            durable[record.key] = record.value
        }
    }

    mutating func wait(_ milliseconds: Int64) {
        now += milliseconds
        for effects in coordinator.advance(to: moment) { write(effects) }
    }

    /// The coordinator begins again with nothing but what is durable.
    mutating func restart() throws {
        let records = durable.map { StateRecord(key: $0.key, value: $0.value) }
        coordinator = GroupCoordinator(options: coordinator.environment.options, topics: topics, random: coordinator.environment.random)
        try coordinator.load(Self.groupID, records: records, at: moment)
    }

    @discardableResult
    mutating func heartbeat(version: Int16 = 1, _ set: (inout ConsumerGroupHeartbeatRequest) -> Void) -> ConsumerGroupHeartbeatResponse {
        var request = ConsumerGroupHeartbeatRequest()
        request.groupID = Self.groupID
        set(&request)
        let caller = caller(version)
        let effects = coordinator.consumerHeartbeat(request, caller, at: moment)
        write(effects)
        guard effects.replies.count == 1, effects.replies[0].token == caller.token, case .consumerHeartbeat(let response) = effects.replies[0].response else {
            Issue.record("a heartbeat was not answered")
            return ConsumerGroupHeartbeatResponse()
        }
        return response
    }

    @discardableResult
    mutating func join(
        _ memberID: String, _ names: [String]? = ["t"], pattern: String? = nil, instanceID: String? = nil, rebalanceTimeoutMs: Int32 = 60_000
    ) -> ConsumerGroupHeartbeatResponse {
        heartbeat {
            $0.memberID = memberID
            $0.instanceID = instanceID
            $0.rebalanceTimeoutMs = rebalanceTimeoutMs
            $0.subscribedTopicNames = names
            $0.subscribedTopicRegex = pattern
            $0.topicPartitions = []
        }
    }

    /// A heartbeat that says nothing new, or what the member owns.
    @discardableResult
    mutating func beat(_ memberID: String, _ epoch: Int32, owned: [String: [Int32]]? = nil) -> ConsumerGroupHeartbeatResponse {
        let topics = topics
        return heartbeat {
            $0.memberID = memberID
            $0.memberEpoch = epoch
            $0.topicPartitions = owned.map { owned in
                owned.map { name, partitions in
                    ConsumerGroupHeartbeatRequest.TopicPartitions {
                        $0.topicID = topics.id(name)
                        $0.partitions = partitions
                    }
                }
            }
        }
    }

    /// An assignment by topic name.
    func named(_ response: ConsumerGroupHeartbeatResponse) -> [String: [Int32]]? {
        guard let assignment = response.assignment else { return nil }
        return Dictionary(uniqueKeysWithValues: assignment.topicPartitions.map { (topics.topic(id: $0.topicID)?.name ?? "gone", $0.partitions) })
    }

    var described: ConsumerGroupDescribeResponse.Group { coordinator.describeConsumer(Self.groupID) }

    func described(_ memberID: String) -> ConsumerGroupDescribeResponse.Member? { described.members.first { $0.memberID == memberID } }
}

extension ConsumerGroupDescribeResponse.Assignment {
    var named: [String: [Int32]] { Dictionary(uniqueKeysWithValues: topicPartitions.map { ($0.topicName, $0.partitions) }) }
}
