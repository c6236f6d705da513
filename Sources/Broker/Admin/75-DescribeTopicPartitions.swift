internal import KafkaProtocol
internal import Store

/// DescribeTopicPartitions 0 (KIP-966): topics in the order of their names, page by page. A single broker has no replicas
/// that could be eligible besides the leader.
struct DescribeTopicPartitionsHandler: Handler {
    func handle(_ request: DescribeTopicPartitionsRequest, _ call: Call, _ reply: Reply) {
        let send: @Sendable () -> Void = { answer(request, call, reply) }
        // All of them are put in order for each page.
        if max(call.broker.store.partitionCount, request.topics.count) > Call.partitionsOnLoopMax { call.offLoop(reply, send) } else { send() }
    }

    private func answer(_ request: DescribeTopicPartitionsRequest, _ call: Call, _ reply: Reply) {
        let configuration = call.broker.configuration.current
        var page = Page(
            left: max(1, min(Int(request.responsePartitionLimit), configuration.describedPartitionsMax)), nodes: [configuration.nodeID])
        let store = call.broker.store
        let lookups: [(name: String, topic: Topic?)] =
            request.topics.isEmpty
            ? store.topics().map { ($0.name, $0) }
            : Set(request.topics.map(\.name)).sorted().map { ($0, store.topic(named: $0)) }
        let limit = page.left
        var start = 0
        for lookup in lookups {
            if let cursor = request.cursor {
                if lookup.name < cursor.topicName { continue }
                start = lookup.name == cursor.topicName ? max(0, Int(cursor.partitionIndex)) : 0
            }
            guard page.add(lookup.name, lookup.topic, from: start) else { break }
        }
        reply.send(page.response, capacity: 256 + 64 * (limit - page.left))
    }

    /// What one answer holds.
    private struct Page {
        /// How many more partitions may go in.
        var left: Int
        let nodes: [Int32]
        var response = DescribeTopicPartitionsResponse()

        /// Adds what has room of a topic; false when the page is full and the cursor says where to go on.
        mutating func add(_ name: String, _ topic: Topic?, from start: Int) -> Bool {
            guard left > 0 else { return stop(name, start) }
            var described = DescribeTopicPartitionsResponse.Topic()
            described.name = name
            guard let topic else {
                described.errorCode = TopicName.complaint(about: name) == nil ? .unknownTopicOrPartition : .invalidTopicException
                response.topics.append(described)
                left -= 1
                return true
            }
            described.topicID = topic.id
            described.topicAuthorizedOperations = AuthorizedOperations.topic
            let taken = topic.partitions.dropFirst(start).prefix(left)
            described.partitions = taken.map { partition in
                var one = DescribeTopicPartitionsResponse.Partition()
                one.partitionIndex = partition.index
                one.leaderID = nodes[0]
                one.leaderEpoch = partition.leaderEpoch
                one.replicaNodes = nodes
                one.isrNodes = nodes
                one.eligibleLeaderReplicas = []
                one.lastKnownElr = []
                return one
            }
            response.topics.append(described)
            left -= taken.count
            let end = start + taken.count
            return end < topic.partitions.count ? stop(name, end) : true
        }

        private mutating func stop(_ name: String, _ partition: Int) -> Bool {
            var cursor = DescribeTopicPartitionsResponse.Cursor()
            cursor.topicName = name
            cursor.partitionIndex = Int32(partition)
            response.nextCursor = cursor
            return false
        }
    }
}
