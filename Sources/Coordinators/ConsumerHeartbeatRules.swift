internal import KafkaProtocol

/// What a ConsumerGroupHeartbeat has to say, whatever the state of its group.
enum ConsumerHeartbeatRules {
    /// Topic names and pattern of one member, in bytes.
    static let subscriptionBytesMax = 1 << 20
    static let rackIDBytesMax = 1_000
    /// Partitions that one member says it has.
    static let ownedPartitionsMax = 1 << 18

    /// INVALID_REQUEST, INVALID_GROUP_ID, INVALID_REGULAR_EXPRESSION, UNSUPPORTED_ASSIGNOR
    static func check(_ request: ConsumerGroupHeartbeatRequest, version: Int16, _ options: GroupOptions) throws(Refusal) {
        func require(_ condition: Bool, _ message: String) throws(Refusal) {
            guard condition else { throw Refusal(.invalidRequest, message) }
        }
        func isBlank(_ text: String?) -> Bool { text?.utf8.allSatisfy { $0 <= 32 } ?? false }

        // Since version 1 the client makes its id (KIP-1082); before, the answer to its first request brings it.
        let needsMemberID = version >= 1 || request.memberEpoch > 0 || request.memberEpoch == ConsumerMember.leavingEpoch
        try require(!needsMemberID || !isBlank(request.memberID), "MemberId can't be empty.")
        try require(request.memberID.utf8.count <= memberIDBytesMax, "MemberId can't be longer than \(memberIDBytesMax) bytes.")
        try require(!isBlank(request.groupID), "GroupId can't be empty.")
        try require(!isBlank(request.instanceID), "InstanceId can't be empty.")
        try require(!isBlank(request.rackID), "RackId can't be empty.")
        let instanceIDBytesMax = ClassicGroup.groupInstanceIDBytesMax
        try require(request.instanceID?.utf8.count ?? 0 <= instanceIDBytesMax, "InstanceId can't be longer than \(instanceIDBytesMax) bytes.")
        try require(request.rackID?.utf8.count ?? 0 <= rackIDBytesMax, "RackId can't be longer than \(rackIDBytesMax) bytes.")
        try require(request.rebalanceTimeoutMs >= -1, "RebalanceTimeoutMs can't be negative.")
        switch request.memberEpoch {
        case 0:
            try require(request.rebalanceTimeoutMs != -1, "RebalanceTimeoutMs must be provided in first request.")
            try require(request.topicPartitions?.isEmpty ?? false, "TopicPartitions must be empty when (re-)joining.")
            try require(
                request.subscribedTopicNames != nil || request.subscribedTopicRegex != nil,
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
        case ConsumerMember.awayEpoch: try require(request.instanceID != nil, "InstanceId can't be null.")
        default: try require(request.memberEpoch >= ConsumerMember.leavingEpoch, "MemberEpoch is invalid.")
        }
        let bytes = (request.subscribedTopicNames ?? []).reduce(0) { $0 + $1.utf8.count + 1 }
        try require(bytes <= subscriptionBytesMax, "SubscribedTopicNames can't be larger than \(subscriptionBytesMax) bytes.")
        let owned = (request.topicPartitions ?? []).reduce(0) { $0 + $1.partitions.count + 1 }
        try require(owned <= ownedPartitionsMax, "TopicPartitions can't name more than \(ownedPartitionsMax) topics and partitions.")
        guard let assignor = request.serverAssignor, !options.consumerAssignors.contains(assignor) else { return }
        throw Refusal(
            .unsupportedAssignor,
            "ServerAssignor \(assignor.prefix(100)) is not supported. Supported assignors: \(options.consumerAssignors.joined(separator: ", ")).")
    }
}
