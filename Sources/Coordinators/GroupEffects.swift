public import KafkaProtocol

/// Names a request that waits for its answer; whoever asks chooses the number.
public struct RequestToken: Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// Who sent a request, and where its answer goes.
public struct Caller: Sendable {
    public var token: RequestToken
    public var clientID: String
    /// The client's address as DescribeGroups shows it, such as `/127.0.0.1`.
    public var clientHost: String
    /// The version of the request.
    public var version: Int16

    public init(token: RequestToken, clientID: String, clientHost: String, version: Int16) {
        self.token = token
        self.clientID = clientID
        self.clientHost = clientHost
        self.version = version
    }
}

/// One piece of a group's durable state, written whole.
public struct StateRecord: Sendable, Equatable {
    /// At most 250 bytes, unique within its group. The first byte tells the protocols apart: 'C' classic, 'K' KIP-848.
    public var key: [UInt8]
    /// Nil deletes what stands under the key.
    public var value: [UInt8]?

    public init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// Records of a group that cannot be made sense of: written by a newer broker, or not by a broker at all.
public enum GroupStateError: Error, Equatable {
    /// The record under this key is shorter than it says, or of a format that this code does not know.
    case unreadable(key: [UInt8])
    /// Records are there, but not the one that says what the group is.
    case incomplete
}

/// The answer to a request about a group's members.
public enum GroupResponse: Sendable {
    case join(JoinGroupResponse)
    case sync(SyncGroupResponse)
    case heartbeat(HeartbeatResponse)
    case leave(LeaveGroupResponse)
    case consumerHeartbeat(ConsumerGroupHeartbeatResponse)

    public var errorCode: ErrorCode {
        switch self {
        case .join(let response): response.errorCode
        case .sync(let response): response.errorCode
        case .heartbeat(let response): response.errorCode
        case .leave(let response): response.errorCode
        case .consumerHeartbeat(let response): response.errorCode
        }
    }

    /// An answer of the same kind that says nothing but `code`: for a decision that could not be written down.
    public func failing(_ code: ErrorCode) -> GroupResponse {
        switch self {
        case .join(let response):
            .join(
                JoinGroupResponse {
                    $0.errorCode = code
                    $0.memberID = response.memberID
                })
        case .sync: .sync(SyncGroupResponse { $0.errorCode = code })
        case .heartbeat: .heartbeat(HeartbeatResponse { $0.errorCode = code })
        case .leave: .leave(LeaveGroupResponse { $0.errorCode = code })
        case .consumerHeartbeat: .consumerHeartbeat(ConsumerGroupHeartbeatResponse { $0.errorCode = code })
        }
    }
}

/// What follows from an event: what has to be on disk, and who may then be told what.
public struct GroupEffects: Sendable {
    public var groupID: String
    /// One atomic step, to be written in the order in which effects are returned.
    public var records: [StateRecord]
    /// They leave when `records`, and all records of this group before them, are durable.
    public var replies: [(token: RequestToken, response: GroupResponse)]

    public init(groupID: String, records: [StateRecord] = [], replies: [(token: RequestToken, response: GroupResponse)] = []) {
        self.groupID = groupID
        self.records = records
        self.replies = replies
    }

    public var isEmpty: Bool { records.isEmpty && replies.isEmpty }

    mutating func reply(_ token: RequestToken, _ response: GroupResponse) { replies.append((token, response)) }
}
