internal import KafkaProtocol
internal import NIOPosix
internal import Store

/// ListOffsets, versions 1–10: the ends of partitions, and offsets by time (KIP-79), by greatest timestamp (KIP-734), for
/// read_committed (KIP-98), with leader epochs (KIP-320).
///
/// Nothing is kept elsewhere than here, so the earliest local offset (−4, KIP-405) is the earliest one, and there is no
/// last tiered offset (−5, KIP-1005).
struct ListOffsetsHandler: Handler {
    func handle(_ request: ListOffsetsRequest, _ call: Call, _ reply: Reply) {
        let search = OffsetSearch(request, call, reply)
        guard search.looksIntoRecords else { return reply.send(search.response()) }
        call.offLoop(reply, expecting: 2 * call.frame.byteCount) { reply.send(search.response()) }
    }
}

/// One ListOffsets request at work, on whichever thread may read what it needs.
private struct OffsetSearch: Sendable {
    /// What a timestamp below zero asks for, and from which version on.
    private enum Mark: Int64 {
        case latest = -1
        case earliest = -2
        case maxTimestamp = -3
        case earliestLocal = -4
        case latestTiered = -5

        var since: Int16 {
            switch self {
            case .latest, .earliest: 1
            case .maxTimestamp: 7
            case .earliestLocal: 8
            case .latestTiered: 9
            }
        }
    }

    private let request: ListOffsetsRequest
    private let version: Int16
    private let broker: BrokerContext
    private let reply: Reply
    /// Named more than once, which is an error, by topic.
    private let repeated: [ExactString: Set<Int32>]

    /// As much may come out of all compressed batches that one request has to look into: others wait for the thread meanwhile.
    private static let openableBytesMax = 256 << 20

    init(_ request: ListOffsetsRequest, _ call: Call, _ reply: Reply) {
        self.request = request
        self.reply = reply
        version = call.header.version
        broker = call.broker
        var named = NamedPartitions()
        var repeated: [ExactString: Set<Int32>] = [:]
        for topic in request.topics {
            let again = named.again(topic.partitions.map(\.partitionIndex), of: topic.name)
            if !again.isEmpty { repeated[topic.name, default: []].formUnion(again) }
        }
        self.repeated = repeated
    }

    var looksIntoRecords: Bool {
        request.topics.contains { $0.partitions.contains { $0.timestamp >= 0 || $0.timestamp == Mark.maxTimestamp.rawValue } }
    }

    func response() -> ListOffsetsResponse {
        var response = ListOffsetsResponse()
        var openableBytes = Self.openableBytesMax
        response.topics = request.topics.map { asked in
            let topic = broker.store.topic(named: asked.name)
            let repeated = repeated[asked.name] ?? []
            var answer = ListOffsetsResponse.Topic()
            answer.name = asked.name
            answer.partitions = asked.partitions.map { one in
                partition(one, topic, isRepeated: repeated.contains(one.partitionIndex), &openableBytes)
            }
            return answer
        }
        return response
    }

    private func partition(
        _ asked: ListOffsetsRequest.Partition, _ topic: Topic?, isRepeated: Bool, _ openableBytes: inout Int
    ) -> ListOffsetsResponse.Partition {
        var answer = ListOffsetsResponse.Partition()
        answer.partitionIndex = asked.partitionIndex
        do throws(ProtocolError) {
            if isRepeated { throw ProtocolError(.invalidRequest) }
            try find(asked, topic, &answer, &openableBytes)
        } catch {
            answer.errorCode = error.errorCode
        }
        return answer
    }

    private func find(
        _ asked: ListOffsetsRequest.Partition, _ topic: Topic?, _ answer: inout ListOffsetsResponse.Partition, _ openableBytes: inout Int
    ) throws(ProtocolError) {
        let partition = try ProtocolError.partition(asked.partitionIndex, of: topic)
        try ProtocolError.check(currentLeaderEpoch: asked.currentLeaderEpoch, of: partition)
        let end = request.isolationLevel == 1 ? partition.lastStableOffset : partition.highWatermark
        if asked.timestamp >= 0 {
            let found = try read { reader throws(StoreError) in
                try reader.offset(in: partition, atOrAfter: asked.timestamp, openableBytes: &openableBytes)
            }
            return set(&answer, found, below: end)
        }
        guard let mark = Mark(rawValue: asked.timestamp), version >= mark.since else { throw ProtocolError(.unsupportedVersion) }
        switch mark {
        case .latest: set(&answer, offset: end, partition)
        case .earliest, .earliestLocal: set(&answer, offset: partition.logStartOffset, partition)
        case .latestTiered: break
        case .maxTimestamp:
            let found = try read { reader throws(StoreError) in try reader.maxTimestamp(in: partition, openableBytes: &openableBytes) }
            set(&answer, found, below: end)
        }
    }

    private func set(_ answer: inout ListOffsetsResponse.Partition, offset: Int64, _ partition: Partition) {
        answer.offset = offset
        answer.leaderEpoch = partition.leaderEpoch
    }

    private func set(_ answer: inout ListOffsetsResponse.Partition, _ found: TimestampedOffset?, below end: Int64) {
        guard let found, found.offset < end else { return }
        answer.offset = found.offset
        answer.timestamp = found.timestamp
        answer.leaderEpoch = found.leaderEpoch
    }

    private func read(_ body: (LogReader) throws(StoreError) -> TimestampedOffset?) throws(ProtocolError) -> TimestampedOffset? {
        // There may be thousands of partitions still, each with an extent to read.
        if reply.isInVain { throw ProtocolError(.networkException) }
        do throws(StoreError) {
            return try broker.store.withReader(body)
        } catch {
            broker.log.error(.unreadable, "ListOffsets could not read: \(error)")
            throw ProtocolError(error.errorCode)
        }
    }
}
