internal import KafkaProtocol
internal import Store

/// Metadata 0–13 (KIP-516, KIP-1102). A topic that does not exist is created before the answer when client and broker
/// agree to it; Kafka answers first and lets the client ask again. Without authorisation every operation is allowed.
struct MetadataHandler: Handler {
    func handle(_ request: MetadataRequest, _ call: Call, _ reply: Reply) {
        guard let asked = request.topics else { return answerAll(request, call, reply) }
        let isByID = asked.contains { !$0.topicID.isZero }
        if isByID, reply.version < 12 {
            return reply.send(Self.response(asked.map { Self.refused($0, .invalidRequest) }, request, call))
        }
        let lookups = Self.unique(isByID ? Self.byIDs(asked) : asked)
        var creation = TopicCreation(call.broker)
        let mayCreate = request.allowAutoTopicCreation && call.broker.configuration.current.autoCreateTopics
        var found: [Found] = []
        var operations: [AdminOperation] = []
        for lookup in lookups {
            let one = Self.find(lookup, mayCreate: mayCreate, &creation, call.broker.store)
            if case .planned(let plan, _) = one { operations.append(plan.operation) }
            found.append(one)
        }
        guard !operations.isEmpty else { return answer(found, request, call, reply) }
        let awaited = found
        call.perform(operations) { outcomes in
            var outcomes = outcomes[...]
            let settled = awaited.map { one in
                guard case .planned(let plan, let lookup) = one, let outcome = outcomes.popFirst() else { return one }
                return Self.settle(plan, lookup, outcome, call.broker.store)
            }
            answer(settled, request, call, reply)
        }
    }

    /// What became of one asked-for topic.
    private enum Found: Sendable {
        case topic(Topic)
        case planned(TopicCreation.Plan, MetadataRequest.Topic)
        case refused(MetadataRequest.Topic, ErrorCode)
    }

    private static func find(
        _ lookup: MetadataRequest.Topic, mayCreate: Bool, _ creation: inout TopicCreation, _ store: Store
    ) -> Found {
        guard let name = lookup.name else {
            if lookup.topicID.isZero { return .refused(lookup, .invalidRequest) }
            return store.topic(id: lookup.topicID).map { .topic($0) } ?? .refused(lookup, .unknownTopicID)
        }
        if let topic = store.topic(named: name) { return .topic(topic) }
        if TopicName.complaint(about: name) != nil { return .refused(lookup, .invalidTopicException) }
        guard mayCreate else { return .refused(lookup, .unknownTopicOrPartition) }
        do throws(Refusal) {
            return .planned(try creation.planOnFirstUse(name), lookup)
        } catch {
            // Another connection may have been faster.
            if let topic = store.topic(named: name) { return .topic(topic) }
            return .refused(lookup, error.code)
        }
    }

    private static func settle(_ plan: TopicCreation.Plan, _ lookup: MetadataRequest.Topic, _ outcome: AdminOutcome, _ store: Store)
        -> Found
    {
        switch outcome {
        case .topic(let topic): return .topic(topic)
        case .failure(.topicAlreadyExists, _):
            return store.topic(named: plan.name).map { .topic($0) } ?? .refused(lookup, .leaderNotAvailable)
        case .failure(let code, _): return .refused(lookup, code)
        default: return .refused(lookup, .unknownServerError)
        }
    }

    /// What a request with any id asks for: by ids alone, as of Kafka. Java's client has empty names beside them.
    private static func byIDs(_ asked: [MetadataRequest.Topic]) -> [MetadataRequest.Topic] {
        asked.filter { !$0.topicID.isZero }.map { topic in
            var lookup = topic
            lookup.name = nil
            return lookup
        }
    }

    /// The same topic asked for twice is answered once.
    private static func unique(_ topics: [MetadataRequest.Topic]) -> [MetadataRequest.Topic] {
        struct Identity: Hashable {
            let name: String?
            let id: Uuid
        }
        var seen: Set<Identity> = []
        return topics.filter { seen.insert(Identity(name: $0.name, id: $0.topicID)).inserted }
    }

    // MARK: Answers

    private func answerAll(_ request: MetadataRequest, _ call: Call, _ reply: Reply) {
        let store = call.broker.store
        answer(partitionCount: store.partitionCount, request, call, reply) { store.topics().map { .topic($0) } }
    }

    private func answer(_ found: [Found], _ request: MetadataRequest, _ call: Call, _ reply: Reply) {
        let partitionCount = found.reduce(0) { count, one in
            if case .topic(let topic) = one { count + topic.partitions.count + 1 } else { count + 1 }
        }
        answer(partitionCount: partitionCount, request, call, reply) { found }
    }

    private func answer(
        partitionCount: Int, _ request: MetadataRequest, _ call: Call, _ reply: Reply, of found: @escaping @Sendable () -> [Found]
    ) {
        let byteCount = 256 + partitionCount * 48
        let send: @Sendable () -> Void = {
            let nodes = [call.broker.configuration.current.nodeID]
            let topics = found().map { one in
                switch one {
                case .topic(let topic): Self.described(topic, nodes, request)
                case .refused(let lookup, let code): Self.refused(lookup, code)
                case .planned(_, let lookup): Self.refused(lookup, .leaderNotAvailable)
                }
            }
            reply.send(Self.response(topics, request, call), capacity: byteCount)
        }
        if partitionCount > Call.partitionsOnLoopMax { call.offLoop(reply, expecting: byteCount, send) } else { send() }
    }

    private static func response(_ topics: [MetadataResponse.Topic], _ request: MetadataRequest, _ call: Call) -> MetadataResponse {
        let configuration = call.broker.configuration.current
        var broker = MetadataResponse.Broker()
        broker.nodeID = configuration.nodeID
        broker.host = call.advertised.host
        broker.port = Int32(call.advertised.port)
        broker.rack = configuration.rack
        var response = MetadataResponse()
        response.brokers = [broker]
        response.clusterID = call.broker.store.clusterID
        response.controllerID = configuration.nodeID
        response.topics = topics
        if request.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
        return response
    }

    private static func described(_ topic: Topic, _ nodes: [Int32], _ request: MetadataRequest) -> MetadataResponse.Topic {
        var described = MetadataResponse.Topic()
        described.name = topic.name
        described.topicID = topic.id
        described.partitions = topic.partitions.map { partition in
            var one = MetadataResponse.Partition()
            one.partitionIndex = partition.index
            one.leaderID = nodes[0]
            one.leaderEpoch = partition.leaderEpoch
            one.replicaNodes = nodes
            one.isrNodes = nodes
            return one
        }
        if request.includeTopicAuthorizedOperations { described.topicAuthorizedOperations = AuthorizedOperations.topic }
        return described
    }

    private static func refused(_ lookup: MetadataRequest.Topic, _ code: ErrorCode) -> MetadataResponse.Topic {
        var refused = MetadataResponse.Topic()
        refused.errorCode = code
        // Only version 12 and later can say that there is no name.
        refused.name = lookup.name ?? (lookup.topicID.isZero ? "" : nil)
        refused.topicID = lookup.topicID
        return refused
    }
}
