/// The broker's settings for groups, with Kafka's defaults. Durations in milliseconds.
public struct GroupOptions: Sendable, Equatable {
    /// `group.min.session.timeout.ms`
    public var sessionTimeoutMsMin: Int32 = 6_000
    /// `group.max.session.timeout.ms`
    public var sessionTimeoutMsMax: Int32 = 1_800_000
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members to come.
    public var initialRebalanceDelayMs: Int32 = 3_000
    /// `group.max.size`, members
    public var sizeMax: Int32 = .max
    /// `lmbroker.groups.max.bytes`: where all groups together hold more of their members, nothing is added.
    public var heldBytesMax = 256 << 20
    /// How long a new member may be without a sign of life while it waits to be let in; Kafka has no setting for it.
    public var newMemberJoinTimeoutMs: Int32 = 300_000

    /// `group.consumer.session.timeout.ms`
    public var consumerSessionTimeoutMs: Int32 = 45_000
    /// `group.consumer.min.session.timeout.ms`
    public var consumerSessionTimeoutMsMin: Int32 = 45_000
    /// `group.consumer.max.session.timeout.ms`
    public var consumerSessionTimeoutMsMax: Int32 = 60_000
    /// `group.consumer.heartbeat.interval.ms`
    public var consumerHeartbeatIntervalMs: Int32 = 5_000
    /// `group.consumer.min.heartbeat.interval.ms`
    public var consumerHeartbeatIntervalMsMin: Int32 = 5_000
    /// `group.consumer.max.heartbeat.interval.ms`
    public var consumerHeartbeatIntervalMsMax: Int32 = 15_000
    /// `group.consumer.max.size`, members
    public var consumerSizeMax: Int32 = .max
    /// `group.consumer.assignors`: the first is used where the members ask for none.
    public var consumerAssignors = ["uniform", "range"]
    /// `group.consumer.migration.policy`
    public var consumerMigrationPolicy = MigrationPolicy.bidirectional

    public init() {}

    /// Which way a group may move between the protocols while it has members (KIP-848).
    public enum MigrationPolicy: String, Sendable, CaseIterable {
        case bidirectional, upgrade, downgrade, disabled

        public var allowsUpgrade: Bool { self == .bidirectional || self == .upgrade }
        public var allowsDowngrade: Bool { self == .bidirectional || self == .downgrade }
    }
}
