/// The settings that govern one topic: the broker's defaults overlaid with the topic's own configs.
/// `init()` gives Kafka 4's defaults. Only configs with an effect have a field here; which names are
/// known, and what values each accepts, is the business of the broker's configuration table.
public struct TopicSettings: Sendable, Equatable {
    /// Whose clock a record's timestamp is (`message.timestamp.type`, KIP-32).
    public enum TimestampType: String, Sendable {
        case createTime = "CreateTime"
        case logAppendTime = "LogAppendTime"
    }

    /// What happens to old records (`cleanup.policy`). Empty: they are kept for ever.
    public struct CleanupPolicy: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let delete = CleanupPolicy(rawValue: 1)
        public static let compact = CleanupPolicy(rawValue: 2)
    }

    /// `max.message.bytes`: the largest record batch accepted, with its 12 bytes of offset and length.
    public var maxMessageBytes = 1_048_588
    /// `message.timestamp.type`.
    public var timestampType = TimestampType.createTime
    /// `message.timestamp.before.max.ms` (KIP-937): how far behind the broker's clock a CreateTime may be.
    public var timestampBeforeMaxMs = Int64.max
    /// `message.timestamp.after.max.ms` (KIP-937): how far ahead of the broker's clock a CreateTime may be.
    public var timestampAfterMaxMs: Int64 = 3_600_000
    /// `compression.type`: `producer` (batches stay as they came), `none` for `uncompressed`, or a codec's name.
    public var compressionType = "producer"
    /// `compression.gzip.level`; nil: the codec's own.
    public var gzipLevel: Int?
    /// `compression.lz4.level`; nil: the fast compressor, which Kafka calls 9.
    public var lz4Level: Int?
    /// `compression.zstd.level`.
    public var zstdLevel = 3
    /// `retention.ms`; −1: no limit.
    public var retentionMs: Int64 = 604_800_000
    /// `retention.bytes` of each partition; −1: no limit.
    public var retentionBytes: Int64 = -1
    /// `cleanup.policy`.
    public var cleanupPolicy = CleanupPolicy.delete
    /// `delete.retention.ms`: how long compaction keeps a tombstone.
    public var deleteRetentionMs: Int64 = 86_400_000
    /// `min.cleanable.dirty.ratio`: the share of bytes that no pass of compaction has seen from which one is made.
    public var minCleanableDirtyRatio = 0.5
    /// `min.compaction.lag.ms`: how long compaction leaves a record alone.
    public var minCompactionLagMs: Int64 = 0
    /// `max.compaction.lag.ms`: how long a record may wait for compaction.
    public var maxCompactionLagMs = Int64.max
    /// `segment.bytes` and `segment.ms`: how much of a compacted partition, and for how long, may wait to be sealed, and so for compaction.
    public var segmentBytes = 1 << 30
    public var segmentMs: Int64 = 604_800_000
    /// `min.insync.replicas`: the in-sync replicas that `acks=all` asks for.
    public var minInsyncReplicas = 1

    public init() {}

    /// These settings with `configs` (topic config names as keys) laid over them. Names that have no field are passed over.
    public func overlaid(with configs: [String: String]) throws(InvalidSetting) -> TopicSettings {
        let (settings, unusable) = overlaid(withUsableOf: configs)
        if let first = unusable.first { throw first }
        return settings
    }

    /// The same, key by key: a value that cannot be used costs its key only.
    func overlaid(withUsableOf configs: [String: String]) -> (settings: TopicSettings, unusable: [InvalidSetting]) {
        var settings = self
        var unusable: [InvalidSetting] = []
        for (name, value) in configs.sorted(by: { $0.key < $1.key }) {
            do throws(InvalidSetting) { try settings.set(name, value) } catch { unusable.append(error) }
        }
        return (settings, unusable)
    }

    private mutating func set(_ name: String, _ value: String) throws(InvalidSetting) {
        switch name {
        case "max.message.bytes": maxMessageBytes = try Self.integer(name, value)
        case "message.timestamp.type":
            guard let type = TimestampType(rawValue: value) else {
                throw InvalidSetting(name: name, value: value, accepted: "CreateTime or LogAppendTime")
            }
            timestampType = type
        case "message.timestamp.before.max.ms": timestampBeforeMaxMs = try Self.integer(name, value)
        case "message.timestamp.after.max.ms": timestampAfterMaxMs = try Self.integer(name, value)
        case "compression.type": compressionType = value == "uncompressed" ? "none" : value
        case "compression.gzip.level":
            let level: Int = try Self.integer(name, value)
            gzipLevel = level == -1 ? nil : level
        case "compression.lz4.level":
            let level: Int = try Self.integer(name, value)
            lz4Level = level == 9 ? nil : level
        case "compression.zstd.level": zstdLevel = try Self.integer(name, value)
        case "retention.ms": retentionMs = try Self.integer(name, value)
        case "retention.bytes": retentionBytes = try Self.integer(name, value)
        case "cleanup.policy": cleanupPolicy = try Self.policy(name, value)
        case "delete.retention.ms": deleteRetentionMs = try Self.integer(name, value)
        case "min.cleanable.dirty.ratio":
            guard let ratio = Double(String(value.trimmed)), (0...1).contains(ratio) else {
                throw InvalidSetting(name: name, value: value, accepted: "a number from 0.0 to 1.0")
            }
            minCleanableDirtyRatio = ratio
        case "min.compaction.lag.ms": minCompactionLagMs = try Self.integer(name, value)
        case "max.compaction.lag.ms": maxCompactionLagMs = try Self.integer(name, value)
        case "segment.bytes": segmentBytes = try Self.integer(name, value)
        case "segment.ms": segmentMs = try Self.integer(name, value)
        case "min.insync.replicas": minInsyncReplicas = try Self.integer(name, value)
        default: break
        }
    }

    private static func integer<I: FixedWidthInteger>(_ name: String, _ value: String) throws(InvalidSetting) -> I {
        guard let number = I(value.trimmed) else {
            throw InvalidSetting(name: name, value: value, accepted: "an integer from \(I.min) to \(I.max)")
        }
        return number
    }

    private static func policy(_ name: String, _ value: String) throws(InvalidSetting) -> CleanupPolicy {
        var policy: CleanupPolicy = []
        for word in value.split(separator: ",", omittingEmptySubsequences: true) {
            switch String(word).trimmed {
            // Stores hold such entries from when they were accepted.
            case "": break
            case "delete": policy.insert(.delete)
            case "compact": policy.insert(.compact)
            default: throw InvalidSetting(name: name, value: value, accepted: "a list of delete and compact")
            }
        }
        return policy
    }
}

/// A config value that cannot be used, with what would be.
public struct InvalidSetting: Error, Sendable, Equatable, CustomStringConvertible {
    public let name: String
    public let value: String
    /// What is accepted instead, to follow "accepted is …".
    public let accepted: String

    public init(name: String, value: String, accepted: String) {
        self.name = name
        self.value = value
        self.accepted = accepted
    }

    public var description: String { "Invalid value '\(value)' for \(name): accepted is \(accepted)." }
}

extension String {
    /// Without the blanks around it, as Kafka reads numbers and list entries.
    fileprivate var trimmed: Substring {
        var slice = self[...]
        while let first = slice.first, first.isWhitespace { slice.removeFirst() }
        while let last = slice.last, last.isWhitespace { slice.removeLast() }
        return slice
    }
}
