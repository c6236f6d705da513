internal import Dispatch
internal import KafkaProtocol
internal import NIOCore
internal import NIOPosix
internal import Store

/// Produce, versions 3–12 (0–2 are advertised and refused, as by Kafka 4: old librdkafka stops compressing without them).
///
/// Each partition's batch is validated on the event loop, or where it has to be opened beside it, appended in the order of the request,
/// and answered with its own error (KIP-467 from version 8 on). With acks = 0 nothing is answered, and an error closes the connection.
///
/// Deviations from Kafka: acks = 1 and acks = all mean the same, on disk; `timeout` does not matter, since nobody else is
/// waited for; a partition that a request names twice is appended to twice.
///
/// Transactional batches are let in by the coordinator first, which from version 12 on brings their partitions into the
/// transaction (KIP-890); they follow behind its step without waiting for it.
struct ProduceHandler: Handler {
    var advertisedFrom: Int16 { 0 }

    func handle(_ request: ProduceRequest, _ call: Call, _ reply: Reply) {
        let intake = ProduceIntake(request, call)
        if intake.mustOpen { open(intake, request, call, reply) } else { submit(intake, request, call, reply) }
    }

    /// Decompressing and compressing take their time, and are no work for the loop. The client's next requests wait behind this one:
    /// its batches must come into their partitions in order.
    private func open(_ intake: ProduceIntake, _ request: ProduceRequest, _ call: Call, _ reply: Reply) {
        reply.hold()
        let budget = call.broker.requestBytes
        call.broker.openers.submit { state in
            guard case .active = state else { return reply.close("the broker is shutting down") }
            var intake = intake
            intake.open()
            let isWritten = DispatchSemaphore(value: 0)
            budget.take(intake.madeByteCount)
            call.lane.loop.execute { [intake] in
                call.lane.beginTurn()
                submit(intake, request, call, reply) {
                    budget.giveBack(intake.madeByteCount)
                    isWritten.signal()
                }
                reply.release()
                call.lane.endTurn()
            }
            // A small request may be made large, and sooner than the disk takes it.
            if budget.isExhausted { isWritten.wait() }
        }
    }

    /// Puts what is not refused into the store's inbox, on the loop; `finished` is called once it is on disk, or will not be.
    private func submit(
        _ intake: ProduceIntake, _ request: ProduceRequest, _ call: Call, _ reply: Reply, finished: @escaping @Sendable () -> Void = {}
    ) {
        var intake = intake
        if intake.appends.contains(where: \.header.isTransactional) { intake.refuse(Self.strangers(intake.appends, request.transactionalID, call)) }
        let topics = request.topicData
        let finish: @Sendable ([AppendResult]) -> Void = { [refusals = intake.refusals] results in
            finished()
            Self.answer(topics, results, refusals, acks: request.acks, reply)
        }
        // Even a request with nothing to append is answered in its turn, at once.
        if intake.appends.isEmpty { return finish([]) }
        call.lane.submit(.append(intake.appends, lane: call.lane, finish: finish))
    }

    /// The transactional ones among `appends` that may not be appended, by index.
    private static func strangers(_ appends: [Append], _ transactionalID: String?, _ call: Call) -> [Int: ProduceRefusal] {
        struct Producer: Hashable {
            var id: Int64
            var epoch: Int16
        }
        let transactional = appends.indices.filter { appends[$0].header.isTransactional }
        let byProducer = Dictionary(grouping: transactional) { index in
            Producer(id: appends[index].header.producerID, epoch: appends[index].header.producerEpoch)
        }
        var refusals: [Int: ProduceRefusal] = [:]
        for (producer, indexes) in byProducer {
            let codes = call.broker.transactions.admit(
                transactionalID: transactionalID, producerID: producer.id, producerEpoch: producer.epoch,
                partitions: indexes.map { appends[$0].partition.id }, version: call.header.version, call.lane)
            for (index, code) in zip(indexes, codes) where code != .none {
                refusals[index] = ProduceRefusal(code, "the batch is not part of an open transaction of its producer")
            }
        }
        return refusals
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
