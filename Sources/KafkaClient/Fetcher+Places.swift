import KafkaProtocol
import NIOCore

// Finding out where to go on in a partition, which only its leader can tell.
extension Fetcher {
    /// Begins at the cursor's place.
    func locate(_ cursor: Cursor) {
        guard let place = cursor.place else { return }
        let partition = cursor.partition
        move(cursor) { [cluster, options] () async throws(ClientError) in
            try await Admin(cluster).offsets([partition: place], isolation: options.isolation)[partition]
        }
    }

    /// Goes on at `ConsumerOptions.outOfRange`, where it is the leader that has no such offset: a broker that leads no longer, and
    /// has not caught up or has not heard of it, knows its own log only.
    func relocate(_ cursor: Cursor, _ broker: Broker) {
        let (partition, leader) = (cursor.partition, broker.id)
        let error = ClientError.broker(.offsetOutOfRange, "\(partition) has no offset \(cursor.offset)")
        move(cursor) { [cluster, options] () async throws(ClientError) in
            let metadata = try await cluster.retrying { () async throws(ClientError) in try await cluster.refresh([partition.topic]) }
            guard metadata.leader(of: partition) == leader else { return nil }
            guard let place = options.outOfRange else { throw error }
            let offset = try await Admin(cluster).offsets([partition: place], isolation: options.isolation)[partition]
            // It may have been another that told.
            return cluster.metadata.leader(of: partition) == leader ? offset : nil
        }
    }

    /// Goes back to where the leader's records become others than those that were read. An election of a broker that was behind loses
    /// the last ones, and the offsets are given anew (KIP-320).
    func check(_ cursor: Cursor) {
        let (partition, offset, epoch) = (cursor.partition, cursor.offset, cursor.readEpoch)
        move(cursor, checkingFor: cursor.leaderEpoch) { [cluster] () async throws(ClientError) in
            guard let end = try await Admin(cluster).end(ofEpoch: epoch, in: partition), end < offset else { return nil }
            return end
        }
    }

    /// Fetches no more of a partition until the question is answered, and then from that offset; nil is to go on as before.
    /// - Parameter leaderEpoch: With which leader the answer settles where to go on.
    private func move(
        _ cursor: Cursor, checkingFor leaderEpoch: Int32? = nil, _ question: @escaping @Sendable () async throws(ClientError) -> Int64?
    ) {
        if cursor.isAsking { return }
        let asked = NIOLoopBound((cursor: cursor, offset: cursor.offset), eventLoop: eventLoop)
        cursor.isAsking = true
        Task { [eventLoop] in
            let result: Result<Int64?, ClientError>
            do throws(ClientError) { result = .success(try await question()) } catch { result = .failure(error) }
            eventLoop.execute {
                let (cursor, offset) = asked.value
                if cursor.isDropped { return }
                cursor.isAsking = false
                // A fetch that was under way may have moved it.
                guard cursor.offset == offset else { return self.pump() }
                if let leaderEpoch, case .success = result { cursor.checkedEpoch = max(cursor.checkedEpoch, leaderEpoch) }
                self.moved(cursor, result)
            }
        }
    }

    private func moved(_ cursor: Cursor, _ result: Result<Int64?, ClientError>) {
        switch result {
        case .success(let offset?) where offset != cursor.offset:
            (cursor.offset, cursor.place, cursor.isMoved) = (offset, nil, true)
            (cursor.failures, cursor.notBefore) = (0, nil)
        case .success:
            learn(cluster.metadata)
            postpone(cursor)
        case .failure(let error):
            if !error.isRetriable { consumer?.fail(error) }
            postpone(cursor)
        }
        pump()
    }
}
