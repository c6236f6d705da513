internal import DequeModule
internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import Store
internal import Synchronization

/// Lets one request at a time alter configs: each replaces a whole set that was derived from the one before it, and two
/// at a time would lose one of the two.
final class AlterationOrder: Sendable {
    private struct Line {
        var waiting: Deque<@Sendable () -> Void> = []
        var isTaken = false
    }

    private let line = Mutex(Line())

    /// Runs `body` on the call's loop, at once or when those before it have left; `body` ends in `leave`.
    func enter(_ call: Call, _ body: @escaping @Sendable () -> Void) {
        let loop = call.lane.loop
        let isFirst = line.withLock { line in
            if line.isTaken { line.waiting.append { loop.execute(body) } }
            defer { line.isTaken = true }
            return !line.isTaken
        }
        if isFirst { body() }
    }

    func leave() {
        let next = line.withLock { line in
            let next = line.waiting.popFirst()
            line.isTaken = next != nil
            return next
        }
        next?()
    }
}

/// What one request alters, resource by resource: decided on one loop, committed together, answered in order.
struct ConfigAlterations {
    struct Target: Hashable {
        let type: Int8
        let name: String
    }

    /// The outcome for each resource; nil while it waits for the store.
    private(set) var results: [Refusal?] = []
    private var operations: [(results: [Int], operation: AdminOperation)] = []
    /// The dynamic broker configs as they will be, when any are altered.
    private var brokerConfigs: [String: String]?
    private var brokerResults: [Int] = []
    private let broker: BrokerContext
    private let counts: [Target: Int]

    init(_ targets: [Target], _ broker: BrokerContext) {
        self.broker = broker
        counts = Dictionary(targets.map { ($0, 1) }, uniquingKeysWith: +)
    }

    /// Decides one resource. `alter` gets the overrides in force and what to fall back on, and returns the new overrides.
    mutating func alter(
        _ target: Target,
        _ alter: (AlterableConfigs, [String: String], (String) -> String?) throws(ConfigurationRefusal) -> [String: String]
    ) {
        do throws(Refusal) {
            guard counts[target] == 1 else { throw Refusal(.invalidRequest, "Each resource must appear at most once.") }
            try decide(ConfigResource(type: target.type, name: target.name, broker), alter)
            results.append(nil)
        } catch {
            results.append(error)
        }
    }

    private mutating func decide(
        _ resource: ConfigResource,
        _ alter: (AlterableConfigs, [String: String], (String) -> String?) throws(ConfigurationRefusal) -> [String: String]
    ) throws(Refusal) {
        let layers = broker.configuration.current.layers
        do throws(ConfigurationRefusal) {
            switch resource {
            case .topic(let topic):
                let configs = try alter(.topic, topic.configs) { layers.describeTopic(overrides: [:], [$0]).first?.value }
                operations.append(([results.count], .setTopicConfigs(topicID: topic.id, configs: configs)))
            case .broker(let isDefault):
                let stored = brokerConfigs ?? broker.store.brokerConfigs()
                var current = layers
                current.setDynamic(stored)
                let overrides = isDefault ? current.clusterOverrides : current.brokerOverrides
                let altered = try alter(.broker, overrides) { current[$0] }
                brokerConfigs = layers.stored(stored, replacing: altered, ofBroker: !isDefault)
                brokerResults.append(results.count)
            case .brokerLogger:
                throw ConfigurationRefusal(kind: .invalidRequest, message: "Alter lmbroker.log.level of the broker instead.")
            }
        } catch {
            throw Refusal(error)
        }
    }

    /// Has the store keep what was decided, unless it was only to be validated, and hands over the results.
    consuming func commit(validateOnly: Bool, _ call: Call, then finish: @escaping @Sendable ([Refusal?]) -> Void) {
        guard !validateOnly else { return finish(results) }
        var operations = operations
        if let brokerConfigs { operations.append((brokerResults, .setBrokerConfigs(brokerConfigs))) }
        let (drafts, planned, altersBroker) = (results, operations, brokerConfigs != nil)
        call.perform(operations.map(\.operation)) { outcomes in
            var results = drafts
            for (entry, outcome) in zip(planned, outcomes) { for index in entry.results { results[index] = outcome.refusal } }
            let settled = results
            guard altersBroker else { return finish(settled) }
            call.perform([call.broker.applyStoredConfiguration()]) { _ in finish(settled) }
        }
    }
}

extension BrokerContext {
    /// Puts the dynamic broker configs that the store keeps into force: at the start, and after each change of them.
    /// Returns what is left for the store to do.
    func applyStoredConfiguration() -> AdminOperation {
        for complaint in configuration.apply(dynamic: store.brokerConfigs()) { logger.warning("\(complaint)") }
        return .setTopicDefaults(configuration.current.topicDefaults)
    }
}
