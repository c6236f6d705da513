/// What becomes of partitions in a rebalance. Told by `GroupConsumerOptions.onRebalance`.
public enum Rebalance: Sendable, Equatable {
    /// These are read from now on. Empty when a rebalance brought nothing new.
    case assigned([TopicPartition])
    /// These are given up, after what was done of them has been committed (with automatic commits). Until the callback
    /// returns nobody else gets them, and they can still be committed.
    case revoked([TopicPartition])
    /// These are others' already: the group went on without this consumer. It is too late to commit them.
    case lost([TopicPartition])
}

/// How a consumer is in its group. Times are durations, rounded to milliseconds.
public struct GroupConsumerOptions: Sendable {
    public var groupProtocol = GroupProtocol.classic
    /// In order of preference; the group takes one that all members have. With `range` in the list, partitions are given
    /// up for the time of a rebalance; with `cooperativeSticky` alone they are not. Classic protocol only.
    public var assignors: [GroupAssignor] = [.range, .cooperativeSticky]
    /// The coordinator's assignor (`uniform`, `range`), nil to let it choose. KIP-848 only.
    public var serverAssignor: String?
    /// Makes the membership static: whoever comes back under the same id within the session timeout gets the same
    /// partitions without a rebalance (KIP-345). Unique within the group.
    public var instanceID: String?
    /// How long the coordinator waits for a sign of life. Classic protocol only: in KIP-848 the broker says.
    public var sessionTimeout = Duration.seconds(45)
    public var heartbeatInterval = Duration.seconds(3)
    /// How long the owner may be busy with what `next` gave before others get its partitions, and so how long a
    /// rebalance waits for it.
    public var maxPollInterval = Duration.seconds(300)
    /// How often what was done is committed; nil to leave commits to the owner.
    public var autoCommitInterval: Duration? = .seconds(5)
    public var offsetReset = OffsetReset.earliest
    /// How often topics are looked at for new partitions.
    public var metadataRefreshInterval = Duration.seconds(60)
    /// How long `close` tries to commit and to leave.
    public var closeTimeout = Duration.seconds(10)
    /// Called from within `next` and `close`, one call at a time, so that nothing is being worked on meanwhile.
    public var onRebalance: (@Sendable (Rebalance) async -> Void)?
    /// How records are fetched. `outOfRange` is replaced by `offsetReset`.
    public var fetching = ConsumerOptions()

    public init() {}

    func settings(groupID: String, backoff: Backoff) -> GroupSettings {
        var settings = GroupSettings(groupID: groupID)
        settings.instanceID = instanceID
        settings.protocol = groupProtocol
        settings.assignors = assignors
        settings.serverAssignor = serverAssignor
        settings.sessionTimeoutMs = sessionTimeout.milliseconds
        settings.heartbeatIntervalMs = heartbeatInterval.milliseconds
        settings.maxPollIntervalMs = maxPollInterval.milliseconds
        settings.metadataRefreshMs = metadataRefreshInterval.milliseconds
        settings.backoff = backoff
        return settings
    }
}

/// How far a partition has been worked on.
public struct OffsetPosition: Sendable, Hashable {
    /// The offset to go on with: behind the last record that is done.
    public var offset: Int64
    /// The epoch of the leader that took that record in, −1 when unknown.
    public var leaderEpoch: Int32
    /// Anything the committer wants kept with the offset.
    public var metadata: String

    public init(offset: Int64, leaderEpoch: Int32 = -1, metadata: String = "") {
        (self.offset, self.leaderEpoch, self.metadata) = (offset, leaderEpoch, metadata)
    }
}

extension Duration {
    /// Rounded down.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
