internal import KafkaProtocol
internal import Store

/// DescribeProducers, version 0: the idempotent producers that partitions remember (KIP-664).
struct DescribeProducersHandler: Handler {
    /// Of an answer. Nobody knows how many producers there are before the committer has looked, which takes its time: a connection has a few
    /// such requests under way.
    static let bytesExpected = 4 << 20

    /// Where a partition stands in the answer.
    private struct Place {
        var topic: Int
        var index: Int
    }

    func handle(_ request: DescribeProducersRequest, _ call: Call, _ reply: Reply) {
        let (response, asked) = Self.resolve(request, call.broker.store)
        reply.expect(Self.bytesExpected)
        let gathering = Gathering([(place: Place, outcome: AdminOutcome)](), count: asked.count) { found in
            // There may be very many.
            call.offLoop(reply, expecting: 0) { reply.send(Self.answer(response, found)) }
        }
        for (partition, place) in asked {
            call.lane.submit(
                .admin(.describeProducers(partition: partition), lane: call.lane) { outcome in
                    gathering.add { $0.append((place, outcome)) }
                })
        }
    }

    /// The answer with what is wrong with partitions that do not exist, and those that do.
    private static func resolve(
        _ request: DescribeProducersRequest, _ store: Store
    ) -> (DescribeProducersResponse, [(partition: PartitionID, place: Place)]) {
        var places: [(partition: PartitionID, place: Place)] = []
        var response = DescribeProducersResponse()
        var named = NamedPartitions()
        for (topicPlace, asked) in request.topics.enumerated() {
            let topic = store.topic(named: asked.name)
            var answer = DescribeProducersResponse.Topic()
            answer.name = asked.name
            for (place, index) in named.new(asked.partitionIndexes, of: asked.name).enumerated() {
                var partition = DescribeProducersResponse.Partition()
                partition.partitionIndex = index
                do throws(ProtocolError) {
                    places.append((try ProtocolError.partition(index, of: topic).id, Place(topic: topicPlace, index: place)))
                } catch {
                    partition.errorCode = error.errorCode
                }
                answer.partitions.append(partition)
            }
            response.topics.append(answer)
        }
        return (response, places)
    }

    private static func answer(
        _ response: DescribeProducersResponse, _ found: [(place: Place, outcome: AdminOutcome)]
    ) -> DescribeProducersResponse {
        var response = response
        for (place, outcome) in found { set(&response.topics[place.topic].partitions[place.index], outcome) }
        return response
    }

    private static func set(_ partition: inout DescribeProducersResponse.Partition, _ outcome: AdminOutcome) {
        switch outcome {
        case .producers(let producers):
            partition.activeProducers = producers.sorted { $0.producerID < $1.producerID }.map { one in
                var producer = DescribeProducersResponse.Producer()
                producer.producerID = one.producerID
                producer.producerEpoch = one.producerEpoch
                producer.lastSequence = one.lastSequence
                producer.lastTimestamp = one.lastTimestamp
                producer.coordinatorEpoch = one.coordinatorEpoch
                producer.currentTxnStartOffset = one.currentTransactionStartOffset
                return producer
            }
        case .failure(let errorCode, let message):
            partition.errorCode = errorCode
            partition.errorMessage = message
        default: partition.errorCode = .unknownServerError
        }
    }
}
