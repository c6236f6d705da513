internal import KafkaProtocol

/// What the group has to say about its offsets, which are the store's.
extension ClassicGroup {
    mutating func admitCommit(_ claim: CommitClaim, at moment: Moment) -> ErrorCode {
        if claim.generationIDOrMemberEpoch < 0, state == .empty {
            // From outside: an administrator, or a consumer that picks its partitions itself.
            return .none
        }
        if claim.generationIDOrMemberEpoch >= 0 || !claim.memberID.isEmpty || claim.groupInstanceID != nil {
            let code = validate(claim.memberID, claim.groupInstanceID)
            guard code == .none else { return code }
            guard claim.generationIDOrMemberEpoch == generationID else { return .illegalGeneration }
        } else if !claim.isTransactional {
            // Older transactional producers do not say who they are.
            return .unknownMemberID
        }
        // The member knows its generation, so it can be told to join again. What it read is not lost by that.
        if state == .completingRebalance, !claim.isTransactional { return .rebalanceInProgress }
        if members[claim.memberID]?.isNew == false { touch(claim.memberID, at: moment) }
        return .none
    }

    func admitOffsetDelete() -> (ErrorCode, subscribedTopics: Set<String>) {
        guard state != .empty else { return (.none, []) }
        // Of members that do not say what they read, everything must be taken to be in use.
        guard let topics = subscribedTopics else { return (.nonEmptyGroup, []) }
        return (.none, topics)
    }

    var offsetsExpiry: OffsetsExpiry {
        switch state {
        case .empty:
            guard pendingMembers.isEmpty else { return .never }
            return emptySinceMs.map { .sinceEmpty(wallClockMs: $0) } ?? .byCommit
        case .preparingRebalance, .completingRebalance, .stable: return .never
        }
    }

    /// What the members of a group of consumers read; nil where they are something else, or their metadata is.
    var subscribedTopics: Set<String>? {
        guard protocolType == ConsumerProtocol.type, let protocolName else { return nil }
        var topics: Set<String> = []
        for member in members.values {
            guard let subscription = Self.topics(inSubscription: member.metadata(protocolName)) else { return nil }
            topics.formUnion(subscription)
        }
        return topics
    }

    /// What a consumer's metadata begins with in every version, whatever else is in it.
    private struct Subscription: Fields {
        var topics: [String] = []

        mutating func fields(_ wire: inout some Wire) { wire.array(&topics) }
    }

    /// Nil where the metadata is none of a consumer's.
    static func topics(inSubscription metadata: [UInt8]) -> Set<String>? {
        ConsumerProtocol.decode(Subscription.self, metadata).map { Set($0.topics) }
    }
}
