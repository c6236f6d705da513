internal import KafkaProtocol

/// A member of a group of the classic protocol.
struct ClassicMember: Sendable {
    let id: String
    /// For static membership (KIP-345).
    let groupInstanceID: String?
    var clientID: String
    var clientHost: String
    var sessionTimeoutMs: Int32
    var rebalanceTimeoutMs: Int32
    /// What the member speaks, best first, no name twice.
    private(set) var protocols: [JoinGroupRequest.GroupProtocol] = []
    /// What they take in memory.
    private(set) var protocolBytes = 0
    /// What the leader gave it in the current generation.
    var assignment: [UInt8] = []

    /// Members are shown, answered and elected in the order in which they came.
    var order: UInt64 = 0
    /// It has not been let in yet, so it does not know its id for sure and sends no heartbeats.
    var isNew = false
    /// The JoinGroup request that waits for the others to join.
    var joining: RequestToken?
    /// The SyncGroup request that waits for the leader's.
    var syncing: RequestToken?
    /// Monotonic milliseconds.
    var aliveUntilMs: Int64 = 0

    init(id: String, groupInstanceID: String?, clientID: String, clientHost: String, sessionTimeoutMs: Int32, rebalanceTimeoutMs: Int32) {
        self.id = id
        self.groupInstanceID = groupInstanceID
        self.clientID = clientID
        self.clientHost = clientHost
        self.sessionTimeoutMs = sessionTimeoutMs
        self.rebalanceTimeoutMs = rebalanceTimeoutMs
    }

    /// The same member under another id: a static member that came back.
    init(id: String, replacing old: ClassicMember) {
        self = ClassicMember(
            id: id, groupInstanceID: old.groupInstanceID, clientID: old.clientID, clientHost: old.clientHost,
            sessionTimeoutMs: old.sessionTimeoutMs, rebalanceTimeoutMs: old.rebalanceTimeoutMs)
        (protocols, protocolBytes) = (old.protocols, old.protocolBytes)
        assignment = old.assignment
        order = old.order
        aliveUntilMs = old.aliveUntilMs
    }

    var isStatic: Bool { groupInstanceID != nil }

    /// It cannot send heartbeats that count, or has a request waiting, which counts as one.
    var isExcusedFromHeartbeats: Bool { (joining != nil && !isNew) || syncing != nil }

    /// See `HeldBytes`; without the assignment, which is counted for the group as a whole.
    var byteCount: Int { HeldBytes.perMember + id.utf8.count + (groupInstanceID?.utf8.count ?? 0) + clientID.utf8.count + protocolBytes }

    mutating func setProtocols(_ protocols: [JoinGroupRequest.GroupProtocol]) {
        self.protocols = protocols.uniqued
        protocolBytes = self.protocols.byteCount
    }

    /// Same names in the same order with the same metadata: nothing that the leader would have to know.
    func matches(_ protocols: [JoinGroupRequest.GroupProtocol]) -> Bool {
        self.protocols.elementsEqual(protocols) { $0.name == $1.name && $0.metadata == $1.metadata }
    }

    /// What the member says about itself under this protocol; empty where it does not speak it.
    func metadata(_ protocolName: String?) -> [UInt8] { protocols.first { $0.name == protocolName }?.metadata ?? [] }

    /// The protocol it likes best among those that all can speak.
    func vote(_ candidates: Set<String>) -> String? { protocols.first { candidates.contains($0.name) }?.name }
}

extension [JoinGroupRequest.GroupProtocol] {
    /// No name twice: the first one counts.
    var uniqued: Self {
        var seen: Set<String> = []
        return filter { seen.insert($0.name).inserted }
    }
}
