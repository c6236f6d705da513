internal import KafkaProtocol
internal import Store

/// What a part of a request is answered with where it fails.
struct ProtocolError: Error {
    var errorCode: ErrorCode

    init(_ errorCode: ErrorCode) { self.errorCode = errorCode }

    /// The partition `index` of `topic`, or UNKNOWN_TOPIC_OR_PARTITION.
    static func partition(_ index: Int32, of topic: Topic?) throws(ProtocolError) -> Partition {
        guard let topic, topic.partitions.indices.contains(Int(index)) else { throw ProtocolError(.unknownTopicOrPartition) }
        return topic.partitions[Int(index)]
    }

    /// Holds the leader epoch a client believes in against the partition's (KIP-320); −1 is none.
    static func check(currentLeaderEpoch epoch: Int32, of partition: Partition) throws(ProtocolError) {
        if epoch >= 0, epoch < partition.leaderEpoch { throw ProtocolError(.fencedLeaderEpoch) }
        if epoch > partition.leaderEpoch { throw ProtocolError(.unknownLeaderEpoch) }
    }
}
