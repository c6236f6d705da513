internal import KafkaProtocol
internal import Store

/// DeleteRecords 0–2 (KIP-107): moves log start offsets forward, −1 to the high watermark. Readers see it when the answer
/// comes; the extents are freed by and by.
struct DeleteRecordsHandler: Handler {
    func handle(_ request: DeleteRecordsRequest, _ call: Call, _ reply: Reply) {
        var response = DeleteRecordsResponse()
        var moves: [(topic: Int, partition: Int)] = []
        var operations: [AdminOperation] = []
        var named = NamedPartitions()
        for asked in request.topics {
            var answer = DeleteRecordsResponse.Topic()
            answer.name = asked.name
            let topic = call.broker.store.topic(named: asked.name)
            // As in Kafka, what was said last of a partition counts.
            let offsets = Dictionary(asked.partitions.map { ($0.partitionIndex, $0.offset) }, uniquingKeysWith: { $1 })
            for index in named.new(asked.partitions.map(\.partitionIndex), of: asked.name) {
                var one = DeleteRecordsResponse.Partition()
                one.partitionIndex = index
                one.lowWatermark = -1
                do throws(Refusal) {
                    operations.append(try Self.operation(topic, index, to: offsets[index] ?? -1))
                    moves.append((response.topics.count, answer.partitions.count))
                } catch {
                    one.errorCode = error.code
                }
                answer.partitions.append(one)
            }
            response.topics.append(answer)
        }
        let (draft, places) = (response, moves)
        call.perform(operations) { outcomes in
            var response = draft
            for (place, outcome) in zip(places, outcomes) {
                if case .logStart(let offset) = outcome {
                    response.topics[place.topic].partitions[place.partition].lowWatermark = offset
                } else {
                    response.topics[place.topic].partitions[place.partition].errorCode = outcome.refusal?.code ?? .unknownServerError
                }
            }
            reply.send(response)
        }
    }

    private static func operation(_ topic: Topic?, _ index: Int32, to offset: Int64) throws(Refusal) -> AdminOperation {
        guard let topic, topic.partitions.indices.contains(Int(index)) else {
            throw Refusal(.unknownTopicOrPartition, "There is no such partition.")
        }
        // Compacted records are taken away by newer ones of their key, not by offset; and without any policy they stay.
        guard topic.settings.cleanupPolicy.contains(.delete) else {
            throw Refusal(.policyViolation, "The topic's cleanup.policy has no delete in it.")
        }
        let partition = topic.partitions[Int(index)]
        guard offset >= -1, offset <= partition.highWatermark else {
            throw Refusal(.offsetOutOfRange, "The offset is beyond the high watermark.")
        }
        return .moveLogStart(partition: partition.id, to: offset)
    }
}
