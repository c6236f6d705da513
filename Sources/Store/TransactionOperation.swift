internal import KafkaProtocol

/// What is kept of a transactional id from now on. The markers of a transaction that ends are appends, and the offsets that it
/// commits are changes of their groups: all in the same commit.
struct TransactionChanged: Fields {
    var transactionalID = ""
    /// Nil: nothing is kept.
    var state: TransactionFields?

    mutating func fields(_ wire: inout some Wire) {
        wire.string(&transactionalID)
        wire.optional(&state)
        wire.tags()
    }
}

/// Offsets that a producer's transaction commits for a group when it does: as many as one operation takes.
struct OffsetsPending: Fields {
    var producerID: Int64 = -1
    var groupID = ""
    var offsets: [OffsetPending] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&producerID)
        wire.string(&groupID)
        wire.array(&offsets)
        wire.tags()
    }

    var keys: [PendingOffsetKey] { offsets.map { PendingOffsetKey(groupID: groupID, offset: PackedOffsetKey($0.key)) } }
}

struct OffsetPending: Fields {
    var topicID = Uuid()
    var partition: Int32 = 0
    var value = OffsetFields()

    mutating func fields(_ wire: inout some Wire) {
        wire.uuid(&topicID)
        wire.int32(&partition)
        value.fields(&wire)
        wire.tags()
    }

    var key: OffsetKey { OffsetKey(topicID: topicID, partition: partition) }
}

/// Of a producer's transaction, nothing is pending any more for these groups.
struct PendingOffsetsEnded: Fields {
    var producerID: Int64 = -1
    var groupIDs: [String] = []

    mutating func fields(_ wire: inout some Wire) {
        wire.int64(&producerID)
        wire.array(&groupIDs)
        wire.tags()
    }
}
