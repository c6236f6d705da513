internal import KafkaProtocol
internal import LMDB
internal import Synchronization

extension StoreWriter {
    /// Journals the changes of one submission, all of them or none; returns why none.
    ///
    /// However many entries they take, all are of this commit. Admitted also when there is no room for records, until little is left
    /// of the reserve; what deletes always is.
    func change(_ changes: [GroupChange], _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) -> StoreError? {
        if case .stopped(let reason) = state { return .stopped(reason) }
        for change in changes {
            if let refusal = change.refusal { return refusal }
        }
        let addedByteCount = changes.reduce(0) { $0 + ($1.makesRoom ? 0 : $1.byteCount) }
        if addedByteCount > 0, let refusal = admit(byteCount: addedByteCount, for: .state) { return refusal }
        for change in changes {
            if let pending = change.pendingOffsets, let refusal = refusal(of: pending, groupID: change.groupID) { return refusal }
        }
        for change in changes {
            var change = change
            if change.deletesOffsets {
                try dropPendingOffsets(ofGroup: change.groupID, &draft, &transaction)
                change.offsets += offsetKeys(of: change.groupID).map { ($0, nil) }
            }
            try apply(change, &draft, &transaction)
            if let pending = change.pendingOffsets { try add(pending, groupID: change.groupID, &draft, &transaction) }
        }
        return nil
    }

    func apply(_ change: GroupChange, _ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        if change.records.isEmpty, change.offsets.isEmpty { return }
        let group = group(change.groupID)
        touch(group, &draft)
        var operation = GroupOperationDraft(group)
        for record in change.records {
            let existed = try hasRecord(record.key, group, transaction)
            guard existed || record.value != nil else { continue }
            group.state.recordCount += (record.value == nil ? 0 : 1) - (existed ? 1 : 0)
            let since = group.state.unsettledRecords[record.key]?.since
            group.state.unsettledRecords[record.key] = GroupState.UnsettledRecord(value: record.value, since: since ?? .max)
            group.state.changedRecords.insert(record.key)
            for part in GroupRecordPart.parts(of: record) {
                if !operation.fits(part) { try finish(&operation, of: group, &draft, &transaction) }
                operation.add(part)
            }
        }
        for (key, value) in change.offsets {
            let packed = PackedOffsetKey(key)
            // Those of a topic that was deleted meanwhile are the sweep's.
            guard catalog.byID[key.topicID] != nil, value != nil || offset(packed, of: group) != nil else { continue }
            group.state.changedOffsets.updateValue(value, forKey: packed)
            draft.offsetCount += 1
            if !operation.fits(value) { try finish(&operation, of: group, &draft, &transaction) }
            operation.add(key, value)
        }
        try finish(&operation, of: group, &draft, &transaction)
    }

    /// Puts the operation into the journal, and notes from which entry on its changes are not in their rows.
    private func finish(
        _ operation: inout GroupOperationDraft, of group: StoredGroup, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) {
        guard !operation.isEmpty else { return }
        try record(EncodedOperation(.groupChanged, operation.fields, touching: operation.touched), &draft, &transaction)
        for key in operation.touched {
            switch key {
            case .groupRecord(_, let key):
                if group.state.unsettledRecords[key]?.since == .max { group.state.unsettledRecords[key]?.since = draft.sequence }
            case .offset(_, let key):
                if group.state.unsettledOffsets[key] == nil { group.state.unsettledOffsets[key] = draft.sequence }
            default: break
            }
        }
        operation = GroupOperationDraft(group)
    }

    /// The one object of the group. Empty ones are not listed, and go when the commit is published.
    private func group(_ id: String) -> StoredGroup {
        shared.groups.withLock { groups in
            if let group = groups[id] { return group }
            let group = StoredGroup(id)
            groups[id] = group
            return group
        }
    }

    private func hasRecord(_ key: [UInt8], _ group: StoredGroup, _ transaction: borrowing Transaction) throws(LMDBError) -> Bool {
        if let unsettled = group.state.unsettledRecords[key] { return unsettled.value != nil }
        if group.state.recordCount == 0 { return false }
        return try transaction.value(GroupRecordKey(group.id, key), in: groupDatabases.records) != nil
    }

    /// What the group has committed as of the last decision.
    private func offsetKeys(of groupID: String) -> [OffsetKey] {
        guard let group = shared.groups.withLock({ $0[groupID] }) else { return [] }
        var keys = group.published.withLock { Set($0.offsets.keys) }
        for (key, value) in group.state.changedOffsets {
            if value == nil { keys.remove(key) } else { keys.insert(key) }
        }
        return keys.map(\.key)
    }

    /// As of the last decision.
    private func offset(_ key: PackedOffsetKey, of group: StoredGroup) -> CommittedOffset? {
        if let changed = group.state.changedOffsets[key] { return changed }
        return group.published.withLock { $0.offsets[key] }
    }

    private func touch(_ group: StoredGroup, _ draft: inout CommitDraft) {
        guard !group.state.isTouched else { return }
        group.state.isTouched = true
        draft.touchedGroups.append(group)
    }

    // MARK: - Settling

    /// Brings the row of an offset to where the journal up to `sequence` is not needed for it. Returns the bytes moved.
    ///
    /// A row that stands there already is left alone: an offset that is committed all the time is written once in a turn of the journal.
    func settle(
        _ key: PackedOffsetKey, of group: StoredGroup, through sequence: UInt64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Int {
        guard let since = group.state.unsettledOffsets[key], since <= sequence else { return 0 }
        group.state.unsettledOffsets[key] = nil
        touch(group, &draft)
        draft.isDirty = true
        let rowKey = GroupOffsetKey(groupID: group.id, key: key)
        guard catalog.byID[key.topicID] != nil, let committed = offset(key, of: group) else {
            group.state.changedOffsets.updateValue(nil, forKey: key)
            try transaction.delete(rowKey, in: groupDatabases.offsets)
            return 32
        }
        var row = OffsetRow()
        row.value = OffsetFields(committed)
        row.asOf = Int64(draft.lastSequence)
        let bytes = row.encoded()
        try transaction.put(rowKey, bytes, in: groupDatabases.offsets)
        return bytes.count
    }

    /// The same for a record. Only records with changes in earlier commits come here: readers find those beside the database.
    func settle(
        _ key: [UInt8], of group: StoredGroup, through sequence: UInt64, _ draft: inout CommitDraft, _ transaction: inout Transaction
    ) throws(LMDBError) -> Int {
        guard let unsettled = group.state.unsettledRecords[key], unsettled.since <= sequence else { return 0 }
        group.state.unsettledRecords[key] = nil
        group.state.settledRecords.append(key)
        touch(group, &draft)
        draft.isDirty = true
        var rowKey = GroupRecordKey(group.id, key)
        var partCount = 0
        if let value = unsettled.value {
            partCount = GroupRecordRow.partCount(of: value.count)
            for part in 0..<partCount {
                var row = GroupRecordRow()
                row.asOf = Int64(draft.lastSequence)
                row.totalByteCount = Int32(value.count)
                row.bytes = Array(value.dropFirst(part * GroupRecordRow.byteCountMax).prefix(GroupRecordRow.byteCountMax))
                rowKey.part = UInt8(part)
                try transaction.put(rowKey, row.encoded(), in: groupDatabases.records)
            }
        }
        // What an older, longer value has left.
        for part in partCount...Int(UInt8.max) {
            rowKey.part = UInt8(part)
            guard try transaction.delete(rowKey, in: groupDatabases.records) else { break }
        }
        return 32 + (unsettled.value?.count ?? 0)
    }

    // MARK: - Offsets of deleted topics

    /// Takes away offsets of topics that are gone: looks at some, deletes fewer. The journal need not know: whoever replays it
    /// knows that the topic is gone.
    func sweepOffsets(_ draft: inout CommitDraft, _ transaction: inout Transaction) throws(LMDBError) {
        var looksLeft = OffsetSweep.looksPerCommit
        for _ in 0..<OffsetSweep.deletionsPerCommit {
            guard let (group, key) = nextDeadOffset(&looksLeft) else { return }
            try transaction.delete(GroupOffsetKey(groupID: group.id, key: key), in: groupDatabases.offsets)
            group.state.changedOffsets.updateValue(nil, forKey: key)
            touch(group, &draft)
            draft.isDirty = true
        }
    }

    private func nextDeadOffset(_ looksLeft: inout Int) -> (group: StoredGroup, key: PackedOffsetKey)? {
        while true {
            if let found = offsetSweep.found.popLast() { return found }
            guard looksLeft > 0, !offsetSweep.isIdle else { return nil }
            guard let group = offsetSweep.nextGroup(of: { shared.groups.withLock { Array($0.values) } }) else { return nil }
            looksLeft -= offsetSweep.look(into: group)
        }
    }

    // MARK: - Publishing

    /// The commit is on disk: shows readers what it did to the groups.
    func publishGroups(_ draft: CommitDraft) {
        for group in draft.touchedGroups { publish(group) }
        for case .remove(let topic) in draft.catalogChanges where offsetCounts[topic.id] != nil { offsetSweep.add(topic.id) }
    }

    private func publish(_ group: StoredGroup) {
        let isGone = group.published.withLock { published in
            for (key, value) in group.state.changedOffsets {
                let existed = published.offsets.set(key, value)
                if existed != (value != nil) { countOffsets(of: key.topicID, by: existed ? -1 : 1) }
            }
            for key in group.state.changedRecords {
                published.unsettledRecords[key] = RecordValue(bytes: group.state.unsettledRecords[key]?.value)
            }
            for key in group.state.settledRecords { published.unsettledRecords[key] = nil }
            published.recordCount = group.state.recordCount
            return !published.isListed && group.state.unsettledOffsets.isEmpty && group.state.unsettledRecords.isEmpty
        }
        group.state.forgetCommit()
        guard isGone else { return }
        // In this order: who finds the object retired finds its successor, or none. It may have one already, where it was retired before.
        shared.groups.withLock { groups in if groups[group.id] === group { groups[group.id] = nil } }
        group.published.withLock { $0.isRetired = true }
    }

    private func countOffsets(of topicID: Uuid, by change: Int) {
        let count = offsetCounts[topicID, default: 0] + change
        offsetCounts[topicID] = count > 0 ? count : nil
        if count <= 0 { offsetSweep.remove(topicID) }
    }

    // MARK: - Loading

    /// Takes over the groups of the image, when the catalog stands.
    func takeGroups(_ image: StoreImage) {
        let before = shared.groups.withLock { groups in
            defer { groups = image.groups }
            return groups
        }
        for group in before.values { group.published.withLock { $0.isRetired = true } }
        offsetCounts = [:]
        offsetSweep = OffsetSweep()
        for group in image.groups.values {
            group.published.withLock { published in
                for key in published.offsets.keys { offsetCounts[key.topicID, default: 0] += 1 }
            }
        }
        for topicID in offsetCounts.keys where catalog.byID[topicID] == nil { offsetSweep.add(topicID) }
    }
}

/// The walk over all groups that finds offsets of topics that are gone.
struct OffsetSweep {
    /// Offsets looked at, and deleted, by one commit.
    static let looksPerCommit = 50_000
    static let deletionsPerCommit = 256

    /// Topics that are gone and still have offsets.
    private(set) var topics: Set<Uuid> = []
    /// Those the walk has still to look into.
    private var groups: [StoredGroup] = []
    var found: [(group: StoredGroup, key: PackedOffsetKey)] = []
    /// A topic has come that the walk did not look for from its beginning.
    private var mustStart = false

    /// Nothing is left to look for.
    var isIdle: Bool { topics.isEmpty || found.isEmpty && groups.isEmpty && !mustStart }

    mutating func add(_ topicID: Uuid) {
        topics.insert(topicID)
        mustStart = true
    }

    mutating func remove(_ topicID: Uuid) {
        topics.remove(topicID)
        guard topics.isEmpty else { return }
        groups = []
        found = []
        mustStart = false
    }

    mutating func nextGroup(of all: () -> [StoredGroup]) -> StoredGroup? {
        if groups.isEmpty, mustStart {
            groups = all()
            mustStart = false
        }
        return groups.popLast()
    }

    /// Gathers what is to go; returns how many offsets were looked at, and one for the group.
    mutating func look(into group: StoredGroup) -> Int {
        // Few topics are gone at a time, and comparing is quicker than hashing.
        let few = topics.count <= 8 ? Array(topics) : nil
        let (dead, count) = group.published.withLock { published in
            (published.offsets.keys.filter { few?.contains($0.topicID) ?? topics.contains($0.topicID) }, published.offsets.count)
        }
        for key in dead { found.append((group, key)) }
        return count + 1
    }
}
