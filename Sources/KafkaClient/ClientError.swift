public import KafkaProtocol

/// Why something asked of a Kafka cluster did not happen, each with a sentence for people.
public enum ClientError: Error, Sendable, Equatable {
    /// Nothing answers at the address, or what answers does not speak Kafka's protocol.
    case cannotConnect(String)
    /// The connection broke, or was closed by the broker, with the request unanswered: it may have been carried out.
    case connectionLost(String)
    /// No answer in time; the request may have been carried out.
    case timedOut(String)
    /// The broker answered with an error.
    case broker(ErrorCode, String)
    /// The broker speaks no version of the request that this client speaks.
    case unsupported(String)
    /// The broker's answer cannot be understood, or its records are damaged.
    case malformed(String)
    /// What was asked for makes no sense: a partition that is not there, a record larger than a batch.
    case invalid(String)
    /// The producer, consumer or connection was closed by its owner.
    case closed
}

extension ClientError {
    /// Whether the same request may succeed a little later, perhaps at another broker.
    public var isRetriable: Bool {
        switch self {
        case .cannotConnect, .connectionLost, .timedOut: true
        case .broker(let code, _): code.isRetriable
        case .unsupported, .malformed, .invalid, .closed: false
        }
    }

    /// The broker's error code, if it was the broker that refused.
    public var code: ErrorCode? {
        if case .broker(let code, _) = self { code } else { nil }
    }
}

extension ClientError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .cannotConnect(let sentence), .connectionLost(let sentence), .timedOut(let sentence), .unsupported(let sentence),
            .malformed(let sentence), .invalid(let sentence):
            sentence
        case .broker(let code, let sentence): sentence.isEmpty ? "the broker answered \(code)" : "\(sentence) (\(code))"
        case .closed: "the client is closed"
        }
    }
}
