import NIOCore

// What a fetcher has to wait for: connections, leaders, the clock.
extension Fetcher {
    func connect(_ broker: Broker) {
        guard !broker.isConnecting else { return }
        if let notBefore = broker.notBefore, notBefore > .now() { return wake(at: notBefore) }
        broker.isConnecting = true
        Task { [cluster, eventLoop] in
            let result: Result<Connection, ClientError>
            do throws(ClientError) { result = .success(try await cluster.connect(to: broker.id)) } catch { result = .failure(error) }
            eventLoop.execute { self.connected(broker, result) }
        }
    }

    private func connected(_ broker: Broker, _ result: Result<Connection, ClientError>) {
        broker.isConnecting = false
        switch result {
        case .success(let connection):
            if isClosed { return connection.close() }
            broker.connection = connection
            broker.notBefore = nil
            heard()
        case .failure:
            penalise(broker)
            refresh()
        }
        pump()
    }

    func penalise(_ broker: Broker) {
        broker.failures += 1
        let deadline = NIODeadline.now() + cluster.options.backoff.delay(attempt: broker.failures)
        broker.notBefore = deadline
        wake(at: deadline)
    }

    /// Lets a partition wait before it is fetched again, longer after each failure in a row.
    func postpone(_ cursor: Cursor) {
        cursor.failures += 1
        let deadline = NIODeadline.now() + cluster.options.backoff.delay(attempt: cursor.failures)
        cursor.notBefore = deadline
        wake(at: deadline)
    }

    /// Asks who leads the partitions, unless that is being asked already.
    func refresh() {
        guard !isRefreshing, !isClosed, !cursors.isEmpty else { return }
        isRefreshing = true
        let topics = Array(Set(cursors.map(\.partition.topic)))
        let delay = refreshFailures == 0 ? TimeAmount.zero : cluster.options.backoff.delay(attempt: refreshFailures)
        eventLoop.scheduleTask(in: delay) { [cluster, eventLoop] in
            Task {
                let result: Result<ClusterMetadata, ClientError>
                do throws(ClientError) { result = .success(try await cluster.refresh(topics)) } catch { result = .failure(error) }
                eventLoop.execute { self.refreshed(result) }
            }
        }
    }

    private func refreshed(_ result: Result<ClusterMetadata, ClientError>) {
        isRefreshing = false
        refreshFailures += 1
        switch result {
        case .success(let metadata):
            heard()
            learn(metadata)
            if cursors.allSatisfy({ $0.leader != nil }) { refreshFailures = 0 }
        case .failure(let error):
            if isClosed { return }
            if silence.isNews(at: .now()) { options.onUnreachable?(error) }
            if let timeout = options.unreachableTimeout, silence.lasts(timeout, at: .now()) { consumer?.fail(error) }
        }
        pump()
    }

    /// A broker has answered.
    func heard() { if silence.ends() { options.onUnreachable?(nil) } }

    /// The time for which no broker has answered.
    struct Silence {
        private static let noticed = TimeAmount.seconds(2)
        private var begin: NIODeadline?
        private var isTold = false

        /// Whether it has lasted long enough to be told, and was not.
        mutating func isNews(at now: NIODeadline) -> Bool {
            begin = begin ?? now
            guard !isTold, lasts(Self.noticed, at: now) else { return false }
            isTold = true
            return true
        }

        func lasts(_ time: TimeAmount, at now: NIODeadline) -> Bool { begin.map { now - $0 >= time } ?? false }

        /// Whether it was told.
        mutating func ends() -> Bool {
            defer { self = Silence() }
            return isTold
        }
    }

    func wake(at deadline: NIODeadline) {
        if isClosed { return }
        if let wakeUp, wakeUp.deadline <= deadline { return }
        wakeUp?.task.cancel()
        let task = eventLoop.scheduleTask(deadline: deadline) {
            self.wakeUp = nil
            self.pump()
        }
        wakeUp = (task, deadline)
    }

    func close() {
        isClosed = true
        wakeUp?.task.cancel()
        wakeUp = nil
        for broker in brokers.values {
            broker.connection?.close()
            broker.connection = nil
        }
    }
}
