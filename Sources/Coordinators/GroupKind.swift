internal import KafkaProtocol

/// A group by the protocol that it speaks. Each event takes the group out of the enum and puts it back, so that its
/// members are changed where they are and not copied.
enum GroupKind: Sendable {
    case classic(ClassicGroup)
    case consumer(ConsumerGroup)

    mutating func join(_ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.join(request, caller, &environment, at: moment)
            self = .classic(group)
            return effects
        case .consumer(var group):
            var effects = group.join(request, caller, &environment, at: moment)
            self = group.settled(&effects, environment, at: moment)
            return effects
        }
    }

    mutating func sync(
        _ request: SyncGroupRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment
    ) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.sync(request, caller, environment, at: moment)
            self = .classic(group)
            return effects
        case .consumer(var group):
            let effects = group.sync(request, caller, environment, at: moment)
            self = .consumer(group)
            return effects
        }
    }

    mutating func heartbeat(
        _ request: HeartbeatRequest, _ caller: Caller, _ environment: GroupEnvironment, at moment: Moment
    ) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.heartbeat(request, caller, at: moment)
            self = .classic(group)
            return effects
        case .consumer(var group):
            let effects = group.heartbeat(request, caller, environment, at: moment)
            self = .consumer(group)
            return effects
        }
    }

    mutating func leave(_ request: LeaveGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.leave(request, caller, environment.options, at: moment)
            self = .classic(group)
            return effects
        case .consumer(var group):
            var effects = group.leave(request, caller, at: moment)
            self = group.settled(&effects, environment, at: moment)
            return effects
        }
    }

    mutating func advance(to moment: Moment, _ environment: inout GroupEnvironment) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.advance(to: moment, environment.options)
            self = .classic(group)
            return effects
        case .consumer(var group):
            var effects = group.advance(to: moment)
            self = group.settled(&effects, environment, at: moment)
            return effects
        }
    }

    mutating func admitCommit(_ commit: CommitClaim, at moment: Moment) -> ErrorCode {
        switch consume self {
        case .classic(var group):
            let code = group.admitCommit(commit, at: moment)
            self = .classic(group)
            return code
        case .consumer(var group):
            let code = group.admitCommit(commit, at: moment)
            self = .consumer(group)
            return code
        }
    }

    /// A group of the classic protocol may be there for its offsets alone; one of the other is there since its first member.
    mutating func setHoldsCommits(_ holdsCommits: Bool) {
        switch consume self {
        case .classic(var group):
            group.holdsCommits = holdsCommits
            self = .classic(group)
        case .consumer(let group): self = .consumer(group)
        }
    }

    /// Answers everyone who waits with `code`; the group is about to be forgotten.
    mutating func release(answering code: ErrorCode) -> GroupEffects {
        switch consume self {
        case .classic(var group):
            let effects = group.release(answering: code)
            self = .classic(group)
            return effects
        case .consumer(let group):
            // Nobody waits in it: each request is answered at once.
            self = .consumer(group)
            return GroupEffects(groupID: group.id)
        }
    }

    /// Monotonic milliseconds; `advance` has nothing to do before.
    var nextDeadline: Int64? {
        switch self {
        case .classic(let group): group.nextDeadline
        case .consumer(let group): group.nextDeadline
        }
    }

    /// Nobody would notice if the group were gone: nothing of it was written, and nobody waits in it.
    var isForgettable: Bool {
        switch self {
        case .classic(let group): group.isForgettable
        case .consumer(let group): group.isForgettable
        }
    }

    /// Whether it does not know yet that it is there for offsets too: its members may go before anything of it is written.
    var needsCommits: Bool {
        if case .classic(let group) = self { !group.holdsCommits } else { false }
    }

    var isEmpty: Bool {
        switch self {
        case .classic(let group): group.state == .empty
        case .consumer(let group): group.isEmpty
        }
    }

    /// See `GroupEnvironment.patternRest`.
    var patternRestMs: Int {
        switch self {
        case .classic: 0
        case .consumer(let group): group.subscriptions.restMs
        }
    }

    /// See `HeldBytes`.
    var byteCount: Int {
        switch self {
        case .classic(let group): group.byteCount
        case .consumer(let group): group.byteCount
        }
    }

    var typeName: String {
        switch self {
        case .classic: "classic"
        case .consumer: "consumer"
        }
    }

    /// Deletes every record of the group.
    func tombstones() -> [StateRecord] {
        switch self {
        case .classic(let group): group.tombstones()
        case .consumer(let group): group.tombstones()
        }
    }
}

/// Who says that it may commit offsets.
struct CommitClaim: Sendable {
    var memberID: String
    var groupInstanceID: String?
    /// Negative: not a member, or one that does not say.
    var generationIDOrMemberEpoch: Int32
    /// The version of the request.
    var version: Int16
    var isTransactional: Bool
}
