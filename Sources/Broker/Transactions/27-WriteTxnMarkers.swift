internal import KafkaProtocol
internal import Store

/// WriteTxnMarkers, version 1, as the admin tools send it to end a hanging transaction (KIP-664). A transaction that the
/// coordinator knows is never torn: an abort of one of its partitions aborts all of it, a commit is refused.
struct WriteTxnMarkersHandler: Handler {
    func handle(_ request: WriteTxnMarkersRequest, _ call: Call, _ reply: Reply) {
        var response = WriteTxnMarkersResponse()
        var found: [[PartitionID]] = []
        for marker in request.markers {
            var (answer, partitions) = Self.resolve(marker, call.broker.store)
            answer.producerID = marker.producerID
            response.markers.append(answer)
            found.append(partitions)
        }
        let gathering = Gathering(response, count: found.count) { reply.send($0) }
        for (index, partitions) in found.enumerated() {
            guard !partitions.isEmpty else {
                gathering.add { _ in }
                continue
            }
            call.broker.transactions.writeMarkers(request.markers[index], partitions: partitions, call.lane) { code in
                gathering.add { Self.set(code, &$0.markers[index]) }
            }
        }
    }

    /// The answer with what is wrong with partitions that do not exist, and those that do.
    private static func resolve(
        _ marker: WriteTxnMarkersRequest.Marker, _ store: Store
    ) -> (WriteTxnMarkersResponse.Marker, [PartitionID]) {
        var partitions: [PartitionID] = []
        var answer = WriteTxnMarkersResponse.Marker()
        var named = NamedPartitions()
        answer.topics = marker.topics.map { asked in
            let topic = store.topic(named: asked.name)
            var one = WriteTxnMarkersResponse.Topic()
            one.name = asked.name
            one.partitions = named.new(asked.partitionIndexes, of: asked.name).map { index in
                var partition = WriteTxnMarkersResponse.Partition()
                partition.partitionIndex = index
                if let topic, topic.partitions.indices.contains(Int(index)) {
                    partitions.append(topic.partitions[Int(index)].id)
                } else {
                    partition.errorCode = .unknownTopicOrPartition
                }
                return partition
            }
            return one
        }
        return (answer, partitions)
    }

    private static func set(_ code: ErrorCode, _ marker: inout WriteTxnMarkersResponse.Marker) {
        for topic in marker.topics.indices {
            for partition in marker.topics[topic].partitions.indices where marker.topics[topic].partitions[partition].errorCode == .none {
                marker.topics[topic].partitions[partition].errorCode = code
            }
        }
    }
}
