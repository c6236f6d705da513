import KafkaProtocol
import Synchronization

// Committing how far the group has come.
extension GroupConsumer {
    /// Commits everything that is done, and what was handed out last (see `done(before:)`).
    /// - Throws: `.broker(.unknownMemberID…)` and the like when the group has gone on without this consumer.
    public func commit() async throws(ClientError) {
        let task = state.withLock { enqueue($0.uncommittedAndInHand, within: cluster.options.operationTimeout, &$0) }
        try await task.value.get()
    }

    /// Commits these positions, which may lie before ones committed earlier. Returns when the coordinator has them.
    public func commit(_ positions: [TopicPartition: OffsetPosition]) async throws(ClientError) {
        let task = state.withLock { enqueue(positions, within: cluster.options.operationTimeout, &$0) }
        try await task.value.get()
    }

    /// What the group has committed last, by asking the coordinator. Partitions without a commit are missing.
    public func committed(_ partitions: Set<TopicPartition>) async throws(ClientError) -> [TopicPartition: OffsetPosition] {
        try await Admin(cluster).committedOffsets(of: group, partitions)
    }

    /// Called by a timer.
    func commitInBackground() {
        let task = state.withLock { state -> State.Commit? in
            let positions = state.uncommitted
            if positions.isEmpty || state.isCommitting || state.isGivingUp || state.identity.generation < 0 { return nil }
            state.isCommitting = true
            return enqueue(positions, within: .seconds(10), &state)
        }
        guard let task else { return }
        Task {
            // What fails is committed by a later turn, or read again by whoever gets the partition.
            _ = await task.value
            state.withLock { $0.isCommitting = false }
        }
    }

    /// Returns when no commit is under way any more: a late one could undo what the next owner commits.
    /// - Returns: false when the group has gone on without this consumer.
    func commitBeforeGiving(_ partitions: Set<TopicPartition>) async -> Bool {
        let task = state.withLock { state in
            let positions = options.autoCommitInterval == nil ? [:] : state.uncommitted.filter { partitions.contains($0.key) }
            // The others wait: not for ever, since all it costs is that records are read twice.
            return enqueue(positions, within: Swift.min(options.closeTimeout, cluster.options.operationTimeout), &state)
        }
        if case .failure(let error) = await task.value, Self.isPutOut(error.code) { return false }
        return state.withLock { $0.identity.generation >= 0 }
    }

    static func isPutOut(_ code: ErrorCode?) -> Bool {
        switch code {
        case .unknownMemberID?, .illegalGeneration?, .fencedMemberEpoch?, .fencedInstanceID?: true
        default: false
        }
    }

    /// Puts a commit behind those under way. Under the lock that what is done was read with, so that its place is right.
    private func enqueue(_ positions: [TopicPartition: OffsetPosition], within limit: Duration, _ state: inout State) -> State.Commit {
        let (before, lossCount) = (state.lastCommit, state.lossCount)
        let task = Task { () -> Result<Void, ClientError> in
            _ = await before?.value
            do throws(ClientError) {
                return .success(try await self.carryOut(positions, within: limit, lossCount: lossCount))
            } catch {
                return .failure(error)
            }
        }
        state.lastCommit = task
        return task
    }

    private func carryOut(
        _ positions: [TopicPartition: OffsetPosition], within limit: Duration, lossCount: Int
    ) async throws(ClientError) {
        if positions.isEmpty { return }
        let end = ContinuousClock.now + limit
        // A rebalance that takes longer may be one that this member holds up itself, by closing in the middle of it.
        let patienceEnd = ContinuousClock.now + .seconds(2)
        while true {
            let (identity, isSameMember) = state.withLock { ($0.identity, $0.lossCount == lossCount) }
            // Without a generation the coordinator would take it for a commit from outside.
            guard identity.generation >= 0, isSameMember else { throw gone(.unknownMemberID) }
            do throws(ClientError) {
                try await cluster.atCoordinator(of: group, within: end - .now) { (connection) async throws(ClientError) in
                    try await OffsetCommit(group: self.group, positions: positions, identity: identity, instanceID: self.options.instanceID)
                        .send(connection)
                }
                return state.withLock { state in
                    for (partition, position) in positions where state.assigned.contains(partition) { state.committed[partition] = position }
                }
            } catch {
                guard let code = error.code else { throw error }
                switch code {
                case .staleMemberEpoch where .now < end:
                    // The next heartbeat brings the new epoch.
                    driver.tell(.commitRefused(code, generation: identity.generation))
                    try? await Task.sleep(for: .milliseconds(50))
                case .rebalanceInProgress where .now < Swift.min(end, patienceEnd) && holds(positions):
                    // The member has joined the next generation and not heard yet what it is to read there, which comes by itself.
                    try? await Task.sleep(for: .milliseconds(50))
                case .illegalGeneration where .now < Swift.min(end, patienceEnd) && holds(positions):
                    // The answer to a join is on its way, with the generation to commit in; or the member is put out, and has none next time.
                    driver.tell(.commitRefused(code, generation: identity.generation))
                    try? await Task.sleep(for: .milliseconds(50))
                case _ where Self.isPutOut(code):
                    driver.tell(.commitRefused(code, generation: identity.generation))
                    throw gone(code)
                default: throw error
                }
            }
        }
    }

    /// Whether all of it is still this member's to commit.
    private func holds(_ positions: [TopicPartition: OffsetPosition]) -> Bool {
        state.withLock { state in positions.keys.allSatisfy(state.assigned.contains) }
    }

    func gone(_ code: ErrorCode) -> ClientError {
        .broker(code, "the group \(group) has gone on without this consumer: what is not committed is read again by another")
    }
}

extension GroupConsumer.State {
    var uncommitted: [TopicPartition: OffsetPosition] {
        done.filter { committed[$0.key]?.offset != $0.value.offset }
    }

    /// With what was handed out last, which counts as done.
    var uncommittedAndInHand: [TopicPartition: OffsetPosition] {
        guard let (partition, position) = inHand, assigned.contains(partition) else { return uncommitted }
        return uncommitted.merging([partition: position]) { $1 }
    }

    var isGivingUp: Bool {
        switch handoff {
        case .revoke?, .lose?: true
        case .assign?, nil: false
        }
    }
}
