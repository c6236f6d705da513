public import KafkaProtocol

/// What administrators ask.
extension GroupCoordinator {
    /// Empty filters let everything through; they do not mind upper and lower case.
    public func list(states: [String], types: [String]) -> [ListGroupsResponse.Group] {
        let states = Set(states.map { $0.lowercased() })
        let types = Set(types.map { $0.lowercased() })
        return groups.values.compactMap { group in
            let listed =
                switch group {
                case .classic(let group): group.listed
                case .consumer(let group): group.listed
                }
            guard states.isEmpty || states.contains(listed.groupState.lowercased()) else { return nil }
            guard types.isEmpty || types.contains(listed.groupType.lowercased()) else { return nil }
            return listed
        }
    }

    /// A group that is not there is Dead, and from version 6 on GROUP_ID_NOT_FOUND (KIP-1043).
    public func describe(_ groupID: String, version: Int16) -> DescribeGroupsResponse.Group {
        switch groups[groupID] {
        case .classic(let group): group.described
        // Of a group of the other protocol this API says what it says of none.
        case .consumer, nil:
            DescribeGroupsResponse.Group {
                $0.groupID = groupID
                $0.groupState = "Dead"
                guard version >= 6 else { return }
                $0.errorCode = .groupIDNotFound
                $0.errorMessage = groups[groupID] == nil ? "Group \(groupID) not found." : "Group \(groupID) is not a classic group."
            }
        }
    }

    public func describeConsumer(_ groupID: String) -> ConsumerGroupDescribeResponse.Group {
        if case .consumer(let group) = groups[groupID] { return group.described(environment) }
        return ConsumerGroupDescribeResponse.Group {
            $0.groupID = groupID
            guard Self.isValid(groupID: groupID) else { return $0.errorCode = .invalidGroupID }
            $0.errorCode = .groupIDNotFound
            $0.errorMessage = groups[groupID] == nil ? "Group \(groupID) not found." : "Group \(groupID) is not a consumer group."
        }
    }

    /// DeleteGroups: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, or the records to delete. The offsets are the caller's to
    /// delete, in the same step.
    public mutating func delete(_ groupID: String) -> (ErrorCode, GroupEffects) {
        let none = GroupEffects(groupID: groupID)
        guard Self.isValidForOffsets(groupID: groupID) else { return (.invalidGroupID, none) }
        guard var group = groups[groupID] else { return (.groupIDNotFound, none) }
        guard group.isEmpty else { return (.nonEmptyGroup, none) }
        groups[groupID] = nil
        environment.count(nil, as: groupID)
        deadlines.forget(groupID)
        var effects = group.release(answering: .unknownMemberID)
        effects.records = group.tombstones()
        return (.none, effects)
    }
}
