/// Every configuration key this broker acts on. Names are Kafka's where Kafka has one; the broker's own begin with `lmbroker.`.
public enum BrokerKeys {
    public static let all: [ConfigurationKey] = identity + topics + records + groups + transactions + requests + store + logging

    /// By name and by alias.
    static let named: [String: ConfigurationKey] = {
        var named: [String: ConfigurationKey] = [:]
        for key in all { for name in [key.name] + key.aliases { named[name] = key } }
        return named
    }()

    /// By the topic config they are the default of.
    static let forTopics: [String: ConfigurationKey] = {
        var keys: [String: ConfigurationKey] = [:]
        for key in all { if let name = key.topicName { keys[name] = key } }
        return keys
    }()

    private static let identity: [ConfigurationKey] = [
        ConfigurationKey(
            "node.id", .identity, .int(from: 0), default: "1", aliases: ["broker.id"],
            about: "The number clients know this broker by. broker.id is another name of it."),
        ConfigurationKey(
            "listeners", .identity, .list([]), default: "PLAINTEXT://127.0.0.1:9092",
            about:
                "The addresses to listen on, as NAME://HOST:PORT. An empty host or 0.0.0.0 means every interface; port 0 lets the system choose. The command's --listen HOST:PORT is short for one PLAINTEXT listener."
        ),
        ConfigurationKey(
            "advertised.listeners", .identity, .list([]),
            about:
                "The addresses clients are told to connect to, by listener name, as NAME://HOST:PORT. Without it: each listener's own address, and this machine's host name for a listener on every interface."
        ),
        ConfigurationKey(
            "listener.security.protocol.map", .identity, .list([]), default: "PLAINTEXT:PLAINTEXT",
            about: "The security protocol of each listener name, as NAME:PROTOCOL. Only PLAINTEXT is offered."),
        ConfigurationKey(
            "broker.rack", .identity, .string,
            about: "The rack or zone of this broker, told to clients in metadata."),
        ConfigurationKey(
            "log.dirs", .identity, .string, default: "data", aliases: ["log.dir"],
            about: "The data directory: one LMDB environment that holds everything. The command's --data DIR is short for it. log.dir is another name of it."),
    ]

    private static let topics: [ConfigurationKey] = [
        ConfigurationKey(
            "num.partitions", .topics, .int(from: 1), default: "1", .dynamic,
            about: "Partitions of a topic created on first use, or created without a number."),
        ConfigurationKey(
            "default.replication.factor", .topics, .int(1...1), default: "1",
            about: "Replicas of a topic created on first use, or created without a number. A single broker has one."),
        ConfigurationKey(
            "auto.create.topics.enable", .topics, .boolean, default: "true", .dynamic,
            about: "Whether asking for the metadata of a topic that does not exist creates it, when the client agrees."),
        ConfigurationKey(
            "delete.topic.enable", .topics, .boolean, default: "true", .dynamic,
            about: "Whether topics can be deleted."),
        ConfigurationKey(
            "lmbroker.request.partitions.max", .topics, .int(from: 1), default: "10000", .dynamic,
            about: "The most partitions that one request may create."),
        ConfigurationKey(
            "lmbroker.partitions.max", .topics, .int(from: 1), default: "200000", .dynamic,
            about: "The most partitions that the broker holds in all; beyond it none are created."),
        ConfigurationKey(
            "max.request.partition.size.limit", .topics, .int(from: 1), default: "2000", .dynamic,
            about: "The most partitions in one answer to DescribeTopicPartitions; clients page through the rest."),
    ]

    private static let records: [ConfigurationKey] = [
        ConfigurationKey(
            "message.max.bytes", .records, .int(from: 0), default: "1048588", .dynamic, topic: "max.message.bytes",
            about: "The largest record batch accepted, in bytes, compressed as it came."),
        ConfigurationKey(
            "compression.type", .records, .oneOf(TopicKeys.compressionTypes), default: "producer", .dynamic, topic: "compression.type",
            about: "The codec batches are kept in: producer leaves them as they came; any other recompresses what came in another codec."),
        ConfigurationKey(
            "compression.gzip.level", .records, .minusOneOr(1...9), default: "-1", .dynamic, topic: "compression.gzip.level",
            about: "How hard gzip tries where batches are recompressed to it; -1 is the codec's own choice."),
        ConfigurationKey(
            "compression.lz4.level", .records, .int(1...17), default: "9", .dynamic, topic: "compression.lz4.level",
            about: "How hard lz4 tries where batches are recompressed to it; 9 is the fast compressor."),
        ConfigurationKey(
            "compression.zstd.level", .records, .int(-131_072...22), default: "3", .dynamic, topic: "compression.zstd.level",
            about: "How hard zstd tries where batches are recompressed to it."),
        ConfigurationKey(
            "log.message.timestamp.type", .records, .oneOf(TopicKeys.timestampTypes), default: "CreateTime", .dynamic,
            topic: "message.timestamp.type",
            about: "Whether a record's timestamp is the producer's (CreateTime) or the time of the append (LogAppendTime)."),
        ConfigurationKey(
            "log.message.timestamp.before.max.ms", .records, .long(from: 0), default: String(Int64.max), .dynamic,
            topic: "message.timestamp.before.max.ms",
            about: "How many milliseconds a CreateTime timestamp may be behind the broker's clock."),
        ConfigurationKey(
            "log.message.timestamp.after.max.ms", .records, .long(from: 0), default: "3600000", .dynamic,
            topic: "message.timestamp.after.max.ms",
            about: "How many milliseconds a CreateTime timestamp may be ahead of the broker's clock."),
        ConfigurationKey(
            "log.cleanup.policy", .records, .list(TopicKeys.cleanupPolicies), default: "delete", .dynamic, topic: "cleanup.policy",
            about:
                "What becomes of old records: delete applies the retention limits, compact keeps the last record of each key; both may be named."),
        ConfigurationKey(
            "log.retention.ms", .records, .minusOneOr(1...Int64.max), .dynamic, topic: "retention.ms",
            fallbacks: [.init(name: "log.retention.minutes", factor: 60_000), .init(name: "log.retention.hours", factor: 3_600_000)],
            about: "How many milliseconds records are kept at least; -1 is for ever. Without it: log.retention.minutes."),
        ConfigurationKey(
            "log.retention.minutes", .records, .minusOneOr(1...Int64(Int32.max)),
            about: "How many minutes records are kept at least. Without it: log.retention.hours."),
        ConfigurationKey(
            "log.retention.hours", .records, .minusOneOr(1...Int64(Int32.max)), default: "168",
            about: "How many hours records are kept at least."),
        ConfigurationKey(
            "log.retention.bytes", .records, .long(from: -1), default: "-1", .dynamic, topic: "retention.bytes",
            about: "How many bytes of the newest records each partition keeps at least; -1 is without limit."),
        ConfigurationKey(
            "log.retention.check.interval.ms", .records, .long(from: 1), default: "300000", .dynamic,
            about: "How many milliseconds pass between two looks for records past their retention."),
        ConfigurationKey(
            "log.cleaner.min.cleanable.ratio", .records, .double(0...1), default: "0.5", .dynamic, topic: "min.cleanable.dirty.ratio",
            about: "The share of a partition's bytes that compaction has not seen yet from which it is compacted."),
        ConfigurationKey(
            "log.cleaner.min.compaction.lag.ms", .records, .long(from: 0), default: "0", .dynamic, topic: "min.compaction.lag.ms",
            about: "How many milliseconds a record is left alone by compaction at least."),
        ConfigurationKey(
            "log.cleaner.max.compaction.lag.ms", .records, .long(from: 1), default: String(Int64.max), .dynamic,
            topic: "max.compaction.lag.ms",
            about: "How many milliseconds a record waits for compaction at most, in partitions that see no more writes too."),
        ConfigurationKey(
            "log.segment.bytes", .records, .int(from: 14), default: "1073741824", .dynamic, topic: "segment.bytes",
            about:
                "There are no segment files. Of a compacted partition, the bytes of new batches from which they are sealed at once, so that they can be compacted; else that comes with other writes."
        ),
        ConfigurationKey(
            "log.roll.ms", .records, .long(from: 1), .dynamic, topic: "segment.ms",
            fallbacks: [.init(name: "log.roll.hours", factor: 3_600_000)],
            about:
                "There are no segment files. Of a compacted partition, how many milliseconds new batches may wait before they are sealed, so that they can be compacted. Without it: log.roll.hours."
        ),
        ConfigurationKey(
            "log.roll.hours", .records, .int(from: 1), default: "168",
            about: "The same as log.roll.ms, in hours."),
        ConfigurationKey(
            "log.cleaner.enable", .records, .boolean, default: "true",
            about: "Whether topics are compacted whose cleanup policy says so."),
        ConfigurationKey(
            "log.cleaner.backoff.ms", .records, .long(from: 1), default: "15000", .dynamic,
            about: "How many milliseconds compaction sleeps when no partition is due for it."),
        ConfigurationKey(
            "log.cleaner.dedupe.buffer.size", .records, .long(from: 1_048_576), default: "134217728", .dynamic,
            about:
                "The most memory for the keys of one pass of compaction, in bytes, at 24 for each key; what finds no room is left to the next pass."
        ),
        ConfigurationKey(
            "log.cleaner.delete.retention.ms", .records, .long(from: 0), default: "86400000", .dynamic, topic: "delete.retention.ms",
            about: "How many milliseconds compaction keeps a tombstone, and the marker of a transaction, once nothing else keeps it."),
        ConfigurationKey(
            "min.insync.replicas", .records, .int(from: 1), default: "1", .dynamic, topic: "min.insync.replicas",
            about: "In-sync replicas that a produce request with acks=all asks for. More than a topic's replicas refuses such requests."),
    ]

    private static let groups: [ConfigurationKey] = [
        ConfigurationKey(
            "group.initial.rebalance.delay.ms", .groups, .int(from: 0), default: "3000",
            about: "How many milliseconds a new group waits for more members before its first assignment."),
        ConfigurationKey(
            "group.min.session.timeout.ms", .groups, .int(from: 1), default: "6000",
            about: "The shortest session timeout that a member of the classic protocol may ask for, in milliseconds."),
        ConfigurationKey(
            "group.max.session.timeout.ms", .groups, .int(from: 1), default: "1800000",
            about: "The longest session timeout that a member of the classic protocol may ask for, in milliseconds."),
        ConfigurationKey(
            "group.max.size", .groups, .int(from: 1), default: "2147483647",
            about: "The most members of a group of the classic protocol."),
        ConfigurationKey(
            "group.consumer.session.timeout.ms", .groups, .int(from: 1), default: "45000",
            about: "A member of the consumer protocol (KIP-848) that is silent for this many milliseconds has left."),
        ConfigurationKey(
            "group.consumer.heartbeat.interval.ms", .groups, .int(from: 1), default: "5000",
            about: "How many milliseconds apart the heartbeats of members of the consumer protocol are."),
        ConfigurationKey(
            "group.consumer.min.session.timeout.ms", .groups, .int(from: 1), default: "45000",
            about: "The least that group.consumer.session.timeout.ms may be."),
        ConfigurationKey(
            "group.consumer.max.session.timeout.ms", .groups, .int(from: 1), default: "60000",
            about: "The most that group.consumer.session.timeout.ms may be."),
        ConfigurationKey(
            "group.consumer.min.heartbeat.interval.ms", .groups, .int(from: 1), default: "5000",
            about: "The least that group.consumer.heartbeat.interval.ms may be."),
        ConfigurationKey(
            "group.consumer.max.heartbeat.interval.ms", .groups, .int(from: 1), default: "15000",
            about: "The most that group.consumer.heartbeat.interval.ms may be."),
        ConfigurationKey(
            "group.consumer.max.size", .groups, .int(from: 1), default: "2147483647",
            about: "The most members of a group of the consumer protocol."),
        ConfigurationKey(
            "group.consumer.assignors", .groups, .list(["uniform", "range"]), default: "uniform,range",
            about: "The assignors of the consumer protocol; the first serves members that name none."),
        ConfigurationKey(
            "group.consumer.migration.policy", .groups, .oneOf(["bidirectional", "upgrade", "downgrade", "disabled"]),
            default: "bidirectional",
            about: "Whether a group with members changes to the consumer protocol (upgrade), back (downgrade), both, or neither."),
        ConfigurationKey(
            "offsets.retention.minutes", .groups, .int(from: 1), default: "10080",
            about: "How many minutes committed offsets are kept after the group's last member has left, or after the commit where there never was one."
        ),
        ConfigurationKey(
            "offsets.retention.check.interval.ms", .groups, .long(from: 1), default: "600000",
            about: "How many milliseconds pass between two looks for offsets past their retention."),
        ConfigurationKey(
            "offset.metadata.max.bytes", .groups, .int(0...131_072), default: "4096",
            about: "The most bytes of metadata that a consumer may commit with an offset; no string of a request has more than 32,767."),
        ConfigurationKey(
            "lmbroker.groups.max.bytes", .groups, .long(from: 1 << 20), default: "268435456",
            about:
                "The most bytes that the members of all groups may take up in memory, about, with what they say of themselves and what they are assigned. Past it new members, and those that say more than before, are told to come again."
        ),
    ]

    private static let transactions: [ConfigurationKey] = [
        ConfigurationKey(
            "transaction.max.timeout.ms", .transactions, .int(from: 1), default: "900000",
            about: "The longest transaction timeout that a producer may ask for, in milliseconds; a transaction that outlives its own is aborted."),
        ConfigurationKey(
            "transactional.id.expiration.ms", .transactions, .int(from: 1), default: "604800000",
            about: "How many milliseconds a transactional id without an open transaction is remembered."),
    ]

    private static let requests: [ConfigurationKey] = [
        ConfigurationKey(
            "num.network.threads", .requests, .int(from: 1),
            about: "Event loops, on which requests are decoded, checked and answered. Without it: one for each processor."),
        ConfigurationKey(
            "num.io.threads", .requests, .int(from: 1), default: "4",
            about: "Threads that read records not in memory, so that no event loop waits for them."),
        ConfigurationKey(
            "socket.request.max.bytes", .requests, .int(from: 1), default: "104857600",
            about: "The largest request accepted, in bytes; a connection that announces a larger one is closed."),
        ConfigurationKey(
            "queued.max.request.bytes", .requests, .long(from: 1_048_576), default: "67108864",
            about: "Bytes of requests in flight in the whole broker; past it, connections are not read until some are answered."),
        ConfigurationKey(
            "max.connections", .requests, .int(from: 1), default: "10000", .dynamic,
            about: "Connections open at one time; further ones are closed at once."),
        ConfigurationKey(
            "max.connections.per.ip", .requests, .int(from: 0), default: "2147483647", .dynamic,
            about: "Connections open at one time from one address."),
        ConfigurationKey(
            "connections.max.idle.ms", .requests, .long(from: 1), default: "600000",
            about: "A connection without a request for this many milliseconds is closed."),
        ConfigurationKey(
            "fetch.max.bytes", .requests, .int(from: 1024), default: "57671680",
            about: "The most bytes of records in one fetch answer, whatever the client asks for; at most 16 MiB, whatever this says."),
        ConfigurationKey(
            "max.incremental.fetch.session.cache.slots", .requests, .int(from: 0), default: "1000",
            about: "Incremental fetch sessions (KIP-227) remembered at one time."),
    ]

    private static let store: [ConfigurationKey] = [
        ConfigurationKey(
            "producer.id.expiration.ms", .store, .int(from: 1), default: "86400000",
            about: "How many milliseconds after its last append an idempotent producer is forgotten."),
        ConfigurationKey(
            "lmbroker.producers.max", .store, .int(from: 1_000), default: "200000",
            about:
                "How many idempotent producers are remembered, counted in each partition that they write to; beyond it, those that have written nothing for the longest time and have no transaction open are forgotten early."
        ),
        ConfigurationKey(
            "lmbroker.store.max.bytes", .store, .long(from: 16 << 20),
            about:
                "The disk budget, in bytes: near it producers are refused with KAFKA_STORAGE_ERROR, while reading and deleting go on. Without it: what the file system can spare less a reserve."
        ),
        ConfigurationKey(
            "lmbroker.journal.max.bytes", .store, .long(from: 1 << 20), default: "209715200",
            about: "The most bytes of journal that a start has to look through; past it, sealing comes first."),
        ConfigurationKey(
            "lmbroker.reader.warn.ms", .store, .long(from: 10_000), default: "300000",
            about:
                "How many milliseconds a backup or another process may hold one snapshot of the store before the log warns: the file cannot fill what is freed meanwhile."
        ),
        ConfigurationKey(
            "lmbroker.backup.dir", .store, .string,
            about: "Where SIGUSR1 makes the broker put a hot copy of its store, in a directory named for the time (UTC)."),
    ]

    private static let logging: [ConfigurationKey] = [
        ConfigurationKey(
            "lmbroker.log.level", .logging, .oneOf(["trace", "debug", "info", "notice", "warning", "error", "critical"]),
            default: "info", .dynamic,
            about: "The least severe events that are logged.")
    ]
}
