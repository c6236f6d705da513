internal import KafkaProtocol

/// Changes of one group: as many as one operation takes, what is more goes on in the next.
struct GroupChanged: Fields {
    var groupID = ""
    var records: [GroupRecordPart] = []
    var offsets: [OffsetChanged] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.string(&groupID)
        wire.array(&records)
        wire.array(&offsets)
        wire.tags()
    }
}

/// A record of a group, or a part of one that is larger than an operation. The parts of one follow each other.
struct GroupRecordPart: Fields {
    /// The longest part, so that an operation always fits an entry.
    static let byteCountMax = 128 << 10

    var key: [UInt8] = []
    /// Of the whole value; −1 where the record was deleted.
    var totalByteCount: Int32 = 0
    /// Where in the value the part belongs.
    var position: Int32 = 0
    var bytes: [UInt8] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.bytes(&key)
        wire.int32(&totalByteCount)
        wire.int32(&position)
        wire.bytes(&bytes)
        wire.tags()
    }

    static func parts(of record: GroupRecord) -> [GroupRecordPart] {
        var part = GroupRecordPart()
        part.key = record.key
        guard let value = record.value else {
            part.totalByteCount = -1
            return [part]
        }
        part.totalByteCount = Int32(value.count)
        if value.count <= byteCountMax {
            part.bytes = value
            return [part]
        }
        return stride(from: 0, to: value.count, by: byteCountMax).map { start in
            var next = part
            next.position = Int32(start)
            next.bytes = Array(value[start..<min(start + byteCountMax, value.count)])
            return next
        }
    }

    var byteCount: Int { key.count + bytes.count + 24 }
}

/// An offset that was committed, or deleted.
struct OffsetChanged: Fields {
    var topicID = Uuid()
    var partition: Int32 = 0
    /// Nil: deleted.
    var value: OffsetFields?

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&topicID)
        wire.int32(&partition)
        wire.optional(&value)
        wire.tags()
    }

    static func byteCount(_ value: CommittedOffset?) -> Int { 56 + (value?.metadata.utf8.count ?? 0) }

    var key: OffsetKey { OffsetKey(topicID: topicID, partition: partition) }
}

/// A committed offset, in the journal and in its row.
struct OffsetFields: Fields {
    var offset: Int64 = 0
    var leaderEpoch: Int32 = -1
    var metadata = ""
    var commitTimeMs: Int64 = 0
    var expireTimeMs: Int64 = -1

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&offset)
        wire.int32(&leaderEpoch)
        wire.string(&metadata)
        wire.int64(&commitTimeMs)
        wire.int64(&expireTimeMs)
        wire.tags()
    }

    init() {}

    init(_ committed: CommittedOffset) {
        offset = committed.offset
        leaderEpoch = committed.leaderEpoch
        metadata = committed.metadata
        commitTimeMs = committed.commitTimeMs
        expireTimeMs = committed.expireTimeMs
    }

    var committed: CommittedOffset {
        CommittedOffset(
            offset: offset, leaderEpoch: leaderEpoch, metadata: metadata, commitTimeMs: commitTimeMs, expireTimeMs: expireTimeMs)
    }
}

/// An operation of one group being put together.
struct GroupOperationDraft {
    /// With the largest item added to it, an operation still fits an entry.
    private static let byteCountMax = 240_000

    private(set) var fields = GroupChanged()
    private(set) var touched: [StateKey] = []
    private let group: StoredGroup
    private var byteCount = 512

    init(_ group: StoredGroup) {
        self.group = group
        fields.groupID = group.id
    }

    var isEmpty: Bool { touched.isEmpty }
    func fits(_ part: GroupRecordPart) -> Bool { isEmpty || byteCount + part.byteCount <= Self.byteCountMax }
    func fits(_ value: CommittedOffset?) -> Bool { isEmpty || byteCount + OffsetChanged.byteCount(value) <= Self.byteCountMax }

    mutating func add(_ part: GroupRecordPart) {
        fields.records.append(part)
        touched.append(.groupRecord(group, part.key))
        byteCount += part.byteCount
    }

    mutating func add(_ key: OffsetKey, _ value: CommittedOffset?) {
        var changed = OffsetChanged()
        changed.topicID = key.topicID
        changed.partition = key.partition
        changed.value = value.map { OffsetFields($0) }
        fields.offsets.append(changed)
        touched.append(.offset(group, PackedOffsetKey(key)))
        byteCount += OffsetChanged.byteCount(value)
    }
}
