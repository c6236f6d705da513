internal import KafkaProtocol
internal import NIOCore
internal import Store
internal import Synchronization

/// What a client and the broker remember of the partitions that the client fetches again and again (KIP-227).
final class FetchSession: Sendable {
    /// What the client was last told of a partition.
    private struct Told: Equatable {
        var highWatermark: Int64 = -1
        var logStartOffset: Int64 = -1
        var isError = false
    }

    private struct State {
        /// The epoch that the next request has to bear.
        var epoch: Int32 = 1
        var targets: [FetchTarget]
        /// By target.
        var told: [Told]
        var order: [Int32]
        /// Of `targets`, by topic and partition.
        var indices: [FetchTopicKey: [Int32: Int32]] = [:]
        var lastUsed: NIODeadline

        mutating func index() {
            indices = [:]
            for (index, target) in targets.enumerated() { indices[target.topicKey, default: [:]][target.index] = Int32(index) }
        }
    }

    let id: Int32
    /// From version 13 on; a session cannot change between the two.
    let usesTopicIDs: Bool
    private let created: NIODeadline
    private let state: Mutex<State>

    init(id: Int32, plan: FetchPlan, usesTopicIDs: Bool, now: NIODeadline) {
        self.id = id
        self.usesTopicIDs = usesTopicIDs
        created = now
        var first = State(
            targets: plan.targets, told: Array(repeating: Told(), count: plan.targets.count), order: plan.order, lastUsed: now)
        first.index()
        state = Mutex(first)
    }

    var use: (created: NIODeadline, lastUsed: NIODeadline, size: Int) {
        state.withLock { (created, $0.lastUsed, $0.targets.count) }
    }

    /// Takes the changes of an incremental request. Nil if its epoch is not the one expected.
    func advance(_ request: FetchRequest, store: Store, now: NIODeadline) -> FetchPlan? {
        state.withLock { state in
            guard request.sessionEpoch == state.epoch else { return nil }
            state.epoch = state.epoch == .max ? 1 : state.epoch + 1
            state.lastUsed = now
            for topic in request.topics { change(&state, topic, store) }
            forget(&state, request.forgottenTopicsData)
            let isAllInError = state.told.allSatisfy(\.isError)
            return FetchPlan(targets: state.targets, order: state.order, session: self, isIncremental: true, wasAllInError: isAllInError)
        }
    }

    private func change(_ state: inout State, _ topic: FetchRequest.Topic, _ store: Store) {
        if topic.partitions.isEmpty { return }
        let key = FetchTopicKey(name: topic.topic, id: topic.topicID)
        var known = state.indices.removeValue(forKey: key) ?? [:]
        defer { state.indices[key] = known }
        for partition in topic.partitions {
            if let index = known[partition.partition] {
                state.targets[Int(index)].update(partition)
                continue
            }
            var target = FetchTarget(topic, partition, usesTopicID: usesTopicIDs)
            target.resolve(in: store)
            known[partition.partition] = Int32(state.targets.count)
            state.order.append(Int32(state.targets.count))
            state.targets.append(target)
            state.told.append(Told())
        }
    }

    /// A request may name any number of partitions here: only those that the session knows are taken notice of.
    private func forget(_ state: inout State, _ topics: [FetchRequest.ForgottenTopic]) {
        var forgotten = Set<Int32>()
        for topic in topics {
            guard let known = state.indices[FetchTopicKey(name: topic.topic, id: topic.topicID)] else { continue }
            for partition in topic.partitions { if let index = known[partition] { forgotten.insert(index) } }
        }
        if forgotten.isEmpty { return }
        let kept = state.order.filter { !forgotten.contains($0) }
        state.targets = kept.map { state.targets[Int($0)] }
        state.told = kept.map { state.told[Int($0)] }
        state.order = Array(0..<Int32(kept.count))
        state.index()
    }

    /// Remembers what the client is told, and picks what is news to it where `isIncremental`. Partitions with records
    /// go to the end of the order, so that each has its turn.
    func filter(_ findings: [FetchFinding], isIncremental: Bool) -> [FetchFinding] {
        state.withLock { state in
            var served = Set<Int32>()
            let news = findings.filter { finding in
                let index = Int(finding.target)
                guard state.told.indices.contains(index) else { return true }
                if finding.records.length > 0 { served.insert(finding.target) }
                // An error is told each time, and when it is over so are the bounds.
                let told =
                    finding.errorCode == .none
                    ? Told(highWatermark: finding.highWatermark, logStartOffset: finding.logStartOffset) : Told(isError: true)
                let isNews = !isIncremental || finding.isUrgent || finding.records.length > 0 || told != state.told[index]
                state.told[index] = told
                return isNews
            }
            if !served.isEmpty, served.count < state.order.count {
                state.order = state.order.filter { !served.contains($0) } + state.order.filter(served.contains)
            }
            return news
        }
    }
}
