internal import KafkaProtocol

extension Store {
    /// Makes one pass of compaction over a partition, on the thread of the caller, and returns what it did; nil where there was nothing to
    /// clean. `isWanted` is asked with the plan first.
    func clean(
        _ partition: Partition, _ settings: TopicSettings, keyMapByteCountMax: Int, nowMs: Int64, isCancelled: @escaping () -> Bool = { false },
        where isWanted: (CleaningPlan) -> Bool = { $0.dirtyByteCount > 0 || $0.dueMs >= 0 }
    ) throws(StoreError) -> CleaningReport? {
        let plan = try withReader { (reader) throws(StoreError) in try reader.cleaningPlan(of: partition, settings, now: nowMs) }
        guard let plan, isWanted(plan) else { return nil }
        var cleaning = PartitionCleaning(
            self, partition, plan, settings, keyMapByteCountMax: keyMapByteCountMax, nowMs: nowMs, isCancelled: isCancelled)
        try cleaning.run()
        return cleaning.report
    }
}
