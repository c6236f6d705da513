import KafkaProtocol

// The ways out: closed by its owner, too long busy, or put out by the coordinator.
extension GroupMembership {
    var isMember: Bool {
        switch settings.protocol {
        case .classic: !identity.memberID.isEmpty
        case .consumer: consumer.hasAsked
        }
    }

    /// Who takes too long over its records must let others have the partitions, and hears of it when it comes back.
    mutating func expire(_ now: Int64) {
        guard !isPolling, !isExpired, !isLeaving, isMember, now - polledAt > settings.maxPollIntervalMs else { return }
        isExpired = true
        isVoid = true
        leaveAttempts = 1
        (request, lookUp) = (nil, nil)
    }

    /// The owner asks for records again. Where the coordinator has not been told that the member left, it is one still, which joins
    /// again for what it has lost.
    mutating func comeBack() {
        (isExpired, leaveAttempts) = (false, 0)
        if isSayingFarewell { return }
        switch settings.protocol {
        case .classic:
            if identity == Identity() { return }
            outdated(.illegalGeneration)
            classic.rejoinReason = "the consumer asks for records again"
        case .consumer:
            if identity.generation != -1 { expelled() }
        }
    }

    private var isSayingFarewell: Bool {
        switch request?.content {
        case .leave?: true
        case .consumerHeartbeat(let request)?: request.memberEpoch < 0
        default: false
        }
    }

    mutating func leave(_ now: Int64) {
        if isLeaving, owesAssignment { return }
        guard leaveAttempts > 0, isMember, let farewell = farewell() else { return depart() }
        guard hasCoordinator else {
            leaveAttempts -= 1
            return ask(.findCoordinator)
        }
        leaveAttempts -= 1
        ask(farewell)
    }

    mutating func left(_ result: Result<Response, ClientError>, _ now: Int64) {
        if let error = Self.refusal(of: result), error.isRetriable, leaveAttempts > 0 {
            trouble(error, now)
        } else {
            leaveAttempts = 0
            depart()
        }
    }

    /// Why the coordinator may not have let the member go: the others would wait for it until its session is over.
    private static func refusal(of result: Result<Response, ClientError>) -> ClientError? {
        switch result {
        case .success(.leave(let response)) where response.errorCode != .none: .broker(response.errorCode, "")
        case .success(.consumerHeartbeat(let response)) where response.errorCode != .none: .broker(response.errorCode, "")
        case .success: nil
        case .failure(let error): error
        }
    }

    private mutating func depart() {
        if isLeaving { return finish(.left) }
        // Expired, and waiting for the owner to come back.
        switch settings.protocol {
        case .classic:
            if identity != Identity() { outdated(.unknownMemberID) }
        case .consumer:
            if identity.generation != -1 { expelled() }
        }
    }

    private func farewell() -> Request? {
        switch settings.protocol {
        case .classic:
            // A static member keeps its place until its session ends (KIP-345).
            if settings.instanceID != nil { return nil }
            return .leave(
                LeaveGroupRequest {
                    ($0.groupID, $0.memberID) = (settings.groupID, identity.memberID)
                    $0.members = [
                        LeaveGroupRequest.Member {
                            $0.memberID = identity.memberID
                            $0.reason = isExpired ? "the consumer did not ask for records in time" : "the consumer is closed"
                        }
                    ]
                })
        case .consumer:
            return .consumerHeartbeat(
                ConsumerGroupHeartbeatRequest {
                    ($0.groupID, $0.memberID, $0.instanceID) = (settings.groupID, identity.memberID, settings.instanceID)
                    $0.memberEpoch = settings.instanceID == nil ? -1 : -2
                })
        }
    }

    // MARK: Put out

    mutating func commitRefused(_ code: ErrorCode) {
        switch (code, settings.protocol) {
        case (.fencedInstanceID, _): fail(Self.fenced(settings))
        case (.unknownMemberID, .classic): outdated(code)
        // While the member joins, the coordinator may be a generation ahead of what it has been told: the answer to the join,
        // which comes over another connection, brings the new one.
        case (.illegalGeneration, .classic) where classic.phase == .inside: outdated(code)
        case (.illegalGeneration, .classic), (.rebalanceInProgress, .classic): classic.isBehind = true
        case (.staleMemberEpoch, .consumer): consumer.isDue = true
        case (.unknownMemberID, .consumer), (.fencedMemberEpoch, .consumer): expelled()
        default: break
        }
    }

    static func fenced(_ settings: GroupSettings) -> ClientError {
        .broker(
            .fencedInstanceID,
            "another consumer has joined \(settings.groupID) with the instance id \(settings.instanceID ?? ""); each needs its own")
    }
}
