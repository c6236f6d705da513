internal import Coordinators
internal import Logging
internal import Store

/// Forgets committed offsets past `offsets.retention.minutes`: every `offsets.retention.check.interval.ms` it looks at each
/// group without members (KIP-211).
struct OffsetExpiryService: Sendable {
    let broker: BrokerContext

    /// Looks again and again until the task is cancelled.
    func run() async {
        var last = ContinuousClock.now
        while !Task.isCancelled {
            let due = last + .milliseconds(broker.configuration.current.offsetsCheckIntervalMs)
            do { try await Task.sleep(until: min(due, .now + .seconds(1))) } catch { return }
            guard ContinuousClock.now >= due else { continue }
            last = .now
            let count = broker.groups.expireOffsets(
                retentionMs: broker.configuration.current.offsetsRetentionMs, now: WallClock.nowMs)
            if count > 0 { broker.logger.info("\(count) committed offsets of groups without members have expired") }
        }
    }
}

extension OffsetsExpiry {
    /// The offsets that are past their time.
    func expired(among offsets: [OffsetKey: CommittedOffset], retentionMs: Int64, now: Int64) -> [OffsetKey] {
        let emptySinceMs: Int64
        switch self {
        case .never: return []
        case .sinceEmpty(let wallClockMs): emptySinceMs = wallClockMs
        case .byCommit: emptySinceMs = .min
        }
        return offsets.compactMap { key, offset in
            // A commit with a time of its own (OffsetCommit 2–4) goes by that.
            let end = offset.expireTimeMs >= 0 ? offset.expireTimeMs : max(offset.commitTimeMs, emptySinceMs) + retentionMs
            return now >= end ? key : nil
        }
    }
}
