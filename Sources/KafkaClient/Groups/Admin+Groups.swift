import KafkaProtocol

/// A group, as a list of groups shows it.
public struct GroupListing: Sendable, Equatable {
    public var id: String
    /// `Stable`, `Empty` and so on; empty from brokers that do not tell (before Kafka 2.6).
    public var state: String
    /// `classic`, `consumer` and so on; empty from brokers that do not tell (before Kafka 4).
    public var type: String
    /// `consumer` for groups of consumers.
    public var protocolType: String
}

/// A group in full.
public struct GroupDescription: Sendable {
    public struct Member: Sendable {
        public var id: String
        public var instanceID: String?
        public var clientID: String
        public var host: String
        /// What it reads now.
        public var assignment: [TopicPartition]
        /// What it is to read when the rebalance is over; the same as `assignment` in the classic protocol.
        public var target: [TopicPartition]
        /// In KIP-848; nil in the classic protocol.
        public var epoch: Int32?
    }

    public var id: String
    public var state: String
    /// `classic` or `consumer`.
    public var type: String
    /// The assignor that divides the partitions; empty while there is none.
    public var assignor: String
    /// In KIP-848; nil in the classic protocol.
    public var epoch: Int32?
    public var coordinator: BrokerAddress
    public var members: [Member]
}

extension Admin {
    /// The groups that all brokers coordinate, by id.
    ///
    /// - Parameters:
    ///   - states: Only groups in these states; all when empty. Case does not matter.
    ///   - types: Only groups of these types (`classic`, `consumer`); all when empty.
    public func groups(states: [String] = [], types: [String] = []) async throws(ClientError) -> [GroupListing] {
        let request = ListGroupsRequest { ($0.statesFilter, $0.typesFilter) = (states, types) }
        return try await cluster.retrying { () async throws(ClientError) in
            var found: [String: GroupListing] = [:]
            for (_, address) in try await cluster.refresh([]).brokers.sorted(by: { $0.key < $1.key }) {
                let connection = try await cluster.connection(to: address)
                let response = try await connection.call(request)
                try check(response.errorCode, nil, "\(connection.address) does not list its groups")
                for group in response.groups {
                    found[group.groupID] = GroupListing(
                        id: group.groupID, state: group.groupState, type: group.groupType, protocolType: group.protocolType)
                }
            }
            // Brokers that know no filter send everything.
            return found.values.filter { Self.passes($0.state, states) && Self.passes($0.type, types) }.sorted { $0.id < $1.id }
        }
    }

    private static func passes(_ value: String, _ filter: [String]) -> Bool {
        filter.isEmpty || filter.contains { $0.lowercased() == value.lowercased() }
    }

    /// A group with its members, of whichever protocol, or nil if there is none of that id.
    public func describeGroup(_ id: String) async throws(ClientError) -> GroupDescription? {
        try await cluster.atCoordinator(of: id) { (connection) async throws(ClientError) in
            if connection.version(of: ConsumerGroupDescribeRequest.self) != nil {
                let request = ConsumerGroupDescribeRequest { $0.groupIDs = [id] }
                guard let group = try await connection.call(request).groups.first else { throw Self.silent(connection) }
                switch group.errorCode {
                case .none: return GroupDescription(group, coordinator: connection.address)
                // No such group, or one of the other protocol; an old broker may not have the protocol switched on.
                case .groupIDNotFound, .unsupportedVersion: break
                default: throw Self.undescribed(id, group.errorCode, group.errorMessage)
                }
            }
            let request = DescribeGroupsRequest { $0.groups = [id] }
            guard let group = try await connection.call(request).groups.first else { throw Self.silent(connection) }
            if group.errorCode == .groupIDNotFound || group.errorCode == .none && group.groupState == "Dead" { return nil }
            guard group.errorCode == .none else { throw Self.undescribed(id, group.errorCode, group.errorMessage) }
            return GroupDescription(group, coordinator: connection.address)
        }
    }

    private static func undescribed(_ id: String, _ code: ErrorCode, _ message: String?) -> ClientError {
        .broker(code, "the group \(id) cannot be described" + (message.map { ": \($0)" } ?? ""))
    }

    /// Deletes a group without members, and all that it has committed.
    public func deleteGroup(_ id: String) async throws(ClientError) {
        try await cluster.atCoordinator(of: id) { (connection) async throws(ClientError) in
            guard let result = try await connection.call(DeleteGroupsRequest { $0.groupsNames = [id] }).results.first else {
                throw Self.silent(connection)
            }
            switch result.errorCode {
            case .groupIDNotFound: throw ClientError.invalid("there is no group \(id)")
            case .nonEmptyGroup: throw Self.occupied(id)
            default: try check(result.errorCode, nil, "the group \(id) cannot be deleted")
            }
        }
    }

    // MARK: Offsets

    /// What a group has committed, for these partitions or for all. Partitions without a commit are missing.
    public func committedOffsets(
        of group: String, _ partitions: Set<TopicPartition>? = nil
    ) async throws(ClientError) -> [TopicPartition: OffsetPosition] {
        try await cluster.atCoordinator(of: group) { (connection) async throws(ClientError) in
            try await OffsetQuestion(group: group, partitions: partitions).ask(connection)
        }
    }

    /// Commits offsets for a group without members, which is made if there is none of that id.
    public func commitOffsets(of group: String, _ positions: [TopicPartition: OffsetPosition]) async throws(ClientError) {
        if positions.isEmpty { return }
        let refusals = try await cluster.atCoordinator(of: group) { (connection) async throws(ClientError) -> OffsetRefusals in
            do throws(ClientError) {
                return try await OffsetCommit(group: group, positions: positions).send(connection)
            } catch {
                switch error.code {
                case .unknownMemberID?, .illegalGeneration?, .staleMemberEpoch?, .rebalanceInProgress?: throw Self.occupied(group)
                default: throw error
                }
            }
        }
        try refusals.check()
    }

    /// Forgets what a group has committed for these partitions, whose topics none of its members may read (KIP-496).
    public func deleteOffsets(of group: String, _ partitions: Set<TopicPartition>) async throws(ClientError) {
        try await cluster.atCoordinator(of: group) { (connection) async throws(ClientError) in
            let request = OffsetDeleteRequest {
                $0.groupID = group
                $0.topics = Dictionary(grouping: partitions, by: \.topic).map { topic in
                    OffsetDeleteRequest.Topic {
                        $0.name = topic.key
                        $0.partitions = topic.value.map { partition in OffsetDeleteRequest.Partition { $0.partitionIndex = partition.partition } }
                    }
                }
            }
            let response = try await connection.call(request)
            switch response.errorCode {
            case .groupIDNotFound: throw ClientError.invalid("there is no group \(group)")
            case .nonEmptyGroup: throw Self.occupied(group)
            default: try check(response.errorCode, nil, "offsets of the group \(group) cannot be deleted")
            }
            for topic in response.topics {
                for answer in topic.partitions {
                    try check(answer.errorCode, nil, "the offset of \(group) for \(topic.name)-\(answer.partitionIndex) cannot be deleted")
                }
            }
        }
    }

    private static func occupied(_ group: String) -> ClientError {
        .broker(.nonEmptyGroup, "the group \(group) has members: stop them first")
    }
}

extension GroupDescription {
    init(_ group: ConsumerGroupDescribeResponse.Group, coordinator: BrokerAddress) {
        func partitions(_ assignment: ConsumerGroupDescribeResponse.Assignment) -> [TopicPartition] {
            assignment.topicPartitions.flatMap { topic in topic.partitions.map { TopicPartition(topic.topicName, $0) } }
        }
        self.init(
            id: group.groupID, state: group.groupState, type: "consumer", assignor: group.assignorName, epoch: group.groupEpoch,
            coordinator: coordinator,
            members: group.members.map { member in
                Member(
                    id: member.memberID, instanceID: member.instanceID, clientID: member.clientID, host: member.clientHost,
                    assignment: partitions(member.assignment), target: partitions(member.targetAssignment), epoch: member.memberEpoch)
            })
    }

    init(_ group: DescribeGroupsResponse.Group, coordinator: BrokerAddress) {
        self.init(
            id: group.groupID, state: group.groupState, type: "classic", assignor: group.protocolData, epoch: nil,
            coordinator: coordinator,
            members: group.members.map { member in
                // Other kinds of groups (Kafka Connect's) keep something else here.
                let isConsumer = group.protocolType == "consumer"
                let assignment = isConsumer ? (try? MemberAssignment(member.memberAssignment))?.partitions ?? [] : []
                return Member(
                    id: member.memberID, instanceID: member.groupInstanceID, clientID: member.clientID, host: member.clientHost,
                    assignment: assignment, target: assignment, epoch: nil)
            })
    }
}
