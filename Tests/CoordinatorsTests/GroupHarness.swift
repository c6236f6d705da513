import KafkaProtocol

@testable import Coordinators

struct NoTopics: TopicDirectory {
    var version: UInt64 { 0 }
    func topic(named name: String) -> TopicFacts? { nil }
    func topic(id: Uuid) -> TopicFacts? { nil }
    func names() -> [String] { [] }
}

/// A coordinator with a clock that is turned by hand and a disk that is a dictionary.
final class GroupHarness {
    var coordinator: GroupCoordinator
    var options: GroupOptions
    var monotonicMs: Int64 = 1_000
    /// By group and key.
    var disk: [String: [[UInt8]: [UInt8]]] = [:]
    var replies: [RequestToken: GroupResponse] = [:]
    var lastRecordCount = 0
    private var lastToken: UInt64 = 0
    private var restarts: UInt64 = 0

    init(_ options: GroupOptions = GroupOptions()) {
        self.options = options
        coordinator = GroupCoordinator(options: options, topics: NoTopics(), random: .seeded(1))
    }

    /// Nobody waits for members that have not come.
    static var eager: GroupHarness {
        var options = GroupOptions()
        options.initialRebalanceDelayMs = 0
        return GroupHarness(options)
    }

    var moment: Moment { Moment(monotonicMs: monotonicMs, wallClockMs: 1_700_000_000_000 + monotonicMs) }

    func caller(_ version: Int16, _ clientID: String = "client") -> Caller {
        lastToken += 1
        return Caller(token: RequestToken(rawValue: lastToken), clientID: clientID, clientHost: "/127.0.0.1", version: version)
    }

    func take(_ effects: GroupEffects) {
        lastRecordCount = effects.records.count
        for record in effects.records {
            precondition(record.key.count <= 250, "a key is too long for the store")
            disk[effects.groupID, default: [:]][record.key] = record.value
        }
        for (token, response) in effects.replies {
            precondition(replies[token] == nil, "a request was answered twice")
            replies[token] = response
        }
    }

    func records(of groupID: String) -> [StateRecord] {
        (disk[groupID] ?? [:]).map { StateRecord(key: $0.key, value: $0.value) }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }

    /// The broker is killed and started again with what is on the disk.
    func restart() throws {
        restarts += 1
        coordinator = GroupCoordinator(options: options, topics: NoTopics(), random: .seeded(restarts << 32))
        monotonicMs += 10
        for groupID in disk.keys where !records(of: groupID).isEmpty {
            try coordinator.load(groupID, records: records(of: groupID), at: moment)
        }
    }

    /// Lets time pass, and the coordinator act when it asks to.
    func pass(_ durationMs: Int64) {
        let end = monotonicMs + durationMs
        var steps = 0
        while let deadline = coordinator.nextDeadline, deadline <= end {
            monotonicMs = max(monotonicMs, deadline)
            for effects in coordinator.advance(to: moment) { take(effects) }
            steps += 1
            precondition(steps < 10_000, "time stands still")
        }
        monotonicMs = end
    }

    // MARK: - Requests

    struct Joiner {
        var groupID = "g"
        var memberID = ""
        var instance: String?
        var sessionTimeoutMs: Int32 = 10_000
        var rebalanceTimeoutMs: Int32 = 60_000
        var type = "consumer"
        var protocols: [(name: String, metadata: [UInt8])] = [("range", [1])]
        var version: Int16 = 9
        var clientID = "client"
    }

    func join(_ set: (inout Joiner) -> Void = { _ in }) -> RequestToken {
        var joiner = Joiner()
        set(&joiner)
        let request = JoinGroupRequest {
            $0.groupID = joiner.groupID
            $0.memberID = joiner.memberID
            $0.groupInstanceID = joiner.instance
            $0.sessionTimeoutMs = joiner.sessionTimeoutMs
            $0.rebalanceTimeoutMs = joiner.rebalanceTimeoutMs
            $0.protocolType = joiner.type
            $0.protocols = joiner.protocols.map { offered in
                JoinGroupRequest.GroupProtocol { ($0.name, $0.metadata) = (offered.name, offered.metadata) }
            }
        }
        let caller = caller(joiner.version, joiner.clientID)
        take(coordinator.join(request, caller, at: moment))
        return caller.token
    }

    /// Asks for an id first, as dynamic members do.
    func joinAnew(_ set: (inout Joiner) -> Void = { _ in }) -> (token: RequestToken, memberID: String) {
        let first = joinAnswer(join(set))
        precondition(first?.errorCode == .memberIDRequired, "a new member was not told its id")
        let memberID = first?.memberID ?? ""
        let token = join {
            set(&$0)
            $0.memberID = memberID
        }
        return (token, memberID)
    }

    func sync(
        _ memberID: String, _ generationID: Int32, instance: String? = nil, type: String? = nil, name: String? = nil, group: String = "g",
        _ assignments: [String: [UInt8]] = [:]
    ) -> RequestToken {
        let request = SyncGroupRequest {
            $0.groupID = group
            $0.memberID = memberID
            $0.generationID = generationID
            $0.groupInstanceID = instance
            $0.protocolType = type
            $0.protocolName = name
            $0.assignments = assignments.map { assignment in
                SyncGroupRequest.Assignment { ($0.memberID, $0.assignment) = (assignment.key, assignment.value) }
            }
        }
        let caller = caller(5)
        take(coordinator.sync(request, caller, at: moment))
        return caller.token
    }

    func heartbeat(_ memberID: String, _ generationID: Int32, instance: String? = nil, group: String = "g") -> ErrorCode? {
        let request = HeartbeatRequest {
            $0.groupID = group
            $0.memberID = memberID
            $0.generationID = generationID
            $0.groupInstanceID = instance
        }
        let caller = caller(4)
        take(coordinator.heartbeat(request, caller, at: moment))
        return replies[caller.token]?.errorCode
    }

    func leave(_ members: [(memberID: String, instance: String?)], version: Int16 = 5, group: String = "g") -> LeaveGroupResponse? {
        let request = LeaveGroupRequest {
            $0.groupID = group
            $0.memberID = version < 3 ? members.first?.memberID ?? "" : ""
            guard version >= 3 else { return }
            $0.members = members.map { member in LeaveGroupRequest.Member { ($0.memberID, $0.groupInstanceID) = (member.memberID, member.instance) } }
        }
        let caller = caller(version)
        take(coordinator.leave(request, caller, at: moment))
        guard case .leave(let response) = replies[caller.token] else { return nil }
        return response
    }

    func commit(
        _ memberID: String, _ generationID: Int32, instance: String? = nil, version: Int16 = 8, transactional: Bool = false, group: String = "g"
    ) -> ErrorCode {
        let code = coordinator.admitCommit(
            groupID: group, memberID: memberID, groupInstanceID: instance, generationIDOrMemberEpoch: generationID, version: version,
            isTransactional: transactional, at: moment)
        if code == .none { coordinator.holdCommits(of: group, at: moment) }
        return code
    }

    // MARK: - Answers

    func joinAnswer(_ token: RequestToken) -> JoinGroupResponse? {
        guard case .join(let response) = replies[token] else { return nil }
        return response
    }

    func syncAnswer(_ token: RequestToken) -> SyncGroupResponse? {
        guard case .sync(let response) = replies[token] else { return nil }
        return response
    }

    func error(_ token: RequestToken) -> ErrorCode? { replies[token]?.errorCode }

    var state: String { coordinator.describe("g", version: 5).groupState }
    var memberIDs: [String] { coordinator.describe("g", version: 5).members.map(\.memberID) }

    // MARK: - Whole steps

    /// A stable group of `count` dynamic members in its first generation; the leader is the first. Each one's
    /// assignment is its own number.
    func settle(_ count: Int, _ set: (inout Joiner) -> Void = { _ in }) -> [String] {
        let ids = (0..<count).compactMap { _ in joinAnswer(join(set))?.memberID }
        let delayMs = coordinator.environment.options.initialRebalanceDelayMs
        coordinator.environment.options.initialRebalanceDelayMs = 1
        defer { coordinator.environment.options.initialRebalanceDelayMs = delayMs }
        var tokens: [RequestToken] = []
        for id in ids {
            let token = join {
                set(&$0)
                $0.memberID = id
            }
            tokens.append(token)
        }
        pass(2)
        let generationID = joinAnswer(tokens[0])?.generationID ?? -1
        syncAll(ids, generationID)
        return ids
    }

    /// The first of `ids` is the leader.
    func syncAll(_ ids: [String], _ generationID: Int32) {
        let assignments = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, [UInt8($0)]) })
        for id in ids.reversed() { _ = sync(id, generationID, id == ids.first ? assignments : [:]) }
    }
}
