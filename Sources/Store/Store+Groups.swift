internal import KafkaProtocol
internal import LMDB
internal import Synchronization

/// Groups and committed offsets: what is on disk, never what is on its way there.
extension Store {
    /// Nil where the group has committed none, or the topic is gone.
    public func committedOffset(_ groupID: String, _ key: OffsetKey) -> CommittedOffset? { committedOffsets(of: groupID, at: [key])[0] }

    /// What the group has committed for each of these, as of one commit. Nil as above.
    public func committedOffsets(of groupID: String, at keys: [OffsetKey]) -> [CommittedOffset?] {
        guard let group = shared.groups.withLock({ $0[groupID] }) else { return keys.map { _ in nil } }
        let offsets = group.published.withLock { published in keys.map { published.offsets[PackedOffsetKey($0)] } }
        return zip(keys, offsets).map { key, offset in offset != nil && topic(id: key.topicID) != nil ? offset : nil }
    }

    /// All that the group has committed for topics that exist, as of one commit.
    public func committedOffsets(of groupID: String) -> [OffsetKey: CommittedOffset] {
        guard let group = shared.groups.withLock({ $0[groupID] }) else { return [:] }
        let table = group.published.withLock { $0.offsets }
        var isThere: [Uuid: Bool] = [:]
        var offsets: [OffsetKey: CommittedOffset] = [:]
        for packed in table.keys {
            let key = packed.key
            let exists = isThere[key.topicID] ?? (topic(id: key.topicID) != nil)
            isThere[key.topicID] = exists
            if exists { offsets[key] = table[packed] }
        }
        return offsets
    }

    /// The groups that have records or offsets, in no order.
    public func groupIDs() -> [String] {
        let groups = shared.groups.withLock { Array($0.values) }
        return groups.compactMap { group in group.published.withLock { $0.isListed } ? group.id : nil }
    }

    /// Whether the group has records or offsets.
    public func hasGroup(_ groupID: String) -> Bool {
        shared.groups.withLock({ $0[groupID] })?.published.withLock { $0.isListed } ?? false
    }

    /// The group's records as of one commit, by their keys. None of them has a nil value.
    public func groupRecords(of groupID: String) throws(StoreError) -> [GroupRecord] {
        while true {
            guard let group = shared.groups.withLock({ $0[groupID] }) else { return [] }
            let records = try withReader { reader throws(StoreError) in try Self.records(of: group, reader) }
            if let records { return records }
        }
    }

    /// Nil where the group has another object by now.
    private static func records(of group: StoredGroup, _ reader: LogReader) throws(StoreError) -> [GroupRecord]? {
        // The snapshot is taken while nothing can be published. It may show one commit more, which is on disk and not published yet;
        // but a commit rewrites only rows of records that are unsettled when it begins, and those do not count.
        let unsettled = try group.published.withLock { published throws(StoreError) -> [[UInt8]: RecordValue]? in
            if published.isRetired { return nil }
            try reader.renew()
            return published.unsettledRecords
        }
        guard let unsettled else { return nil }
        var records = try reader.groupRecords(of: group.id)
        for (key, value) in unsettled { records[key] = value.bytes }
        return records.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { GroupRecord(key: $0.key, value: $0.value) }
    }

    /// Grows with each published change of topics. What is looked up after reading it is at least as new.
    public var catalogVersion: UInt64 { shared.catalog.withLock { $0.version } }
}

extension LogReader {
    fileprivate func groupRecords(of groupID: String) throws(StoreError) -> [[UInt8]: [UInt8]] {
        guard let database = databases.groups?.records else { return [:] }
        do { return try snapshot.groupRecords(of: groupID, in: database) } catch let error as LMDBError {
            throw StoreError(error, "reading the records of group '\(groupID)'")
        } catch let error as StoreError {
            throw error
        } catch {
            throw .system("\(error)")
        }
    }
}

extension Snapshot {
    /// The rows of a group, the parts of each value put together.
    fileprivate borrowing func groupRecords(of groupID: String, in database: Database) throws -> [[UInt8]: [UInt8]] {
        var records: [[UInt8]: [UInt8]] = [:]
        // Bytes that are still to come of the value begun last.
        var missing = 0
        // The length of its id before it makes the bytes of a group a prefix of nobody else's.
        let prefix = [UInt8(truncatingIfNeeded: groupID.utf8.count)] + Array(groupID.utf8)
        var cursor = try cursor(in: database)
        var more = try cursor.seek(prefix)
        while more, let key = GroupRecordKey(cursor.key), key.groupID.elementsEqual(groupID.utf8) {
            let row = try GroupRecordRow(cursor.value, "a record of group '\(groupID)'")
            if key.part == 0 {
                if missing != 0 { break }
                missing = Int(row.totalByteCount)
            }
            records[key.key, default: []] += row.bytes
            missing -= row.bytes.count
            more = try cursor.move(.next)
        }
        guard missing == 0 else { throw StoreError.corrupt("a part of a record of group '\(groupID)' is missing") }
        return records
    }
}
