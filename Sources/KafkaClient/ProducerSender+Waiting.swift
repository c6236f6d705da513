import DequeModule
import KafkaProtocol
import NIOCore

// What a sender has to wait for: connections, leaders, an identity, the clock.
extension ProducerSender {
    func connect(_ broker: BrokerLane) {
        guard !broker.isConnecting else { return }
        if let notBefore = broker.notBefore, notBefore > .now() { return wake(at: notBefore) }
        broker.isConnecting = true
        Task { [cluster, eventLoop] in
            let result: Result<Connection, ClientError>
            do throws(ClientError) { result = .success(try await cluster.connect(to: broker.id)) } catch { result = .failure(error) }
            eventLoop.execute { self.connected(broker, result) }
        }
    }

    private func connected(_ broker: BrokerLane, _ result: Result<Connection, ClientError>) {
        broker.isConnecting = false
        switch result {
        case .success(let connection):
            if inbox.isClosed, outstanding.isEmpty { return connection.close() }
            broker.connection = connection
            broker.notBefore = nil
        case .failure(let error):
            penalise(broker)
            for lane in broker.line { lane.queue.waiting.first?.lastFailure = error }
            refresh()
        }
        pump()
    }

    func penalise(_ broker: BrokerLane) {
        broker.failures += 1
        let deadline = NIODeadline.now() + cluster.options.backoff.delay(attempt: broker.failures)
        broker.notBefore = deadline
        wake(at: deadline)
    }

    // MARK: Leaders

    /// Looks at all topics now and then: while all goes well, nothing else tells that one has got more partitions, or is another one.
    func watchTopics() {
        guard topicWatch == nil, !inbox.isClosed else { return }
        let interval = max(options.metadataRefreshInterval, .milliseconds(10))
        topicWatch = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] task in
            guard let producer = self?.producer else { return task.cancel() }
            self?.refresh(producer.topicNames)
        }
    }

    /// Asks who leads the partitions that have something to send, unless that is being asked already.
    /// - Parameter others: Topics to ask for besides, with a later question where this one does not.
    func refresh(_ others: [String] = []) {
        topicsToLook.formUnion(others)
        guard !isRefreshing else { return }
        isRefreshing = true
        let topics = topicsToLook.union(lanes.values.lazy.filter { !$0.queue.isEmpty }.map(\.partition.topic))
        let delay = refreshFailures == 0 ? TimeAmount.zero : cluster.options.backoff.delay(attempt: refreshFailures)
        eventLoop.scheduleTask(in: delay) { [cluster, eventLoop] in
            Task {
                let metadata = try? await cluster.refresh(Array(topics))
                eventLoop.execute { self.refreshed(topics, metadata) }
            }
        }
    }

    private func refreshed(_ topics: Set<String>, _ metadata: ClusterMetadata?) {
        isRefreshing = false
        if let metadata {
            producer?.learn(metadata)
            topicsToLook.subtract(topics)
        }
        var isComplete = metadata != nil
        for lane in lanes.values {
            if let metadata { lane.leader = metadata.leader(of: lane.partition) }
            if lane.leader == nil, !lane.queue.isEmpty { isComplete = false }
        }
        refreshFailures = isComplete ? 0 : refreshFailures + 1
        if metadata != nil, !topicsToLook.isEmpty { refresh() }
        leaveOldLines()
        for lane in lanes.values { stand(lane) }
        pump()
    }

    /// Takes partitions out of the line of who does not lead them any more: a broker that is gone would keep them for good.
    private func leaveOldLines() {
        for broker in brokers.values {
            for lane in broker.line where lane.leader != broker.id { lane.isInLine = false }
            broker.line.removeAll { !$0.isInLine }
        }
    }

    // MARK: Identity

    /// Gives the lane an identity; false while there is none to give.
    func identify(_ lane: PartitionLane) -> Bool {
        if let identity, identity != lane.queue.retired {
            lane.queue.adopt(identity)
            return true
        }
        // A transactional producer is told who it is.
        guard !isAskingIdentity, gate == nil else { return false }
        isAskingIdentity = true
        Task { [cluster, eventLoop] in
            let result: Result<ProducerIdentity, ClientError>
            do throws(ClientError) { result = .success(try await ProducerIdentity.ask(cluster)) } catch { result = .failure(error) }
            eventLoop.execute { self.identified(result) }
        }
        return false
    }

    private func identified(_ result: Result<ProducerIdentity, ClientError>) {
        isAskingIdentity = false
        switch result {
        case .success(let fresh):
            identity = fresh
            // An identity that was given up already is of no use: another is asked for a little later.
            for lane in lanes.values where lane.queue.needsIdentity && lane.queue.retired == fresh { postpone(lane) }
        case .failure(let error):
            for lane in lanes.values where lane.queue.needsIdentity {
                for batch in lane.queue.waiting {
                    if error.isForGood { finish(batch, .failure(error)) } else { batch.lastFailure = error }
                }
                postpone(lane)
            }
        }
        for lane in lanes.values { stand(lane) }
        pump()
    }

    // MARK: The clock

    /// Sees to it that `pump` runs at `deadline` at the latest.
    func wake(at deadline: NIODeadline) {
        if let wakeUp, wakeUp.deadline <= deadline { return }
        wakeUp?.task.cancel()
        let task = eventLoop.scheduleTask(deadline: deadline) {
            self.wakeUp = nil
            for lane in self.lanes.values { self.stand(lane) }
            self.pump()
        }
        wakeUp = (task, deadline)
    }

    /// Gives up what has waited beyond its time. What is in flight is left to the connection's own deadline.
    func expire() {
        let now = NIODeadline.now()
        guard !outstanding.isEmpty, now >= outstanding.nextExpiryCheck else { return }
        outstanding.nextExpiryCheck = now + .seconds(1)
        wake(at: outstanding.nextExpiryCheck)
        for lane in lanes.values { expire(lane, at: now) }
    }

    /// What comes back to be sent again is looked at then: it may be under way each time that the clock comes round.
    func expire(_ lane: PartitionLane, at now: NIODeadline) {
        while let batch = lane.queue.waiting.first, batch.deadline(options) <= now {
            let cause = batch.lastFailure.map { "; last: \($0)" } ?? ""
            finish(batch, .failure(.timedOut("\(lane.partition) did not take the records in time\(cause)")))
        }
    }
}

extension ClientError {
    /// A broker's refusal that no later attempt changes, as opposed to trouble on the way to it.
    fileprivate var isForGood: Bool {
        switch self {
        case .broker(let code, _): !code.isRetriable
        case .unsupported: true
        default: false
        }
    }
}

extension ProducerIdentity {
    /// A new one from any broker of the cluster.
    static func ask(_ cluster: Cluster) async throws(ClientError) -> ProducerIdentity {
        try await cluster.retrying { () async throws(ClientError) in
            let response = try await cluster.anyConnection().call(InitProducerIdRequest())
            guard response.errorCode == .none else { throw .broker(response.errorCode, "the broker gives no producer id") }
            return ProducerIdentity(id: response.producerID, epoch: response.producerEpoch)
        }
    }
}

extension ProducerSender {
    func closeConnections() {
        wakeUp?.task.cancel()
        wakeUp = nil
        topicWatch?.cancel()
        for broker in brokers.values {
            broker.connection?.close()
            broker.connection = nil
        }
    }
}
