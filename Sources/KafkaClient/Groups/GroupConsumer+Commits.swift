import KafkaProtocol
import Synchronization

// Committing how far the group has come.
extension GroupConsumer {
    /// Commits everything that is done, and what was handed out last, which is done with this (see `done(before:)`).
    /// - Throws: `.broker(.unknownMemberID…)` and the like when the group has gone on without this consumer; `invalid`, once, where a
    ///   partition is no more, when the others are committed.
    public func commit() async throws(ClientError) {
        let task = state.withLock { enqueue($0.settled(), within: cluster.options.operationTimeout, &$0) }
        try await task.value.get()
    }

    /// Commits these positions, which may lie before ones committed earlier. Returns when the coordinator has them.
    /// - Throws: as the other `commit`; what is refused, each time.
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
            if positions.isEmpty || state.isCommitting || state.identity.generation < 0 { return nil }
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

    /// Commits what is done of these, with automatic commits, and returns when that has succeeded or failed.
    func commitBeforeGiving(_ partitions: Set<TopicPartition>) async {
        if options.autoCommitInterval != nil {
            state.withLock { state in
                let positions = state.uncommitted.filter { partitions.contains($0.key) }
                // The others wait: not for ever, since all it costs is that records are read twice.
                _ = enqueue(positions, within: Swift.min(options.closeTimeout, cluster.options.operationTimeout), &state)
            }
        }
        await drained()
    }

    /// Returns when none of the commits begun before is under way any more, or the member has left.
    func drained() async {
        await withCheckedContinuation { continuation in
            let last = state.withLock { state -> State.Commit? in
                guard let last = state.lastCommit, !state.hasLeft else { return nil }
                state.drain = continuation
                return last
            }
            guard let last else { return continuation.resume() }
            Task {
                _ = await last.value
                endDrain()
            }
        }
    }

    func endDrain() {
        let waiter = state.withLock { state in
            defer { state.drain = nil }
            return state.drain
        }
        waiter?.resume()
    }

    /// Asked while partitions are given up, when a member that is put out cannot have joined again.
    func isPutOut() async -> Bool {
        // What a refused commit has told is heard first.
        try? await cluster.onLoop {}
        return state.withLock { $0.identity.generation < 0 && !$0.hasLeft }
    }

    static func meansPutOut(_ code: ErrorCode?) -> Bool {
        switch code {
        case .unknownMemberID?, .illegalGeneration?, .fencedMemberEpoch?, .fencedInstanceID?: true
        default: false
        }
    }

    /// Puts a commit behind those under way. Under the lock that what is done was read with, so that its place is right.
    private func enqueue(_ positions: [TopicPartition: OffsetPosition], within limit: Duration, _ state: inout State) -> State.Commit {
        let (before, membershipNumber, end) = (state.lastCommit, state.membershipNumber, ContinuousClock.now + limit)
        let task = Task { () -> Result<Void, ClientError> in
            _ = await before?.value
            do throws(ClientError) {
                return .success(try await self.carryOut(positions, until: end, membershipNumber))
            } catch {
                return .failure(error)
            }
        }
        state.lastCommit = task
        return task
    }

    private func carryOut(
        _ positions: [TopicPartition: OffsetPosition], until end: ContinuousClock.Instant, _ membershipNumber: Int
    ) async throws(ClientError) {
        if positions.isEmpty { return }
        // A rebalance that takes longer may be one that this member holds up itself, by closing in the middle of it.
        let patienceEnd = ContinuousClock.now + .seconds(2)
        while true {
            let identity = try identity(of: membershipNumber)
            let refusals: OffsetRefusals
            do throws(ClientError) {
                refusals = try await cluster.atCoordinator(of: group, within: end - .now) { (connection) async throws(ClientError) in
                    _ = try self.identity(of: membershipNumber)
                    return try await OffsetCommit(
                        group: self.group, positions: positions, identity: identity, instanceID: self.options.instanceID
                    ).send(connection)
                }
            } catch {
                guard let code = error.code else { throw error }
                driver.tell(.commitRefused(code, generation: identity.generation))
                let isPatient = .now < Swift.min(end, patienceEnd) && holds(positions)
                switch code {
                // The next heartbeat brings the new epoch.
                case .staleMemberEpoch where .now < end: break
                // The member has yet to hear what the next generation is, or what it is to read there; or it is put out, and has none then.
                case .rebalanceInProgress where isPatient, .illegalGeneration where isPatient: break
                case _ where Self.meansPutOut(code): throw gone(code)
                default: throw error
                }
                try? await Task.sleep(for: .milliseconds(50))
                continue
            }
            state.withLock { state in
                state.noteCommitted(positions.filter { !refusals.contains($0.key) })
                state.noteRefused(positions.filter { refusals.contains($0.key) })
            }
            return try refusals.check()
        }
    }

    /// - Throws: when the member was put out since, or has left.
    private func identity(of membershipNumber: Int) throws(ClientError) -> GroupMembership.Identity {
        let (identity, current) = state.withLock { ($0.identity, $0.membershipNumber) }
        // Without a generation the coordinator would take it for a commit from outside.
        guard identity.generation >= 0, current == membershipNumber else { throw gone(.unknownMemberID) }
        return identity
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
        done.filter { committed[$0.key]?.offset != $0.value.offset && refused[$0.key] != $0.value }
    }

    /// What is to be committed when all that was handed out is done.
    mutating func settled() -> [TopicPartition: OffsetPosition] {
        settleHand()
        return uncommitted
    }

    mutating func noteCommitted(_ positions: [TopicPartition: OffsetPosition]) {
        for (partition, position) in positions where assigned.contains(partition) { committed[partition] = position }
    }

    /// It is offered again when more of the partition is done.
    mutating func noteRefused(_ positions: [TopicPartition: OffsetPosition]) {
        for (partition, position) in positions where assigned.contains(partition) { refused[partition] = position }
    }
}
