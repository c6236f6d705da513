internal import KafkaProtocol

// What members of groups ask. Each request is the coordinator's whole business; the answer comes when what it says is on disk.

/// JoinGroup, versions 0–9.
struct JoinGroupHandler: Handler {
    func handle(_ request: JoinGroupRequest, _ call: Call, _ reply: Reply) { call.broker.groups.join(request, call, reply) }
}

/// SyncGroup, versions 0–5. From version 5 on the member has to say what protocol it thinks was agreed on (KIP-559).
struct SyncGroupHandler: Handler {
    func handle(_ request: SyncGroupRequest, _ call: Call, _ reply: Reply) {
        guard call.header.version < 5 || request.protocolType != nil && request.protocolName != nil else {
            return reply.send(SyncGroupResponse { $0.errorCode = .inconsistentGroupProtocol })
        }
        call.broker.groups.sync(request, call, reply)
    }
}

/// Heartbeat, versions 0–4.
struct HeartbeatHandler: Handler {
    func handle(_ request: HeartbeatRequest, _ call: Call, _ reply: Reply) { call.broker.groups.heartbeat(request, call, reply) }
}

/// LeaveGroup, versions 0–5.
struct LeaveGroupHandler: Handler {
    func handle(_ request: LeaveGroupRequest, _ call: Call, _ reply: Reply) { call.broker.groups.leave(request, call, reply) }
}

/// ConsumerGroupHeartbeat, versions 0–1 (KIP-848).
struct ConsumerGroupHeartbeatHandler: Handler {
    func handle(_ request: ConsumerGroupHeartbeatRequest, _ call: Call, _ reply: Reply) {
        call.broker.groups.consumerHeartbeat(request, call, reply)
    }
}
