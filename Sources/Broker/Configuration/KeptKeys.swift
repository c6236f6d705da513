/// Broker configs that Kafka lets clients alter and that have no effect here: kept and described as clients set them, so that tools which
/// set them work. In a file they are warned about, like all others without effect.
enum KeptKeys {
    /// Sorted by name.
    static let all: [ConfigurationKey] = [
        key("background.threads", .int(from: 1)),
        key("follower.replication.throttled.rate", .long(from: 0)),
        key("leader.replication.throttled.rate", .long(from: 0)),
        key("log.cleaner.io.buffer.load.factor", .double(0...1)),
        key("log.cleaner.io.buffer.size", .int(from: 0)),
        key("log.cleaner.io.max.bytes.per.second", .double(0...Double.greatestFiniteMagnitude)),
        key("log.cleaner.threads", .int(from: 0)),
        key("log.flush.interval.messages", .long(from: 1)),
        key("log.flush.interval.ms", .long(from: 0)),
        key("log.index.interval.bytes", .int(from: 0)),
        key("log.index.size.max.bytes", .int(from: 4)),
        key("log.local.retention.bytes", .long(from: -2)),
        key("log.local.retention.ms", .long(from: -2)),
        key("log.preallocate", .boolean),
        key("log.roll.jitter.ms", .long(from: 0)),
        key("log.segment.delete.delay.ms", .long(from: 0)),
        key("max.connection.creation.rate", .int(from: 0)),
        key("max.connections.per.ip.overrides", .string),
        key("metric.reporters", .string),
        key("num.recovery.threads.per.data.dir", .int(from: 1)),
        key("num.replica.alter.log.dirs.threads", .int(from: 1)),
        key("num.replica.fetchers", .int(from: 1)),
        key("remote.fetch.max.wait.ms", .int(from: 1)),
        key("remote.list.offsets.request.timeout.ms", .long(from: 1)),
        key("remote.log.index.file.cache.total.size.bytes", .long(from: 1)),
        key("remote.log.manager.copier.thread.pool.size", .int(from: 1)),
        key("remote.log.manager.copy.max.bytes.per.second", .long(from: 1)),
        key("remote.log.manager.expiration.thread.pool.size", .int(from: 1)),
        key("remote.log.manager.fetch.max.bytes.per.second", .long(from: 1)),
        key("remote.log.reader.threads", .int(from: 1)),
        key("replica.alter.log.dirs.io.max.bytes.per.second", .long(from: 0)),
        key("sasl.kerberos.kinit.cmd", .string),
        key("sasl.kerberos.min.time.before.relogin", .long(from: 0)),
        key("sasl.kerberos.ticket.renew.jitter", .double(0...1)),
        key("sasl.kerberos.ticket.renew.window.factor", .double(0...1)),
        key("sasl.login.refresh.buffer.seconds", .int(0...3_600)),
        key("sasl.login.refresh.min.period.seconds", .int(0...900)),
        key("sasl.login.refresh.window.factor", .double(0.5...1)),
        key("sasl.login.refresh.window.jitter", .double(0...0.25)),
        key("transaction.partition.verification.enable", .boolean),
        key("unclean.leader.election.enable", .boolean),
    ]

    static let named = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    private static func key(_ name: String, _ type: ConfigurationType) -> ConfigurationKey {
        ConfigurationKey(name, .store, type, .dynamic, about: "Without effect here. \(IgnoredKeys.reason(for: name) ?? "")")
    }
}
