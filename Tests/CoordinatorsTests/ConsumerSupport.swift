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
    /// Of the last event.
    private(set) var lastReplies: [GroupResponse] = []
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
        lastReplies = effects.replies.map(\.response)
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
        let effects = coordinator.decide(request, caller, at: moment)
        write(effects)
        guard case .consumerHeartbeat(let response) = effects.replies.first(where: { $0.token == caller.token })?.response else {
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

extension GroupCoordinator {
    /// As the broker asks it: a pattern that is new to the group is looked up first.
    mutating func decide(_ request: ConsumerGroupHeartbeatRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        let lookup = newPattern(in: request).map { PatternLookup($0, among: environment.topics) }
        return consumerHeartbeat(request, caller, lookup, at: moment)
    }
}

extension ConsumerGroupDescribeResponse.Assignment {
    var named: [String: [Int32]] { Dictionary(uniqueKeysWithValues: topicPartitions.map { ($0.topicName, $0.partitions) }) }
}

/// The classic protocol, as consumers speak it.
extension ConsumerHarness {
    static func subscription(_ names: [String], owned: [String: [Int32]]?) -> [UInt8] {
        let subscription = ConsumerProtocol.Subscription {
            $0.topics = names
            $0.ownedPartitions = Self.entries(owned ?? [:])
        }
        // Eager clients of old do not say what they own.
        return ConsumerProtocol.encode(subscription, version: owned == nil ? 0 : 1)
    }

    private static func entries(_ named: [String: [Int32]]) -> [ConsumerProtocol.TopicPartitions] {
        named.sorted { $0.key < $1.key }.map { name, partitions in ConsumerProtocol.TopicPartitions { ($0.topic, $0.partitions) = (name, partitions) } }
    }

    mutating func perform(_ decide: (inout GroupCoordinator, Caller, Moment) -> GroupEffects, version: Int16) -> GroupResponse? {
        let caller = caller(version)
        let effects = decide(&coordinator, caller, moment)
        write(effects)
        return effects.replies.first { $0.token == caller.token }?.response
    }

    static func joinRequest(
        _ memberID: String, _ names: [String], owned: [String: [Int32]]?, type: String = "consumer", name: String = "range", instanceID: String? = nil
    ) -> JoinGroupRequest {
        JoinGroupRequest {
            ($0.groupID, $0.memberID, $0.groupInstanceID, $0.protocolType) = (Self.groupID, memberID, instanceID, type)
            ($0.sessionTimeoutMs, $0.rebalanceTimeoutMs) = (30_000, 10_000)
            $0.protocols = [.init { ($0.name, $0.metadata) = (name, Self.subscription(names, owned: owned)) }]
        }
    }

    mutating func classicJoin(
        _ memberID: String, owned: [String: [Int32]]?, type: String = "consumer", name: String = "range", instanceID: String? = nil
    ) -> JoinGroupResponse {
        let request = Self.joinRequest(memberID, ["t"], owned: owned, type: type, name: name, instanceID: instanceID)
        guard case .join(let response) = perform({ $0.join(request, $1, at: $2) }, version: 9) else {
            Issue.record("JoinGroup was not answered")
            return JoinGroupResponse()
        }
        return response
    }

    mutating func classicJoinParks(_ memberID: String) -> Bool {
        let request = Self.joinRequest(memberID, ["t"], owned: [:])
        return perform({ $0.join(request, $1, at: $2) }, version: 9) == nil
    }

    @discardableResult
    mutating func classicSync(
        _ memberID: String, _ generationID: Int32, dividing shares: [String: [String: [Int32]]] = [:]
    ) -> (errorCode: ErrorCode, owned: [String: [Int32]]?) {
        let request = SyncGroupRequest {
            ($0.groupID, $0.memberID, $0.generationID) = (Self.groupID, memberID, generationID)
            $0.assignments = shares.map { memberID, share in
                SyncGroupRequest.Assignment {
                    $0.memberID = memberID
                    $0.assignment = ConsumerProtocol.encode(ConsumerProtocol.Assignment { $0.assignedPartitions = Self.entries(share) }, version: 1)
                }
            }
        }
        guard case .sync(let response) = perform({ $0.sync(request, $1, at: $2) }, version: 5) else {
            Issue.record("SyncGroup was not answered")
            return (.unknownServerError, nil)
        }
        let assignment = ConsumerProtocol.decode(ConsumerProtocol.Assignment.self, response.assignment)
        return (response.errorCode, assignment.map { Dictionary(uniqueKeysWithValues: $0.assignedPartitions.map { ($0.topic, $0.partitions) }) })
    }

    @discardableResult
    mutating func classicBeat(_ memberID: String, _ generationID: Int32) -> ErrorCode {
        let request = HeartbeatRequest { ($0.groupID, $0.memberID, $0.generationID) = (Self.groupID, memberID, generationID) }
        return perform({ $0.heartbeat(request, $1, at: $2) }, version: 4)?.errorCode ?? .unknownServerError
    }

    @discardableResult
    mutating func classicLeave(_ memberID: String) -> ErrorCode {
        let request = LeaveGroupRequest {
            $0.groupID = Self.groupID
            $0.members = [.init { $0.memberID = memberID }]
        }
        guard case .leave(let response) = perform({ $0.leave(request, $1, at: $2) }, version: 5) else { return .unknownServerError }
        return response.members.first?.errorCode ?? response.errorCode
    }
}
