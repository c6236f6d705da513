/// The two ways to be in a consumer group.
public enum GroupProtocol: String, Sendable, CaseIterable {
    /// A member, the leader, divides the partitions. Every broker and client knows it.
    case classic
    /// The coordinator divides them, and moves single ones without stopping the others (KIP-848). Kafka 4, lmbroker.
    case consumer
}

/// Where to begin in a partition in which the group has committed nothing, or what it has committed is gone.
public enum OffsetReset: String, Sendable, CaseIterable {
    case earliest
    case latest
    /// Fail instead.
    case none

    var place: PartitionPlace? {
        switch self {
        case .earliest: .earliest
        case .latest: .latest
        case .none: nil
        }
    }
}

/// What a membership goes by. Times are in milliseconds.
struct GroupSettings: Sendable {
    var groupID: String
    var instanceID: String?
    var `protocol` = GroupProtocol.classic
    var assignors: [GroupAssignor] = [.range, .cooperativeSticky]
    var serverAssignor: String?
    var sessionTimeoutMs: Int64 = 45_000
    var heartbeatIntervalMs: Int64 = 3_000
    var maxPollIntervalMs: Int64 = 300_000
    var metadataRefreshMs: Int64 = 60_000
    var backoff = Backoff()

    init(groupID: String) { self.groupID = groupID }

    /// Whether partitions are kept while joining: only when every assignor that may be chosen can do with that.
    var isCooperative: Bool { assignors.allSatisfy(\.isCooperative) }
}
