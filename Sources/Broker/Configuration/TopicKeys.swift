/// Every topic config that Kafka 4 knows, so that tools which set them work; only some have an effect here.
public struct TopicKey: Sendable {
    public enum Effect: Sendable, Equatable {
        case honoured
        /// Accepted, kept and described, without effect; the reason is a clause that follows "because".
        case without(reason: String)
    }

    public let name: String
    public let type: ConfigurationType
    public let defaultValue: String
    /// The broker's name for the default, in synonyms.
    public let brokerName: String
    public let effect: Effect
    public let documentation: String

    init(
        _ name: String, _ type: ConfigurationType, default defaultValue: String, broker brokerName: String,
        _ effect: Effect = .honoured, _ documentation: String
    ) {
        self.name = name
        self.type = type
        self.defaultValue = defaultValue
        self.brokerName = brokerName
        self.effect = effect
        self.documentation = documentation
    }

    /// What DescribeConfigs says of the key.
    public var fullDocumentation: String {
        guard case .without(let reason) = effect else { return documentation }
        return documentation + " Without effect here, because \(reason)."
    }
}

public enum TopicKeys {
    public static let compressionTypes = ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]
    static let timestampTypes = ["CreateTime", "LogAppendTime"]
    static let cleanupPolicies = ["compact", "delete"]

    /// Sorted by name.
    public static let all: [TopicKey] = (honoured + segments + elsewhere).sorted { $0.name < $1.name }

    static let named = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    private static let honoured: [TopicKey] = BrokerKeys.all.compactMap { key -> TopicKey? in
        guard let name = key.topicName else { return nil }
        let defaultValue: String
        switch name {
        case "retention.ms", "segment.ms": defaultValue = "604800000"
        default: defaultValue = key.defaultValue ?? ""
        }
        // As in Kafka, a topic may let go of everything at the next look, and the broker's default may not.
        let type = name == "retention.ms" ? ConfigurationType.long(from: -1) : key.type
        // What a broker goes without is not what a topic goes without, which is the broker's key.
        let about = key.documentation.firstRange(of: " Without it: ").map { String(key.documentation[..<$0.lowerBound]) } ?? key.documentation
        return TopicKey(name, type, default: defaultValue, broker: key.name, .honoured, about)
    }

    private static let noSegments = TopicKey.Effect.without(
        reason: "a partition has no segment files: batches live in extents of one LMDB environment")
    private static let alwaysSynced = TopicKey.Effect.without(reason: "every append is synced before it is acknowledged")
    private static let noTiers = TopicKey.Effect.without(reason: "there is no tiered storage")
    private static let oneReplica = TopicKey.Effect.without(reason: "a single broker replicates nothing")

    private static let segments: [TopicKey] = [
        TopicKey(
            "segment.jitter.ms", .long(from: 0), default: "0", broker: "log.roll.jitter.ms", noSegments,
            "The jitter of the age at which a segment is rolled."),
        TopicKey(
            "segment.index.bytes", .int(from: 4), default: "10485760", broker: "log.index.size.max.bytes", noSegments,
            "The size of a segment's offset index."),
        TopicKey(
            "index.interval.bytes", .int(from: 0), default: "4096", broker: "log.index.interval.bytes", noSegments,
            "The bytes between two entries of the offset index."),
        TopicKey(
            "preallocate", .boolean, default: "false", broker: "log.preallocate", noSegments, "Whether segment files are allocated ahead."),
        TopicKey(
            "file.delete.delay.ms", .long(from: 0), default: "60000", broker: "log.segment.delete.delay.ms", noSegments,
            "How long a deleted segment file lingers."),
        TopicKey(
            "flush.messages", .long(from: 1), default: String(Int64.max), broker: "log.flush.interval.messages", alwaysSynced,
            "The records after which the log is synced."),
        TopicKey(
            "flush.ms", .long(from: 0), default: String(Int64.max), broker: "log.flush.interval.ms", alwaysSynced,
            "The time after which the log is synced."),
    ]

    private static let elsewhere: [TopicKey] = [
        TopicKey(
            "unclean.leader.election.enable", .boolean, default: "false", broker: "unclean.leader.election.enable", oneReplica,
            "Whether a replica out of sync may lead."),
        TopicKey(
            "leader.replication.throttled.replicas", .list([]), default: "", broker: "leader.replication.throttled.replicas", oneReplica,
            "Replicas whose sending is throttled."),
        TopicKey(
            "follower.replication.throttled.replicas", .list([]), default: "", broker: "follower.replication.throttled.replicas",
            oneReplica,
            "Replicas whose receiving is throttled."),
        TopicKey(
            "remote.storage.enable", .boolean, default: "false", broker: "remote.storage.enable", noTiers, "Whether tiered storage is on."),
        TopicKey(
            "remote.log.copy.disable", .boolean, default: "false", broker: "remote.log.copy.disable", noTiers,
            "Whether copying to tiered storage is off."),
        TopicKey(
            "remote.log.delete.on.disable", .boolean, default: "false", broker: "remote.log.delete.on.disable", noTiers,
            "Whether turning tiered storage off deletes what it holds."),
        TopicKey(
            "local.retention.ms", .long(from: -2), default: "-2", broker: "log.local.retention.ms", noTiers,
            "How long records stay local under tiered storage."),
        TopicKey(
            "local.retention.bytes", .long(from: -2), default: "-2", broker: "log.local.retention.bytes", noTiers,
            "How many bytes stay local under tiered storage."),
    ]
}
