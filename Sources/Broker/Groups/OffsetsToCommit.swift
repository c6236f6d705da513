internal import KafkaProtocol
internal import Store

/// What a client says of one partition when it commits offsets, in a transaction or not.
protocol OffsetClaim {
    var partitionIndex: Int32 { get }
    var committedOffset: Int64 { get }
    var committedLeaderEpoch: Int32 { get }
    var committedMetadata: String? { get }
}

extension OffsetCommitRequest.Partition: OffsetClaim {}
extension TxnOffsetCommitRequest.Partition: OffsetClaim {}

/// The offsets of one request that can be committed, as the store takes them, and what is wrong with the others.
struct OffsetsToCommit: Sendable {
    /// Each partition once: of one that the request names several times its last word counts, as in Kafka.
    private(set) var values: [(key: OffsetKey, value: CommittedOffset)] = []
    /// Where each partition stands in `values`.
    private var places: [OffsetKey: Int] = [:]
    /// In the request's order; an error where the offset is none of `values`.
    private var answers: [OffsetCommitResponse.Topic] = []
    private let store: Store
    private let now = WallClock.nowMs
    private let metadataBytesMax: Int
    private let expireTimeMs: Int64

    /// `retentionTimeMs`: how long the client wants them kept; −1: as long as the broker says.
    init(_ call: Call, retentionTimeMs: Int64 = -1) { self.init(call.broker, retentionTimeMs: retentionTimeMs) }

    init(_ broker: BrokerContext, retentionTimeMs: Int64 = -1) {
        store = broker.store
        metadataBytesMax = broker.configuration.current.offsetMetadataBytesMax
        let (end, overflows) = now.addingReportingOverflow(retentionTimeMs)
        expireTimeMs = retentionTimeMs < 0 ? -1 : overflows ? .max : end
    }

    mutating func add(_ name: String, _ partitions: [some OffsetClaim]) {
        let topic = store.topic(named: name)
        var answer = OffsetCommitResponse.Topic()
        answer.name = name
        answer.partitions = partitions.map { claim in
            var partition = OffsetCommitResponse.Partition()
            partition.partitionIndex = claim.partitionIndex
            partition.errorCode = add(claim, to: topic)
            return partition
        }
        answers.append(answer)
    }

    private mutating func add(_ claim: some OffsetClaim, to topic: Topic?) -> ErrorCode {
        guard let topic, topic.partitions.indices.contains(Int(claim.partitionIndex)) else { return .unknownTopicOrPartition }
        let metadata = claim.committedMetadata ?? ""
        // Kafka counts as Java does, whatever it calls it; the store counts bytes.
        guard metadata.utf16.count <= metadataBytesMax, metadata.utf8.count <= GroupChange.metadataByteCountMax else { return .offsetMetadataTooLarge }
        let value = CommittedOffset(
            offset: claim.committedOffset, leaderEpoch: claim.committedLeaderEpoch, metadata: metadata, commitTimeMs: now,
            expireTimeMs: expireTimeMs)
        let key = OffsetKey(topicID: topic.id, partition: claim.partitionIndex)
        if let place = places[key] {
            values[place].value = value
        } else {
            places[key] = values.count
            values.append((key, value))
        }
        return .none
    }

    /// The answer, where `code` became of the commit: an error is said of all partitions that are there.
    func answers(_ code: ErrorCode) -> [OffsetCommitResponse.Topic] {
        guard code != .none else { return answers }
        var answers = answers
        for topic in answers.indices {
            for partition in answers[topic].partitions.indices
            where answers[topic].partitions[partition].errorCode != .unknownTopicOrPartition {
                answers[topic].partitions[partition].errorCode = code
            }
        }
        return answers
    }
}
