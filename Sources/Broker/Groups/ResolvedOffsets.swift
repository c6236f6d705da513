internal import KafkaProtocol
internal import Store

/// The offsets of one request, as the store takes them.
struct ResolvedOffsets: Sendable {
    private(set) var values: [(key: OffsetKey, value: CommittedOffset)] = []
    private let now = WallClock.nowMs
    private let metadataBytesMax: Int
    private let expireTimeMs: Int64

    /// `retentionTimeMs`: how long the client wants them kept; −1: as long as the broker says.
    init(_ call: Call, retentionTimeMs: Int64 = -1) {
        metadataBytesMax = call.broker.configuration.current.offsetMetadataBytesMax
        let (end, overflows) = now.addingReportingOverflow(retentionTimeMs)
        expireTimeMs = retentionTimeMs < 0 ? -1 : overflows ? .max : end
    }

    var isEmpty: Bool { values.isEmpty }

    /// Takes an offset in, or says why not.
    mutating func add(_ topic: Topic?, _ index: Int32, offset: Int64, leaderEpoch: Int32, metadata: String?) -> ErrorCode {
        guard let topic, topic.partitions.indices.contains(Int(index)) else { return .unknownTopicOrPartition }
        let metadata = metadata ?? ""
        guard metadata.utf8.count <= metadataBytesMax else { return .offsetMetadataTooLarge }
        let value = CommittedOffset(offset: offset, leaderEpoch: leaderEpoch, metadata: metadata, commitTimeMs: now, expireTimeMs: expireTimeMs)
        values.append((OffsetKey(topicID: topic.id, partition: index), value))
        return .none
    }
}
