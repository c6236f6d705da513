internal import KafkaProtocol
internal import Logging
internal import NIOPosix
internal import Store

/// ListOffsets, versions 1–10: the ends of partitions, and offsets by time (KIP-79), by greatest timestamp (KIP-734), for
/// read_committed (KIP-98), with leader epochs (KIP-320).
///
/// Nothing is kept elsewhere than here, so the earliest local offset (−4, KIP-405) is the earliest one, and there is no
/// last tiered offset (−5, KIP-1005).
struct ListOffsetsHandler: Handler {
    func handle(_ request: ListOffsetsRequest, _ call: Call, _ reply: Reply) {
        let search = OffsetSearch(request, call)
        guard search.looksIntoRecords else { return reply.send(search.response()) }
        call.broker.readers.submit { state in
            guard case .active = state else { return reply.close("the broker is shutting down") }
            reply.send(search.response())
        }
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

    private struct Place: Hashable {
        var topic: String
        var partition: Int32
    }

    private let request: ListOffsetsRequest
    private let version: Int16
    private let broker: BrokerContext
    /// Named more than once, which is an error.
    private let repeated: Set<Place>

    init(_ request: ListOffsetsRequest, _ call: Call) {
        self.request = request
        version = call.header.version
        broker = call.broker
        var seen = Set<Place>()
        var repeated = Set<Place>()
        for topic in request.topics {
            for partition in topic.partitions {
                let place = Place(topic: topic.name, partition: partition.partitionIndex)
                if !seen.insert(place).inserted { repeated.insert(place) }
            }
        }
        self.repeated = repeated
    }

    var looksIntoRecords: Bool {
        request.topics.contains { $0.partitions.contains { $0.timestamp >= 0 || $0.timestamp == Mark.maxTimestamp.rawValue } }
    }

    func response() -> ListOffsetsResponse {
        var response = ListOffsetsResponse()
        response.topics = request.topics.map { asked in
            let topic = broker.store.topic(named: asked.name)
            var answer = ListOffsetsResponse.Topic()
            answer.name = asked.name
            answer.partitions = asked.partitions.map { partition($0, asked.name, topic) }
            return answer
        }
        return response
    }

    private func partition(_ asked: ListOffsetsRequest.Partition, _ name: String, _ topic: Topic?) -> ListOffsetsResponse.Partition {
        var answer = ListOffsetsResponse.Partition()
        answer.partitionIndex = asked.partitionIndex
        do throws(ProtocolError) {
            try find(asked, name, topic, &answer)
        } catch {
            answer.errorCode = error.errorCode
        }
        return answer
    }

    private func find(
        _ asked: ListOffsetsRequest.Partition, _ name: String, _ topic: Topic?, _ answer: inout ListOffsetsResponse.Partition
    ) throws(ProtocolError) {
        if repeated.contains(Place(topic: name, partition: asked.partitionIndex)) { throw ProtocolError(.invalidRequest) }
        let partition = try ProtocolError.partition(asked.partitionIndex, of: topic)
        try ProtocolError.check(currentLeaderEpoch: asked.currentLeaderEpoch, of: partition)
        let end = request.isolationLevel == 1 ? partition.lastStableOffset : partition.highWatermark
        if asked.timestamp >= 0 {
            let found = try read { reader throws(StoreError) in try reader.offset(in: partition, atOrAfter: asked.timestamp) }
            return set(&answer, found, below: end)
        }
        guard let mark = Mark(rawValue: asked.timestamp), version >= mark.since else { throw ProtocolError(.unsupportedVersion) }
        switch mark {
        case .latest: set(&answer, offset: end, partition)
        case .earliest, .earliestLocal: set(&answer, offset: partition.logStartOffset, partition)
        case .latestTiered: break
        case .maxTimestamp:
            set(&answer, try read { reader throws(StoreError) in try reader.maxTimestamp(in: partition) }, below: end)
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
        do throws(StoreError) {
            return try broker.store.withReader(body)
        } catch {
            broker.logger.error("ListOffsets could not read: \(error)")
            throw ProtocolError(error.errorCode)
        }
    }
}
