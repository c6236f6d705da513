internal import KafkaProtocol

/// A member's pattern, compiled, and what it stands for among the topics. To find that out may take a tenth of a second, so it is for the
/// coordinator's caller to do, where no group waits for it, and for the coordinator to be told (`GroupCoordinator.newPattern`).
public struct PatternLookup: Sendable {
    let text: String
    private let result: Result<Found, Refusal>

    struct Found: Sendable {
        var pattern: TopicPattern
        var names: Set<String>
        /// Of the directory: that of the names, or one before it.
        var version: UInt64
        /// In milliseconds; see `ConsumerSubscriptions.restMs`.
        var restMs: Int
    }

    public init(_ text: String, among topics: any TopicDirectory) {
        self.text = text
        result = Result { () throws(Refusal) in try Self.find(text, topics) }
    }

    /// What would cost too much is refused before the member is let in.
    func found() throws(Refusal) -> Found { try result.get() }

    private static func find(_ text: String, _ topics: any TopicDirectory) throws(Refusal) -> Found {
        do {
            let pattern = try TopicPattern(text)
            let version = topics.version
            let all = topics.names()
            var steps = TopicPattern.stepsMax
            let names = try pattern.matching(all, stepsLeft: &steps)
            let restMs = ConsumerSubscriptions.restMs(names: all.count, steps: TopicPattern.stepsMax - steps)
            return Found(pattern: pattern, names: names, version: version, restMs: restMs)
        } catch let error as TopicPattern.Malformed {
            throw Refusal(.invalidRegularExpression, "SubscribedTopicRegex `\(text.prefix(200))` is not valid: \(error.reason).")
        } catch {
            throw Refusal(.invalidRegularExpression, "SubscribedTopicRegex `\(text.prefix(200))` costs too much to match.")
        }
    }
}

extension TopicPattern {
    /// The names that match. The steps that it takes are subtracted from `stepsLeft`.
    func matching(_ names: [String], stepsLeft: inout Int) throws(TooCostly) -> Set<String> {
        var matching: Set<String> = []
        for name in names where try matches(name, stepsLeft: &stepsLeft) { matching.insert(name) }
        return matching
    }
}

extension ConsumerGroupHeartbeatRequest {
    /// Nil where the member has none, or does not say.
    var topicPattern: String? { subscribedTopicRegex.flatMap { $0.isEmpty ? nil : $0 } }
}
