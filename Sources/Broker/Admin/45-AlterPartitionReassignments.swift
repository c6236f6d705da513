internal import KafkaProtocol
internal import Store

/// AlterPartitionReassignments 0 (KIP-455). Every partition is on the one broker that there is: to place it there is done already, and
/// nowhere else can it go.
struct AlterPartitionReassignmentsHandler: Handler {
    func handle(_ request: AlterPartitionReassignmentsRequest, _ call: Call, _ reply: Reply) {
        let configuration = call.broker.configuration.current
        let nodeID = configuration.nodeID
        var response = AlterPartitionReassignmentsResponse()
        // The answer says more of each than the question.
        guard request.topics.reduce(0, { $0 + $1.partitions.count }) <= configuration.partitionsMax else {
            response.errorCode = .invalidRequest
            response.errorMessage = "The request names more partitions than a broker may hold (lmbroker.partitions.max)."
            return reply.send(response)
        }
        response.responses = request.topics.map { asked in
            let count = call.broker.store.topic(named: asked.name)?.partitions.count
            var topic = AlterPartitionReassignmentsResponse.Topic()
            topic.name = asked.name
            topic.partitions = asked.partitions.map { asked in
                var partition = AlterPartitionReassignmentsResponse.Partition()
                partition.partitionIndex = asked.partitionIndex
                do throws(Refusal) { try Self.check(asked, partitionCount: count, nodeID) } catch {
                    (partition.errorCode, partition.errorMessage) = (error.code, error.message)
                }
                return partition
            }
            return topic
        }
        reply.send(response, capacity: 1024)
    }

    /// - Parameter partitionCount: Of the topic; nil where there is none.
    private static func check(_ asked: AlterPartitionReassignmentsRequest.Partition, partitionCount: Int?, _ nodeID: Int32) throws(Refusal) {
        guard let partitionCount else { throw Refusal(.unknownTopicOrPartition, "There is no such topic.") }
        guard (0..<partitionCount).contains(Int(asked.partitionIndex)) else {
            throw Refusal(.unknownTopicOrPartition, "There is no such partition.")
        }
        guard let replicas = asked.replicas else { throw Refusal(.noReassignmentInProgress, "No partition reassignment is in progress.") }
        try TopicCreation.check(replicas, nodeID: nodeID)
    }
}
