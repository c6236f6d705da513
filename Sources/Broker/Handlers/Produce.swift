internal import KafkaProtocol
internal import Store

/// Produce, versions 3–12 (0–2 are advertised and refused, as by Kafka 4: old librdkafka stops compressing without them).
///
/// Each partition's batch is validated on the event loop, appended in the order of the request, and answered with its own
/// error (KIP-467 from version 8 on). With acks = 0 nothing is answered, and an error closes the connection.
///
/// Deviations from Kafka: acks = 1 and acks = all mean the same, on disk; `timeout` does not matter, since nobody else is
/// waited for; a partition that a request names twice is appended to twice.
///
/// Transactional batches are let in by the coordinator first, which from version 12 on brings their partitions into the
/// transaction (KIP-890); they follow behind its step without waiting for it.
struct ProduceHandler: Handler {
    var advertisedFrom: Int16 { 0 }

    func handle(_ request: ProduceRequest, _ call: Call, _ reply: Reply) {
        var intake = ProduceIntake(call, acks: request.acks)
        var appends: [Append] = []
        var refusals: [Int: ProduceRefusal] = [:]
        appends.reserveCapacity(request.topicData.reduce(0) { $0 + $1.partitionData.count })
        var place = 0
        for topicData in request.topicData {
            let topic = call.broker.store.topic(named: topicData.name)
            for partition in topicData.partitionData {
                do throws(ProduceRefusal) {
                    appends.append(try intake.append(partition, to: topic))
                } catch {
                    refusals[place] = error
                }
                place += 1
            }
        }
        if appends.contains(where: \.header.isTransactional) {
            appends = Self.admit(appends, request.transactionalID, placeCount: place, &refusals, call)
        }
        let topics = request.topicData
        let finish: @Sendable ([AppendResult]) -> Void = { [refusals] results in
            Self.answer(topics, results, refusals, acks: request.acks, reply)
        }
        // Even a request with nothing to append is answered in its turn, at once.
        if appends.isEmpty { return finish([]) }
        call.lane.submit(.append(appends, lane: call.lane, finish: finish))
    }

    /// Leaves the batches that may be appended; the others of the transactional ones are added to `refusals`, by their place.
    private static func admit(
        _ appends: [Append], _ transactionalID: String?, placeCount: Int, _ refusals: inout [Int: ProduceRefusal], _ call: Call
    ) -> [Append] {
        struct Producer: Hashable {
            var id: Int64
            var epoch: Int16
        }
        let places = (0..<placeCount).filter { refusals[$0] == nil }
        let transactional = appends.indices.filter { appends[$0].header.isTransactional }
        let byProducer = Dictionary(grouping: transactional) { index in
            Producer(id: appends[index].header.producerID, epoch: appends[index].header.producerEpoch)
        }
        var refused: Set<Int> = []
        for (producer, indexes) in byProducer {
            let codes = call.broker.transactions.admit(
                transactionalID: transactionalID, producerID: producer.id, producerEpoch: producer.epoch,
                partitions: indexes.map { appends[$0].partition.id }, version: call.header.version, call.lane)
            for (index, code) in zip(indexes, codes) where code != .none {
                refused.insert(index)
                refusals[places[index]] = ProduceRefusal(code, "the batch is not part of an open transaction of its producer")
            }
        }
        return appends.indices.filter { !refused.contains($0) }.map { appends[$0] }
    }

    /// `results` are those of the partitions that were not refused, in the order of the request.
    private static func answer(
        _ topics: [ProduceRequest.Topic], _ results: [AppendResult], _ refusals: [Int: ProduceRefusal], acks: Int16, _ reply: Reply
    ) {
        if acks == 0 { return close(results, refusals, reply) }
        reply.send(response(topics, results, refusals), capacity: 64 + 48 * (results.count + refusals.count))
    }

    /// A value that is made where it is sent: of a variable, the compiler copies the arrays to write them.
    private static func response(
        _ topics: [ProduceRequest.Topic], _ results: [AppendResult], _ refusals: [Int: ProduceRefusal]
    ) -> ProduceResponse {
        var response = ProduceResponse()
        var place = 0
        var appended = results.makeIterator()
        response.responses = topics.map { topic in
            var answer = ProduceResponse.Topic()
            answer.name = topic.name
            answer.partitionResponses = topic.partitionData.map { partition in
                defer { place += 1 }
                if let refusal = refusals[place] { return refusal.answer(partition.index) }
                guard let result = appended.next() else { preconditionFailure("the store has answered fewer appends than it got") }
                return Self.answer(partition.index, result)
            }
            return answer
        }
        return response
    }

    private static func answer(_ index: Int32, _ result: AppendResult) -> ProduceResponse.Partition {
        var answer = ProduceResponse.Partition()
        answer.index = index
        answer.errorCode = result.errorCode
        answer.errorMessage = result.errorMessage
        answer.baseOffset = result.baseOffset
        answer.logAppendTimeMs = result.logAppendTimeMs
        answer.logStartOffset = result.logStartOffset
        return answer
    }

    /// The end of a request that wanted no answer. The only way to tell its producer of an error is to hang up.
    private static func close(_ results: [AppendResult], _ refusals: [Int: ProduceRefusal], _ reply: Reply) {
        let failed = results.first { $0.errorCode != .none }
        guard let error = refusals.values.first?.errorCode ?? failed?.errorCode else { return reply.none() }
        reply.close(.acksZeroFailed, "\(error) with acks=0")
    }
}
