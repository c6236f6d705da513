public import KafkaProtocol

/// When the offsets of a group may go (`offsets.retention.minutes`).
public enum OffsetsExpiry: Sendable, Equatable {
    /// Not now: the group has members, whatever these read, or is about to.
    case never
    /// Since its last member left, in milliseconds since 1970.
    case sinceEmpty(wallClockMs: Int64)
    /// It never had members: each offset by the time of its own commit.
    case byCommit
}

/// Which offsets may be committed, read, deleted. The offsets themselves are the store's.
extension GroupCoordinator {
    /// May these offsets be committed? `.none`, or the error for each of the partitions. A commit by a member is a sign of
    /// life. One from outside begins a group where there is none, which is for `holdCommits` to say.
    public mutating func admitCommit(
        groupID: String, memberID: String, groupInstanceID: String?, generationIDOrMemberEpoch: Int32, version: Int16, isTransactional: Bool,
        at moment: Moment
    ) -> ErrorCode {
        guard isTransactional ? Self.isValid(groupID: groupID) : Self.isValidForOffsets(groupID: groupID) else { return .invalidGroupID }
        let claim = CommitClaim(
            memberID: memberID, groupInstanceID: groupInstanceID, generationIDOrMemberEpoch: generationIDOrMemberEpoch, version: version,
            isTransactional: isTransactional)
        if let code = change(groupID, { group, _ in group.admitCommit(claim, at: moment) }) { return code }
        // Clients of earlier versions, and of transactions, know only one way to be told that they are not in the group.
        guard generationIDOrMemberEpoch < 0 else { return version >= 9 && !isTransactional ? .groupIDNotFound : .illegalGeneration }
        var group = GroupKind.classic(ClassicGroup(id: groupID, at: moment))
        return group.admitCommit(claim, at: moment)
    }

    /// Offsets that were admitted are on their way to the disk: the group is there from now on, if only for them.
    public mutating func holdCommits(of groupID: String, at moment: Moment) {
        guard groups[groupID]?.needsCommits ?? true else { return }
        if groups[groupID] == nil { groups[groupID] = .classic(ClassicGroup(id: groupID, at: moment)) }
        _ = change(groupID) { group, _ in group.setHoldsCommits(true) }
    }

    /// None of them came to be, and the group has no others.
    public mutating func letGoOfCommits(of groupID: String) {
        _ = change(groupID) { group, _ in group.setHoldsCommits(false) }
    }

    /// May this member read the group's offsets (OffsetFetch 9)? Nil and −1 say nothing, and are let through.
    public func admitFetch(groupID: String, memberID: String?, memberEpoch: Int32) -> ErrorCode {
        if case .consumer(let group) = groups[groupID] { return group.admitFetch(memberID: memberID, memberEpoch: memberEpoch) }
        // A group of the classic protocol shows its offsets to everyone, and one that is not there has none.
        return .none
    }

    /// OffsetDelete: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or which topics are in use (GROUP_SUBSCRIBED_TO_TOPIC).
    public func admitOffsetDelete(groupID: String) -> (ErrorCode, subscribedTopics: Set<String>) {
        guard Self.isValid(groupID: groupID) else { return (.invalidGroupID, []) }
        guard let group = groups[groupID] else { return (.groupIDNotFound, []) }
        switch group {
        case .classic(let group): return group.admitOffsetDelete()
        case .consumer(let group): return (.none, group.subscribedTopics(environment.topics))
        }
    }

    public func offsetsExpiry(of groupID: String) -> OffsetsExpiry {
        guard let group = groups[groupID] else { return .byCommit }
        switch group {
        case .classic(let group): return group.offsetsExpiry
        case .consumer(let group):
            return group.emptySinceMs.map { .sinceEmpty(wallClockMs: $0) } ?? .never
        }
    }
}
