/// Broker configs of Kafka that this broker knows by name and does not act on: files written for Kafka start it, with a warning for each.
enum IgnoredKeys {
    /// Why `name` has no effect, as a sentence; nil when Kafka has no such key either.
    static func reason(for name: String) -> String? {
        if let family = families.first(where: { $0.names.contains(name) }) { return family.reason }
        return families.first { $0.prefixes.contains { name.hasPrefix($0) } }?.reason
    }

    private struct Family {
        let reason: String
        var names: Set<String> = []
        var prefixes: [String] = []
    }

    private static let families: [Family] = [
        Family(
            reason: "A single lmbroker needs no controller and no ZooKeeper.",
            names: ["process.roles", "inter.broker.listener.name", "inter.broker.protocol.version", "broker.heartbeat.interval.ms"],
            prefixes: [
                "controller.", "controlled.shutdown.", "metadata.log.", "metadata.max.", "zookeeper.", "broker.session.",
                "broker.id.generation.",
                "initial.broker.", "early.start.", "unstable.", "server.max.startup.", "leader.imbalance.", "auto.leader.", "alter.",
                "create.topic.policy.", "reserved.broker.",
            ]),
        Family(
            reason: "Every append is synced before it is acknowledged; there is nothing to flush and nothing to recover.",
            names: ["num.recovery.threads.per.data.dir", "log.flush.scheduler.interval.ms"], prefixes: ["log.flush."]),
        Family(
            reason: "Partitions have no segment files; batches live in extents of one LMDB environment.",
            names: ["log.preallocate", "background.threads", "log.dir.failure.timeout.ms"],
            prefixes: ["log.segment.", "log.roll.", "log.index.", "log.initial.task."]),
        Family(reason: "Compaction is one thread with buffers of its own, behind all others.", prefixes: ["log.cleaner."]),
        Family(reason: "There is no tiered storage.", prefixes: ["remote.", "log.local."]),
        Family(
            reason: "A single broker replicates nothing.",
            names: ["num.replica.fetchers", "unclean.leader.election.enable", "num.replica.alter.log.dirs.threads"],
            prefixes: ["replica.", "replication.", "leader.replication.", "follower.replication."]),
        Family(
            reason: "Groups and committed offsets are kept in the store like everything else, without a topic of their own.",
            names: ["group.coordinator.new.enable"],
            prefixes: ["offsets.", "group.coordinator.", "group.version"]),
        Family(
            reason: "Transactions are kept in the store like everything else, and expire by deadlines, not by looks at all of them.",
            prefixes: ["transaction.state.log.", "transaction.abort.", "transaction.remove.", "producer.id.expiration.check."]),
        Family(
            reason: "A batch is never taken that is not of an open transaction.", names: ["transaction.partition.verification.enable"],
            prefixes: ["transaction.two.phase."]),
        Family(reason: "There are no share groups and no stream groups.", prefixes: ["share.", "group.share.", "group.streams."]),
        Family(
            reason: "Only PLAINTEXT listeners without authorisation are offered.",
            names: ["authorizer.class.name", "super.users", "allow.everyone.if.no.acl.found", "early.start.listeners"],
            prefixes: [
                "ssl.", "sasl.", "security.", "principal.", "delegation.", "connections.max.reauth.", "connection.failed.", "password.",
                "listener.name.",
            ]),
        Family(
            reason: "Quotas are not built yet.",
            prefixes: ["quota.", "client.quota.", "max.connection.creation.rate", "max.connections.per.ip.overrides", "quotas."]),
        Family(
            reason: "Metrics are lmbroker's own.", names: ["auto.include.jmx.reporter"],
            prefixes: ["metric.", "metrics.", "kafka.metrics.", "telemetry."]),
        Family(
            reason: "The event loops size these themselves.",
            names: ["queued.max.requests", "request.timeout.ms"], prefixes: ["socket."]),
        Family(
            reason: "The record format is version 2, for every client.",
            names: ["log.message.format.version", "log.message.downconversion.enable", "log.message.timestamp.difference.max.ms"]),
    ]

    /// The known name nearest to `name`, when it is near enough to be a slip of the pen.
    static func nearest(to name: String, among names: some Sequence<String>) -> String? {
        // Nobody misspells a name so long; and the work grows with its length.
        guard name.utf8.count <= 100 else { return nil }
        let limit = max(1, name.count / 5)
        let letters = Array(name.utf8)
        return names.compactMap { known in distance(Array(known.utf8), letters, atMost: limit).map { (name: known, distance: $0) } }
            .min { ($0.distance, $0.name) < ($1.distance, $1.name) }?.name
    }

    /// Insertions, deletions and substitutions that turn one name into the other (Levenshtein); nil where it takes more than `limit`,
    /// which is soon seen: a request may name many.
    private static func distance(_ first: [UInt8], _ second: [UInt8], atMost limit: Int) -> Int? {
        guard abs(first.count - second.count) <= limit else { return nil }
        var row = Array(0...second.count)
        for i in 0..<first.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<second.count {
                let substitution = diagonal + (first[i] == second[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
            }
            if row.allSatisfy({ $0 > limit }) { return nil }
        }
        return row[second.count] <= limit ? row[second.count] : nil
    }
}
