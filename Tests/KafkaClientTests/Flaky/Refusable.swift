import KafkaProtocol

/// A request that can be answered with an error as Kafka does: at the place, or at all the places, where that error stands.
protocol Refusable: Request {
    /// The answer that refuses all of the request; nil where Kafka does not answer such a request with that error.
    func refusal(_ code: ErrorCode) -> Response?
}

/// A kind of request, with the errors that it may be answered with and that pass when it is sent again.
struct RefusableApi: Sendable {
    let key: ApiKey
    let errors: [ErrorCode]
    /// The answer on the wire, nil where the request cannot be answered so.
    let refuse: @Sendable (RequestHeader, Frame, ErrorCode) -> [UInt8]?

    init<R: Refusable>(_: R.Type, _ errors: [ErrorCode]) {
        key = R.key
        self.errors = errors
        refuse = { header, frame, code in
            guard let request = try? decodeRequest(R.self, header, frame.span), let response = request.refusal(code) else { return nil }
            let bytes = encodeResponse(response, correlationID: header.correlationID, version: header.version).bytes
            let answer = Frame(Array(bytes.dropFirst(4)))
            let read = try? decodeResponse(R.self, version: header.version, answer.span)
            precondition(Self.errors(within: read as Any).contains(code), "the answer that refuses \(R.key) version \(header.version) does not say so")
            return bytes
        }
    }

    private static func errors(within value: Any) -> [ErrorCode] {
        if let code = value as? ErrorCode { return [code] }
        return Mirror(reflecting: value).children.flatMap { errors(within: $0.value) }
    }

    static let all = records + groups + transactions + administration
    static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

    static func errors(of key: ApiKey) -> [ErrorCode] { byKey[key]?.errors ?? [] }

    /// Of whoever asks a coordinator.
    static let coordinatorErrors: [ErrorCode] = [.coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator]
    /// Of whoever asks a partition's leader.
    static let leaderErrors: [ErrorCode] = [
        .notLeaderOrFollower, .leaderNotAvailable, .replicaNotAvailable, .kafkaStorageError, .unknownTopicOrPartition,
    ]
    /// Of whoever names the leader's epoch, or might.
    static let epochErrors: [ErrorCode] = [.fencedLeaderEpoch, .unknownLeaderEpoch, .offsetNotAvailable]
    /// Of whoever asks the controller.
    static let controllerErrors: [ErrorCode] = [.notController, .requestTimedOut, .throttlingQuotaExceeded]
}
