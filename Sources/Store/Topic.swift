public import KafkaProtocol

/// A topic as it stood when it was looked up. Altering a topic makes a new object; its partitions stay the same ones.
public final class Topic: Sendable {
    public let name: String
    public let id: Uuid
    /// By partition number.
    public let partitions: [Partition]
    /// The topic's own overrides, by Kafka's config names.
    public let configs: [String: String]
    /// The broker's defaults overlaid with `configs`.
    public let settings: TopicSettings
    /// Of `configs`, what cannot be used: the broker's defaults hold there.
    let unusableConfigs: [InvalidSetting]
    let runs: [PartitionRun]

    init(name: String, id: Uuid, partitions: [Partition], runs: [PartitionRun], configs: [String: String], defaults: TopicSettings) {
        self.name = name
        self.id = id
        self.partitions = partitions
        self.runs = runs
        self.configs = configs
        let overlaid = defaults.overlaid(withUsableOf: configs)
        settings = overlaid.settings
        unusableConfigs = overlaid.unusable
    }

    func with(
        configs: [String: String]? = nil, adding run: PartitionRun? = nil, partitions added: [Partition] = [], defaults: TopicSettings
    ) -> Topic {
        Topic(
            name: name, id: id, partitions: partitions + added, runs: runs + (run.map { [$0] } ?? []), configs: configs ?? self.configs,
            defaults: defaults)
    }
}

/// All topics and partitions of a store.
struct Catalog: Sendable {
    private(set) var byName: [ExactString: Topic] = [:]
    private(set) var byID: [Uuid: Topic] = [:]
    /// Deleted partitions stay until their extents are gone.
    var partitions: [PartitionID: Partition] = [:]
    /// Of the published one: grows with each change.
    var version: UInt64 = 0

    /// Of all topics, without those of deleted ones.
    private(set) var partitionCount = 0

    mutating func set(_ topic: Topic) {
        partitionCount += topic.partitions.count - (byName[topic.name]?.partitions.count ?? 0)
        byName[topic.name] = topic
        byID[topic.id] = topic
        for partition in topic.partitions { partitions[partition.id] = partition }
    }

    mutating func remove(_ topic: Topic) {
        partitionCount -= byName[topic.name]?.partitions.count ?? 0
        byName[topic.name] = nil
        byID[topic.id] = nil
    }
}
