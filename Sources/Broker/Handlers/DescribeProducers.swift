internal import KafkaProtocol
internal import Store

/// DescribeProducers, version 0: the idempotent producers that partitions remember (KIP-664).
struct DescribeProducersHandler: Handler {
    /// Of an answer. Nobody knows how many producers there are before the committer has looked, which takes its time: a connection has a few
    /// such requests under way.
    static let bytesExpected = 4 << 20

    func handle(_ request: DescribeProducersRequest, _ call: Call, _ reply: Reply) {
        var places: [(partition: PartitionID, topic: Int, index: Int)] = []
        var response = DescribeProducersResponse()
        var named = NamedPartitions()
        for (topicPlace, asked) in request.topics.enumerated() {
            let topic = call.broker.store.topic(named: asked.name)
            var answer = DescribeProducersResponse.Topic()
            answer.name = asked.name
            for (place, index) in named.new(asked.partitionIndexes, of: asked.name).enumerated() {
                var partition = DescribeProducersResponse.Partition()
                partition.partitionIndex = index
                do throws(ProtocolError) {
                    places.append((try ProtocolError.partition(index, of: topic).id, topicPlace, place))
                } catch {
                    partition.errorCode = error.errorCode
                }
                answer.partitions.append(partition)
            }
            response.topics.append(answer)
        }
        reply.expect(Self.bytesExpected)
        let gathering = Gathering(response, count: places.count) { reply.send($0) }
        for place in places {
            call.lane.submit(
                .admin(.describeProducers(partition: place.partition), lane: call.lane) { outcome in
                    gathering.add { Self.set(&$0.topics[place.topic].partitions[place.index], outcome) }
                })
        }
    }

    private static func set(_ partition: inout DescribeProducersResponse.Partition, _ outcome: AdminOutcome) {
        switch outcome {
        case .producers(let producers):
            partition.activeProducers = producers.map { one in
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
