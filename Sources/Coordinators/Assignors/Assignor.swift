internal import KafkaProtocol

/// What is to be shared among whom.
struct AssignmentProblem: Sendable {
    struct Member: Sendable {
        var id: String
        /// Only topics of `partitionCounts`.
        var topicIDs: Set<Uuid>
        /// What the member was to have until now; may name what is no longer there or no longer its own.
        var previous: PartitionSet
    }

    /// In an order that stays the same, such as by id.
    var members: [Member]
    var partitionCounts: [Uuid: Int32]
}

/// Shares the partitions of topics among the members that are subscribed to them: each partition goes to exactly one
/// of its subscribers. Pure, and the same for the same problem.
enum Assignor: String, Sendable, CaseIterable {
    /// Loads as even as the subscriptions allow.
    case uniform
    /// By topic, so that topics with as many partitions and the same subscribers are cut alike.
    case range

    /// What each member is to have, in the order of `problem.members`.
    func assign(_ problem: AssignmentProblem) -> [PartitionSet] {
        switch self {
        case .uniform:
            var assignment = UniformAssignment(problem)
            return assignment.solve()
        case .range: return rangeAssignment(problem)
        }
    }
}
