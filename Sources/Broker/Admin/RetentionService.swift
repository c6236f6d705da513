internal import KafkaProtocol
internal import Logging
internal import NIOPosix
internal import Store

/// Lets go of records past their retention: every `log.retention.check.interval.ms` it moves the log start offset of each
/// partition whose topic has the cleanup policy delete. The store frees the extents by and by.
struct RetentionService: Sendable {
    let broker: BrokerContext
    /// Milliseconds since 1970.
    var now: @Sendable () -> Int64 = { WallClock.nowMs }

    /// How many partitions are looked at, and how many moves are submitted together: one commit takes them all.
    private static let stride = 256

    /// Looks again and again until the task is cancelled.
    func run() async {
        var last = ContinuousClock.now
        while !Task.isCancelled {
            // Short naps, so that an interval that a client has altered counts at once.
            let due = last + .milliseconds(broker.configuration.current.retentionCheckIntervalMs)
            let nap = min(due, .now + .seconds(1))
            do { try await Task.sleep(until: nap) } catch { return }
            guard ContinuousClock.now >= due else { continue }
            last = .now
            await sweep()
        }
    }

    /// Looks once at every partition, and returns when what is past its retention is gone for readers.
    func sweep() async {
        let partitions = broker.store.topics().flatMap { topic in
            topic.settings.cleanupPolicy.contains(.delete) ? topic.partitions.map { ($0, topic.settings) } : []
        }
        var rest = partitions[...]
        while !rest.isEmpty, !Task.isCancelled {
            let slice = Array(rest.prefix(Self.stride))
            rest = rest.dropFirst(Self.stride)
            do {
                let operations = try await broker.readers.runIfActive { try moves(slice) }
                await perform(operations)
            } catch {
                // Tried again at the next look.
                broker.logger.warning("records past their retention are kept for now: \(error)")
                return
            }
        }
    }

    /// The moves that are due. On a thread that may wait for the disk.
    private func moves(_ partitions: [(Partition, TopicSettings)]) throws(StoreError) -> [AdminOperation] {
        let now = now()
        return try broker.store.withReader { (reader) throws(StoreError) in
            var operations: [AdminOperation] = []
            for (partition, settings) in partitions {
                let start = partition.logStartOffset
                guard start < partition.highWatermark else { continue }
                do throws(StoreError) {
                    let end = try end(of: partition, settings, reader, now)
                    if end > start { operations.append(.moveLogStart(partition: partition.id, to: end)) }
                } catch {
                    // One that cannot be read, or was cut meanwhile, is no reason to keep the records of others.
                    if error != .offsetOutOfRange { broker.logger.warning("\(partition.id) keeps records past their retention for now: \(error)") }
                }
            }
            return operations
        }
    }

    /// Where the partition's retention ends.
    private func end(
        of partition: Partition, _ settings: TopicSettings, _ reader: LogReader, _ now: Int64
    ) throws(StoreError) -> Int64 {
        var end: Int64 = 0
        if settings.retentionMs >= 0 {
            let isCompacted = settings.cleanupPolicy.contains(.compact)
            end = try reader.expiredEnd(of: partition, before: now - settings.retentionMs, isCompacted: isCompacted)
        }
        if settings.retentionBytes >= 0, partition.byteCount > settings.retentionBytes {
            end = max(end, try reader.oversizeEnd(of: partition, keeping: Int(settings.retentionBytes)))
        }
        return end
    }

    private func perform(_ operations: [AdminOperation]) async {
        let refusals = await withTaskGroup(of: AdminOutcome.self) { group in
            for operation in operations { group.addTask { await broker.store.perform(operation) } }
            var refusals: [Refusal] = []
            // A topic that was deleted meanwhile has nothing to let go of.
            for await outcome in group {
                if let refusal = outcome.refusal, refusal.code != .unknownTopicOrPartition { refusals.append(refusal) }
            }
            return refusals
        }
        guard let first = refusals.first else { return }
        broker.logger.warning("\(refusals.count) partitions keep records past their retention for now: \(first.message)")
    }
}
