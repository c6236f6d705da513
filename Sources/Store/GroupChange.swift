public import KafkaProtocol

/// A piece of a group's durable state. Opaque to the store, which adds a format byte and a checksum. A nil value deletes it.
public struct GroupRecord: Sendable, Equatable {
    /// At most `GroupChange.keyByteCountMax` bytes, unique within its group.
    public var key: [UInt8]
    /// At most `GroupChange.valueByteCountMax` bytes.
    public var value: [UInt8]?

    public init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// A partition as committed offsets know it: by the id of its topic, so that a topic made anew under an old name has none.
public struct OffsetKey: Hashable, Sendable {
    public var topicID: Uuid
    public var partition: Int32

    public init(topicID: Uuid, partition: Int32) {
        self.topicID = topicID
        self.partition = partition
    }
}

/// What a group has committed for a partition.
public struct CommittedOffset: Sendable, Equatable {
    /// Of the next record to be consumed.
    public var offset: Int64
    /// Of the last consumed record (KIP-320); −1 where the client did not say.
    public var leaderEpoch: Int32
    /// The client's own words; at most `GroupChange.metadataByteCountMax` bytes.
    public var metadata: String
    /// In ms.
    public var commitTimeMs: Int64
    /// In ms; −1: by the broker's `offsets.retention.minutes`.
    public var expireTimeMs: Int64

    public init(offset: Int64, leaderEpoch: Int32 = -1, metadata: String = "", commitTimeMs: Int64, expireTimeMs: Int64 = -1) {
        self.offset = offset
        self.leaderEpoch = leaderEpoch
        self.metadata = metadata
        self.commitTimeMs = commitTimeMs
        self.expireTimeMs = expireTimeMs
    }
}

/// What changes in one group: records of its state and committed offsets.
public struct GroupChange: Sendable {
    /// At most `groupIDByteCountMax` bytes of UTF-8.
    public var groupID: String
    public var records: [GroupRecord]
    /// A nil value deletes. An offset for a topic that does not exist is passed over: it was deleted meanwhile.
    public var offsets: [(key: OffsetKey, value: CommittedOffset?)]
    /// What an open transaction will commit. Refused unless that is open and has the group in it.
    public var pendingOffsets: PendingOffsetChange?
    /// The group is deleted: all offsets that it has when it is this change's turn go, and nothing that a transaction has pending
    /// for it is committed any more.
    public var deletesOffsets: Bool

    public init(
        groupID: String, records: [GroupRecord] = [], offsets: [(key: OffsetKey, value: CommittedOffset?)] = [],
        pendingOffsets: PendingOffsetChange? = nil, deletesOffsets: Bool = false
    ) {
        self.groupID = groupID
        self.records = records
        self.offsets = offsets
        self.pendingOffsets = pendingOffsets
        self.deletesOffsets = deletesOffsets
    }

    // Keys of LMDB have at most 511 bytes: the two lengths and a part's number stand beside these.
    public static let groupIDByteCountMax = 255
    public static let keyByteCountMax = 250
    public static let valueByteCountMax = 4 << 20
    public static let metadataByteCountMax = 128 << 10

    /// About what it takes in the journal.
    var byteCount: Int {
        records.reduce(groupID.utf8.count + 16) { $0 + $1.byteCount } + offsets.reduce(0) { $0 + OffsetChanged.byteCount($1.value) }
            + (pendingOffsets?.offsets.reduce(0) { $0 + OffsetChanged.byteCount($1.value) } ?? 0)
    }

    /// Whether it deletes: offsets, or records, such as those of members that leave, beside which the group itself is written anew.
    var makesRoom: Bool {
        guard pendingOffsets == nil, offsets.allSatisfy({ $0.value == nil }) else { return false }
        return records.isEmpty || records.contains { $0.value == nil }
    }

    /// Why the store cannot hold it; nil where it can.
    var refusal: StoreError? {
        guard groupID.utf8.count <= Self.groupIDByteCountMax else {
            return .tooLarge("a group's id has at most \(Self.groupIDByteCountMax) bytes, not \(groupID.utf8.count)")
        }
        for record in records {
            guard record.key.count <= Self.keyByteCountMax else {
                return .tooLarge("the key of a record of group '\(groupID)' has \(record.key.count) bytes, at most \(Self.keyByteCountMax) are kept")
            }
            guard record.value?.count ?? 0 <= Self.valueByteCountMax else {
                return .tooLarge(
                    "a record of group '\(groupID)' has \(record.value?.count ?? 0) bytes, at most \(Self.valueByteCountMax) are kept")
            }
        }
        let longest = max(
            offsets.reduce(0) { max($0, $1.value?.metadata.utf8.count ?? 0) },
            pendingOffsets?.offsets.reduce(0) { max($0, $1.value.metadata.utf8.count) } ?? 0)
        guard longest <= Self.metadataByteCountMax else {
            return .tooLarge("the metadata of an offset has at most \(Self.metadataByteCountMax) bytes, not \(longest)")
        }
        return nil
    }
}

extension GroupRecord {
    var byteCount: Int { key.count + (value?.count ?? 0) + 16 }
}
