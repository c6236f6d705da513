internal import KafkaProtocol
internal import Store

/// What is being written of each group. One write of a group is under way at a time; what is decided meanwhile is the
/// next. So a write that fails leaves on disk exactly what was decided before it.
struct GroupWrites {
    typealias Finish = @Sendable (StoreError?) -> Void

    /// One atomic step of a group, and who waits for it.
    struct Batch {
        private(set) var changes: [GroupChange] = []
        private(set) var finishes: [Finish] = []
        /// The group is deleted by one of them.
        private(set) var isDeletion = false

        fileprivate mutating func append(_ change: GroupChange, _ finish: @escaping Finish) {
            changes.append(change)
            finishes.append(finish)
            if change.deletesOffsets { isDeletion = true }
        }
    }

    private struct Writes {
        var flying: Batch
        var queued = Batch()
    }

    private var groups: [ExactString: Writes] = [:]

    /// Something of the group is not on disk yet.
    func isBusy(_ groupID: String) -> Bool { groups[groupID] != nil }

    /// Takes a change in; returns the batch to write now, or nil where it waits for the one before.
    mutating func add(_ change: GroupChange, _ finish: @escaping Finish) -> Batch? {
        guard groups[change.groupID] != nil else {
            var batch = Batch()
            batch.append(change, finish)
            groups[change.groupID] = Writes(flying: batch)
            return batch
        }
        groups[change.groupID]?.queued.append(change, finish)
        return nil
    }

    /// The write under way is on disk: returns the one that waited for it, if any.
    mutating func next(_ groupID: String) -> Batch? {
        guard let queued = groups[groupID]?.queued, !queued.finishes.isEmpty else {
            groups[groupID] = nil
            return nil
        }
        groups[groupID] = Writes(flying: queued)
        return queued
    }

    /// The write under way failed: returns who waits for those behind it, which are not written.
    mutating func abandon(_ groupID: String) -> [Finish] {
        groups.removeValue(forKey: groupID)?.queued.finishes ?? []
    }

    /// The group's deletion is not on disk yet.
    func isDeleting(_ groupID: String) -> Bool {
        guard let writes = groups[groupID] else { return false }
        return writes.flying.isDeletion || writes.queued.isDeletion
    }
}
