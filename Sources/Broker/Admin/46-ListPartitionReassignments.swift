internal import KafkaProtocol

/// ListPartitionReassignments 0 (KIP-455). Nothing is ever on its way to another broker.
struct ListPartitionReassignmentsHandler: Handler {
    func handle(_ request: ListPartitionReassignmentsRequest, _ call: Call, _ reply: Reply) { reply.send(ListPartitionReassignmentsResponse()) }
}
