internal import KafkaProtocol
internal import Store

/// Tells the topics of a fetch apart: by their names, or from version 13 on by their ids.
struct FetchTopicKey: Hashable {
    let name: ExactString
    let id: Uuid

    init(name: String, id: Uuid) {
        self.name = ExactString(name)
        self.id = id
    }
}

/// One partition that a fetch asks for.
struct FetchTarget: Sendable {
    /// Empty from version 13 on.
    var topicName: String
    /// Zero up to version 12.
    var topicID: Uuid
    var usesTopicID: Bool
    var index: Int32
    var fetchOffset: Int64
    /// The first batch of an answer is delivered even if it is larger.
    var maxBytes: Int
    /// −1 where the client does not know it.
    var currentLeaderEpoch: Int32
    /// Of the last record the client has; −1 where it does not know it.
    var lastFetchedEpoch: Int32
    /// Nil while there is no such partition.
    var partition: Partition?
    private var isTopicKnown = false

    init(_ topic: FetchRequest.Topic, _ partition: FetchRequest.Partition, usesTopicID: Bool) {
        topicName = topic.topic
        topicID = topic.topicID
        self.usesTopicID = usesTopicID
        index = partition.partition
        fetchOffset = partition.fetchOffset
        maxBytes = Int(partition.partitionMaxBytes)
        currentLeaderEpoch = partition.currentLeaderEpoch
        lastFetchedEpoch = partition.lastFetchedEpoch
    }

    var topicKey: FetchTopicKey { FetchTopicKey(name: topicName, id: topicID) }

    /// What a client asks for anew of a partition that a session, or an earlier place in the same fetch, has named.
    mutating func update(_ request: FetchRequest.Partition) {
        fetchOffset = request.fetchOffset
        maxBytes = Int(request.partitionMaxBytes)
        currentLeaderEpoch = request.currentLeaderEpoch
        lastFetchedEpoch = request.lastFetchedEpoch
    }

    /// Finds the partition among those of `topic`.
    mutating func resolve(in topic: Topic?) {
        isTopicKnown = topic != nil
        guard let topic, topic.partitions.indices.contains(Int(index)) else { return partition = nil }
        partition = topic.partitions[Int(index)]
    }

    mutating func resolve(in store: Store) {
        resolve(in: usesTopicID ? store.topic(id: topicID) : store.topic(named: topicName))
    }

    /// For a partition that is not there, or with its topic is no more.
    var unknownError: ErrorCode {
        usesTopicID && (partition != nil || !isTopicKnown) ? .unknownTopicID : .unknownTopicOrPartition
    }

    /// Why there is nothing to read of a partition that looks like `look`, or `none`.
    func verdict(_ look: PartitionLook, _ partition: Partition) -> ErrorCode {
        if currentLeaderEpoch >= 0, currentLeaderEpoch != partition.leaderEpoch {
            return currentLeaderEpoch < partition.leaderEpoch ? .fencedLeaderEpoch : .unknownLeaderEpoch
        }
        if fetchOffset < look.logStartOffset { return .offsetOutOfRange }
        // Who tells its last epoch is told where the logs part, unless they have nothing in common.
        if lastFetchedEpoch >= 0 { return partition.epochEnd(of: lastFetchedEpoch).epoch < 0 ? .offsetOutOfRange : .none }
        return fetchOffset > look.highWatermark ? .offsetOutOfRange : .none
    }

    /// Where the log parted from what the client has (KIP-595), if it did.
    func divergence(_ partition: Partition) -> FetchResponse.EpochEndOffset? {
        guard lastFetchedEpoch >= 0 else { return nil }
        let end = partition.epochEnd(of: lastFetchedEpoch)
        guard end.epoch < lastFetchedEpoch || end.endOffset < fetchOffset else { return nil }
        var diverging = FetchResponse.EpochEndOffset()
        diverging.epoch = end.epoch
        diverging.endOffset = end.endOffset
        return diverging
    }
}

/// What was seen of one target, and then read of it.
struct FetchFinding: Sendable {
    /// Index of the target.
    var target: Int32
    var errorCode = ErrorCode.none
    var highWatermark: Int64 = -1
    var lastStableOffset: Int64 = -1
    var logStartOffset: Int64 = -1
    /// What of it could be read, at most what the client takes of the partition.
    var availableBytes = 0
    /// Reading touches no cold page.
    var isTail = true
    var diverging: FetchResponse.EpochEndOffset?
    /// Transactions whose records, among those that were read, a reader of committed ones passes over.
    var aborted: [AbortedTransaction] = []
    /// What was read, in the answer's records.
    var records = FrameSlice(offset: 0, length: 0)

    /// Errors and the like complete a fetch, however little there is to read.
    var isUrgent: Bool { errorCode != .none || diverging != nil }
}
