internal import KafkaProtocol

/// A group of the classic protocol: its members agree on a generation, one of them divides the partitions.
struct ClassicGroup: Sendable {
    enum State: String, Sendable {
        case empty = "Empty"
        case preparingRebalance = "PreparingRebalance"
        case completingRebalance = "CompletingRebalance"
        case stable = "Stable"
        case dead = "Dead"
    }

    let id: String
    private(set) var state = State.empty

    init(id: String, at moment: Moment) { self.id = id }

    init(id: String, records: [StateRecord], at moment: Moment) throws(GroupStateError) {
        guard let record = records.first else {
            self.init(id: id, at: moment)
            return
        }
        throw .unreadable(key: record.key)
    }

    mutating func join(_ request: JoinGroupRequest, _ caller: Caller, _ environment: inout GroupEnvironment, at moment: Moment) -> GroupEffects {
        GroupEffects(groupID: id, replies: [(caller.token, Self.refusal(of: request, .coordinatorNotAvailable))])
    }

    static func refusal(of request: JoinGroupRequest, _ code: ErrorCode) -> GroupResponse {
        .join(
            JoinGroupResponse {
                $0.errorCode = code
                $0.memberID = request.memberID
            })
    }

    mutating func sync(_ request: SyncGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        GroupEffects(groupID: id, replies: [(caller.token, .sync(SyncGroupResponse { $0.errorCode = .coordinatorNotAvailable }))])
    }

    mutating func heartbeat(_ request: HeartbeatRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        GroupEffects(groupID: id, replies: [(caller.token, .heartbeat(HeartbeatResponse { $0.errorCode = .coordinatorNotAvailable }))])
    }

    mutating func leave(_ request: LeaveGroupRequest, _ caller: Caller, at moment: Moment) -> GroupEffects {
        GroupEffects(groupID: id, replies: [(caller.token, .leave(LeaveGroupResponse { $0.errorCode = .coordinatorNotAvailable }))])
    }

    mutating func advance(to moment: Moment, _ options: GroupOptions) -> GroupEffects { GroupEffects(groupID: id) }
    mutating func admitCommit(_ claim: CommitClaim, at moment: Moment) -> ErrorCode { .none }
    mutating func release(answering code: ErrorCode) -> GroupEffects { GroupEffects(groupID: id) }
    func admitOffsetDelete() -> (ErrorCode, subscribedTopics: Set<String>) { (.none, []) }
    func tombstones() -> [StateRecord] { [] }
    var nextDeadline: Int64? { nil }
    var isForgettable: Bool { false }
    var offsetsExpiry: OffsetsExpiry { .byCommit }

    var listed: ListGroupsResponse.Group {
        ListGroupsResponse.Group {
            $0.groupID = id
            $0.groupState = state.rawValue
            $0.groupType = "classic"
        }
    }

    var described: DescribeGroupsResponse.Group {
        DescribeGroupsResponse.Group {
            $0.groupID = id
            $0.groupState = state.rawValue
        }
    }
}
