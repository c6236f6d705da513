internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// What the replay of groups needs on the way, and nobody afterwards.
struct GroupReplay {
    /// A record that goes on in the next operation.
    struct Partial {
        var group: StoredGroup
        var key: [UInt8]
        var bytes: [UInt8]
        var since: UInt64
    }

    /// Rows of offsets that stand within the journal, and not before it.
    var settledOffsets: [StoredGroup: [PackedOffsetKey: UInt64]] = [:]
    /// The last journal entry with a change of each record.
    var lastChanges: [StoredGroup: [[UInt8]: UInt64]] = [:]
    var partial: Partial?
}

extension StoreImage {
    /// Nil where the store is of format 1 and was never opened to write since.
    mutating func readGroups(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        guard let groups = databases.groups else {
            if identity.storeFormat > 1 { throw StoreError.corrupt("the databases of groups and offsets are missing") }
            return
        }
        try countRecords(snapshot, groups.records)
        try readOffsets(snapshot, groups.offsets, journalStart: try Self.journalStart(snapshot, databases))
    }

    private static func journalStart(_ snapshot: borrowing Snapshot, _ databases: Databases) throws -> UInt64 {
        for database in [databases.journal, databases.tail] {
            guard let database, let start = try firstSequence(snapshot, database) else { continue }
            return start
        }
        return .max
    }

    private static func firstSequence(_ snapshot: borrowing Snapshot, _ database: Database) throws -> UInt64? {
        var cursor = try snapshot.cursor(in: database)
        guard try cursor.move(.first) else { return nil }
        guard cursor.key.byteCount == 8 else { throw StoreError.corrupt("a key of the journal is \(cursor.key.byteCount) bytes long") }
        return cursor.key.unsafeLoadUnaligned(as: UInt64.self)
    }

    /// The records stay where they are: only how many there are of each group is kept in memory.
    private mutating func countRecords(_ snapshot: borrowing Snapshot, _ database: Database) throws {
        var cursor = try snapshot.cursor(in: database)
        var more = try cursor.move(.first)
        while more {
            guard let key = GroupRecordKey(cursor.key) else {
                throw StoreError.corrupt("a key of the groups, of \(cursor.key.byteCount) bytes, is not in its form")
            }
            if key.part == 0 { group(String(decoding: key.groupID, as: UTF8.self)).state.recordCount += 1 }
            more = try cursor.move(.next)
        }
    }

    private mutating func readOffsets(_ snapshot: borrowing Snapshot, _ database: Database, journalStart: UInt64) throws {
        var cursor = try snapshot.cursor(in: database)
        var more = try cursor.move(.first)
        // Rows of one group follow each other.
        var prefix: [UInt8] = []
        var current: StoredGroup?
        var table = OffsetTable()
        while more {
            guard let length = GroupOffsetKey.groupByteCount(cursor.key) else {
                throw StoreError.corrupt("a key of the offsets, of \(cursor.key.byteCount) bytes, is not in its form")
            }
            let isSame = cursor.key.extracting(1..<(1 + length)).withUnsafeBytes { $0.elementsEqual(prefix) }
            if current == nil || !isSame {
                current?.published.withLock { $0.offsets = table }
                prefix = cursor.key.extracting(1..<(1 + length)).withUnsafeBytes { Array($0) }
                let next = group(String(decoding: prefix, as: UTF8.self))
                table = next.published.withLock { $0.offsets }
                current = next
            }
            let key = PackedOffsetKey(cursor.key, at: 1 + length)
            let row = try OffsetRow(cursor.value, "the offset of group '\(String(decoding: prefix, as: UTF8.self))' for partition \(key.partition) of \(key.topicID)")
            table.set(key, row.value.committed)
            if let current, UInt64(bitPattern: row.asOf) >= journalStart {
                groupReplay.settledOffsets[current, default: [:]][key] = UInt64(bitPattern: row.asOf)
            }
            more = try cursor.move(.next)
        }
        current?.published.withLock { $0.offsets = table }
    }

    private mutating func group(_ id: String) -> StoredGroup {
        if let group = groups[id] { return group }
        let group = StoredGroup(id)
        groups[id] = group
        return group
    }

    // MARK: - The journal

    mutating func apply(_ changed: GroupChanged, _ sequence: UInt64, _ touched: inout [StateKey]) {
        let group = group(changed.groupID)
        for part in changed.records {
            touched.append(.groupRecord(group, part.key))
            apply(part, to: group, sequence)
        }
        for offset in changed.offsets {
            let key = PackedOffsetKey(offset.key)
            touched.append(.offset(group, key))
            if let asOf = groupReplay.settledOffsets[group]?[key], asOf >= sequence { continue }
            group.published.withLock { _ = $0.offsets.set(key, offset.value?.committed) }
            if group.state.unsettledOffsets[key] == nil { group.state.unsettledOffsets[key] = sequence }
        }
    }

    private mutating func apply(_ part: GroupRecordPart, to group: StoredGroup, _ sequence: UInt64) {
        var partial = GroupReplay.Partial(group: group, key: part.key, bytes: part.bytes, since: sequence)
        if part.position > 0 {
            // Where the first part was trimmed away, the row holds the whole, or a deletion follows.
            guard let before = groupReplay.partial, before.group === group, before.key == part.key, before.bytes.count == Int(part.position)
            else { return groupReplay.partial = nil }
            partial.bytes = before.bytes + part.bytes
            partial.since = before.since
        }
        guard partial.bytes.count >= Int(part.totalByteCount) else { return groupReplay.partial = partial }
        groupReplay.partial = nil
        let since = group.state.unsettledRecords[part.key]?.since ?? partial.since
        group.state.unsettledRecords[part.key] = GroupState.UnsettledRecord(
            value: part.totalByteCount < 0 ? nil : partial.bytes, since: since)
        groupReplay.lastChanges[group, default: [:]][part.key] = sequence
    }

    /// After the replay: lets go of the changes that rows hold already, and of groups of which nothing is left.
    mutating func settleGroups(_ snapshot: borrowing Snapshot, _ databases: Databases) throws {
        defer { groupReplay = GroupReplay() }
        guard let database = databases.groups?.records else {
            guard groups.isEmpty else { throw StoreError.corrupt("the journal tells of groups, for which the store has no databases") }
            return
        }
        for (group, changes) in groupReplay.lastChanges {
            for (key, last) in changes {
                guard let unsettled = group.state.unsettledRecords[key] else { continue }
                var hasRow = false
                if let row = try snapshot.value(GroupRecordKey(group.id, key), in: database) {
                    hasRow = true
                    guard let asOf = GroupRecordRow.asOf(row) else {
                        throw StoreError.corrupt("a record of group '\(group.id)' is only \(row.byteCount) bytes long")
                    }
                    if asOf >= last {
                        group.state.unsettledRecords[key] = nil
                        continue
                    }
                }
                group.state.recordCount += (unsettled.value == nil ? 0 : 1) - (hasRow ? 1 : 0)
            }
        }
        for (id, group) in groups {
            let isListed = group.published.withLock { published in
                published.recordCount = group.state.recordCount
                published.unsettledRecords = group.state.unsettledRecords.mapValues { RecordValue(bytes: $0.value) }
                return published.isListed
            }
            if !isListed, group.state.unsettledOffsets.isEmpty, group.state.unsettledRecords.isEmpty { groups[id] = nil }
        }
    }
}
