public import Coordinators
public import Store

/// The broker's configuration as its parts use it: typed, resolved, each value the one in force. Immutable; when a client
/// alters a dynamic value, a new one is made (`LiveConfiguration`).
public struct BrokerConfiguration: Sendable {
    public let layers: ConfigurationLayers

    public let nodeID: Int32
    public let rack: String?
    public let listeners: [Listener]
    /// What clients of each listener are told, by listener name; a listener not in it is told as itself.
    public let advertisedListeners: [String: Listener]
    public let dataDirectory: String

    public let partitionCount: Int32
    public let autoCreateTopics: Bool
    public let deletesTopics: Bool
    public let requestPartitionsMax: Int
    public let partitionsMax: Int
    public let describedPartitionsMax: Int

    /// What topics without configs of their own get.
    public let topicDefaults: TopicSettings
    public let retentionCheckIntervalMs: Int64
    public let compacts: Bool
    public let cleaner: CleanerOptions

    public let groups: GroupOptions
    public let transactions: TransactionOptions
    public let offsetsRetentionMs: Int64
    public let offsetsCheckIntervalMs: Int64
    public let offsetMetadataBytesMax: Int

    /// nil: one for each processor.
    public let eventLoopCount: Int?
    public let readerThreadCount: Int
    public let requestBytesMax: Int
    public let queuedRequestBytesMax: Int
    public let connectionsMax: Int
    public let connectionsPerAddressMax: Int
    public let connectionIdleMsMax: Int64
    public let fetchBytesMax: Int
    public let fetchSessionsMax: Int

    public let producerExpirationMs: Int64
    public let producersMax: Int
    /// nil: what the file system can spare less a reserve.
    public let storeBytesMax: Int?
    public let journalBytesMax: Int
    public let readerWarningMs: Int64
    public let backupDirectory: String?

    public let logLevel: String

    /// The defaults.
    public static var standard: BrokerConfiguration {
        get throws(ConfigurationError) { try BrokerConfiguration(ConfigurationLayers()) }
    }

    /// Resolves the layers, and checks what one key alone cannot tell.
    public init(_ layers: ConfigurationLayers) throws(ConfigurationError) {
        self.layers = layers
        let values = ConfigurationValues(layers: layers)
        nodeID = try values.integer("node.id")
        rack = layers["broker.rack"]
        listeners = try values.listeners()
        advertisedListeners = try values.advertised(for: listeners)
        dataDirectory = try values.dataDirectory()

        partitionCount = try values.integer("num.partitions")
        autoCreateTopics = try values.boolean("auto.create.topics.enable")
        deletesTopics = try values.boolean("delete.topic.enable")
        requestPartitionsMax = try values.integer("lmbroker.request.partitions.max")
        partitionsMax = try values.integer("lmbroker.partitions.max")
        describedPartitionsMax = try values.integer("max.request.partition.size.limit")
        topicDefaults = try values.topicDefaults()
        retentionCheckIntervalMs = try values.integer("log.retention.check.interval.ms")
        compacts = try values.boolean("log.cleaner.enable")
        cleaner = try values.cleaner()

        groups = try values.groups()
        transactions = try values.transactions()
        offsetsRetentionMs = try values.integer("offsets.retention.minutes") * 60_000
        offsetsCheckIntervalMs = try values.integer("offsets.retention.check.interval.ms")
        offsetMetadataBytesMax = try values.integer("offset.metadata.max.bytes")

        eventLoopCount = try values.optional("num.network.threads")
        readerThreadCount = try values.integer("num.io.threads")
        requestBytesMax = try values.integer("socket.request.max.bytes")
        queuedRequestBytesMax = try values.integer("queued.max.request.bytes")
        connectionsMax = try values.integer("max.connections")
        connectionsPerAddressMax = try values.integer("max.connections.per.ip")
        connectionIdleMsMax = try values.integer("connections.max.idle.ms")
        fetchBytesMax = try values.integer("fetch.max.bytes")
        fetchSessionsMax = try values.integer("max.incremental.fetch.session.cache.slots")

        producerExpirationMs = try values.integer("producer.id.expiration.ms")
        producersMax = try values.integer("lmbroker.producers.max")
        storeBytesMax = try values.optional("lmbroker.store.max.bytes")
        journalBytesMax = try values.integer("lmbroker.journal.max.bytes")
        readerWarningMs = try values.integer("lmbroker.reader.warn.ms")
        backupDirectory = layers["lmbroker.backup.dir"]
        logLevel = layers["lmbroker.log.level"] ?? "info"
    }

    /// What clients that came to `listener` are told, when the system gave it `port`.
    public func advertised(for listener: Listener, boundPort port: Int, hostName: String) -> Listener {
        if let told = advertisedListeners[listener.name] {
            return told.port == 0 ? Listener(name: told.name, host: told.host, port: port) : told
        }
        return Listener(name: listener.name, host: listener.isWildcard ? hostName : listener.host, port: port)
    }
}

/// Reads typed values out of the layers.
private struct ConfigurationValues {
    let layers: ConfigurationLayers

    func integer<I: FixedWidthInteger>(_ name: String) throws(ConfigurationError) -> I {
        guard let value: I = try optional(name) else { throw ConfigurationError(message: "\(name) has no value.") }
        return value
    }

    func optional<I: FixedWidthInteger>(_ name: String) throws(ConfigurationError) -> I? {
        guard let text = layers[name] else { return nil }
        guard let value = I(text) else {
            throw ConfigurationError(message: "\(layers.origin(of: name)): \(name)=\(text) is out of range.")
        }
        return value
    }

    func boolean(_ name: String) throws(ConfigurationError) -> Bool { layers[name]?.lowercased() == "true" }

    func listeners() throws(ConfigurationError) -> [Listener] {
        let listeners = try addresses("listeners")
        guard !listeners.isEmpty else {
            throw ConfigurationError(
                message: "\(layers.origin(of: "listeners")): listeners is empty; name one, as PLAINTEXT://127.0.0.1:9092.")
        }
        var protocols: [String: String] = ["PLAINTEXT": "PLAINTEXT"]
        for entry in (layers["listener.security.protocol.map"] ?? "").listEntries {
            let pair = entry.split(separator: ":").map { String($0).uppercased() }
            if pair.count == 2 { protocols[pair[0]] = pair[1] }
        }
        for listener in listeners where protocols[listener.name] != "PLAINTEXT" {
            throw ConfigurationError(
                message:
                    "\(layers.origin(of: "listeners")): the listener \(listener) is not PLAINTEXT, the only protocol offered; use PLAINTEXT://, or map its name with listener.security.protocol.map=\(listener.name):PLAINTEXT."
            )
        }
        return listeners
    }

    func advertised(for listeners: [Listener]) throws(ConfigurationError) -> [String: Listener] {
        var told: [String: Listener] = [:]
        for address in try addresses("advertised.listeners") {
            guard listeners.contains(where: { $0.name == address.name }) else {
                throw ConfigurationError(
                    message:
                        "\(layers.origin(of: "advertised.listeners")): \(address) names no listener; listeners has \(listeners.map(\.name).joined(separator: ", "))."
                )
            }
            guard !address.isWildcard else {
                throw ConfigurationError(
                    message:
                        "\(layers.origin(of: "advertised.listeners")): clients cannot connect to \(address); name a host they can reach.")
            }
            told[address.name] = address
        }
        return told
    }

    private func addresses(_ key: String) throws(ConfigurationError) -> [Listener] {
        var listeners: [Listener] = []
        for entry in (layers[key] ?? "").listEntries {
            guard let listener = Listener(entry) else {
                throw ConfigurationError(
                    message:
                        "\(layers.origin(of: key)): \(entry) in \(key) is not an address; write NAME://HOST:PORT, as PLAINTEXT://127.0.0.1:9092."
                )
            }
            guard !listeners.contains(where: { $0.name == listener.name }) else {
                throw ConfigurationError(
                    message: "\(layers.origin(of: key)): \(key) has two listeners named \(listener.name); give each a name of its own.")
            }
            listeners.append(listener)
        }
        return listeners
    }

    func cleaner() throws(ConfigurationError) -> CleanerOptions {
        var options = CleanerOptions()
        options.keyMapBytesMax = try integer("log.cleaner.dedupe.buffer.size")
        options.backoffMs = try integer("log.cleaner.backoff.ms")
        return options
    }

    func groups() throws(ConfigurationError) -> GroupOptions {
        var options = GroupOptions()
        options.initialRebalanceDelayMs = try integer("group.initial.rebalance.delay.ms")
        options.sessionTimeoutMsMin = try integer("group.min.session.timeout.ms")
        options.sessionTimeoutMsMax = try integer("group.max.session.timeout.ms")
        options.sizeMax = try integer("group.max.size")
        options.heldBytesMax = try integer("lmbroker.groups.max.bytes")
        options.consumerSessionTimeoutMs = try integer("group.consumer.session.timeout.ms")
        options.consumerSessionTimeoutMsMin = try integer("group.consumer.min.session.timeout.ms")
        options.consumerSessionTimeoutMsMax = try integer("group.consumer.max.session.timeout.ms")
        options.consumerHeartbeatIntervalMs = try integer("group.consumer.heartbeat.interval.ms")
        options.consumerHeartbeatIntervalMsMin = try integer("group.consumer.min.heartbeat.interval.ms")
        options.consumerHeartbeatIntervalMsMax = try integer("group.consumer.max.heartbeat.interval.ms")
        options.consumerSizeMax = try integer("group.consumer.max.size")
        options.consumerAssignors = (layers["group.consumer.assignors"] ?? "").listEntries
        if let policy = layers["group.consumer.migration.policy"].flatMap(GroupOptions.MigrationPolicy.init(rawValue:)) {
            options.consumerMigrationPolicy = policy
        }
        try check("group.max.session.timeout.ms", isAtLeast: "group.min.session.timeout.ms")
        for name in ["session.timeout.ms", "heartbeat.interval.ms"] {
            try check("group.consumer.\(name)", isAtLeast: "group.consumer.min.\(name)")
            try check("group.consumer.max.\(name)", isAtLeast: "group.consumer.\(name)")
        }
        // Or every member would be taken for dead between two of its heartbeats.
        try check("group.consumer.session.timeout.ms", isAtLeast: "group.consumer.heartbeat.interval.ms", by: 1)
        guard !options.consumerAssignors.isEmpty else {
            throw ConfigurationError(
                message: "\(layers.origin(of: "group.consumer.assignors")): group.consumer.assignors is empty; name uniform, range or both.")
        }
        return options
    }

    func transactions() throws(ConfigurationError) -> TransactionOptions {
        var options = TransactionOptions()
        options.timeoutMsMax = try integer("transaction.max.timeout.ms")
        options.idExpirationMs = try integer("transactional.id.expiration.ms")
        return options
    }

    private func check(_ greater: String, isAtLeast less: String, by margin: Int = 0) throws(ConfigurationError) {
        let (most, least): (Int, Int) = (try integer(greater), try integer(less))
        guard most - least < margin else { return }
        let relation = margin > 0 ? "not more" : "less"
        throw ConfigurationError(message: "\(layers.origin(of: greater)): \(greater)=\(most) is \(relation) than \(less)=\(least).")
    }

    func dataDirectory() throws(ConfigurationError) -> String {
        let text = layers["log.dirs"] ?? "data"
        guard text.listEntries.count == 1, let directory = text.listEntries.first else {
            throw ConfigurationError(
                message: "\(layers.origin(of: "log.dirs")): log.dirs=\(text) names several directories; a broker keeps everything in one.")
        }
        return directory
    }

    func topicDefaults() throws(ConfigurationError) -> TopicSettings {
        var configs: [String: String] = [:]
        for (name, key) in BrokerKeys.forTopics { configs[name] = layers.value(of: key) }
        do throws(InvalidSetting) {
            return try TopicSettings().overlaid(with: configs)
        } catch {
            throw ConfigurationError(message: error.description)
        }
    }
}
