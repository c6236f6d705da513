import KafkaProtocol
import Synchronization

// How partitions come and go.
extension GroupConsumer {
    /// Does what the membership asks, and tells it when that is done. After a failure the handoff stays, to be tried again.
    func carryOut(_ handoff: GroupMembership.Handoff, isClosing: Bool) async throws(ClientError) {
        switch handoff {
        case .assign(let partitions):
            if !isClosing, !(try await takeOn(partitions)) { return }
            if !isClosing { await options.onRebalance?(.assigned(Self.ordered(partitions))) }
        case .revoke(let partitions):
            try await reader.remove(partitions)
            await commitBeforeGiving(partitions)
            if await isPutOut() {
                await lose(partitions)
            } else {
                await options.onRebalance?(.revoked(Self.ordered(partitions)))
                forget(partitions)
                // What was begun meanwhile, by the callback or by another task, could undo what the next owner commits.
                await drained()
            }
        case .lose(let partitions):
            try await reader.remove(partitions)
            await lose(partitions)
        }
        state.withLock { $0.handoff = nil }
        driver.tell(.handedOver)
    }

    static func ordered(_ partitions: Set<TopicPartition>) -> [TopicPartition] {
        partitions.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }

    /// Begins to read where the group left off.
    /// - Returns: false when the consumer was stopped before that was known.
    func takeOn(_ partitions: Set<TopicPartition>) async throws(ClientError) -> Bool {
        guard !partitions.isEmpty else { return true }
        while true {
            let (isStopped, isMember) = state.withLock { ($0.isStopped, $0.identity.generation >= 0) }
            if isStopped || Task.isCancelled { return false }
            // Put out meanwhile: what was given is taken back next.
            if !isMember { return true }
            do throws(ClientError) {
                let (starts, committed) = try await starts(of: partitions)
                state.withLock { state in
                    state.assigned.formUnion(partitions)
                    state.positions.merge(starts) { $1 }
                    state.committed.merge(committed) { $1 }
                    // Where nothing is committed, the place to begin is, before anything has been read: what comes to a
                    // partition that was empty is not skipped by who comes next and would begin at the end.
                    for (partition, offset) in starts where committed[partition] == nil { state.done[partition] = OffsetPosition(offset: offset) }
                }
                try await reader.add(starts)
                return true
            } catch {
                // The group waits for nobody's offsets: tried for as long as the owner waits for records.
                guard error.isRetriable || Self.isBetweenEpochs(error.code) else { throw error }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// The coordinator is ahead of this member, which hears of it with the next heartbeat.
    private static func isBetweenEpochs(_ code: ErrorCode?) -> Bool {
        switch code {
        case .staleMemberEpoch?, .fencedMemberEpoch?, .unknownMemberID?: true
        default: false
        }
    }

    /// Where to begin, and what the group has committed.
    private func starts(
        of partitions: Set<TopicPartition>
    ) async throws(ClientError) -> ([TopicPartition: Int64], [TopicPartition: OffsetPosition]) {
        let committed = try await committedOffsets(of: partitions)
        var places: [TopicPartition: PartitionPlace] = [:]
        for partition in partitions {
            if let position = committed[partition] {
                places[partition] = .offset(position.offset)
            } else if let place = options.offsetReset.place {
                places[partition] = place
            } else {
                throw .invalid("the group \(group) has committed no offset for \(partition), and is not told where to begin without one")
            }
        }
        return (try await Admin(cluster).offsets(places, isolation: options.fetching.isolation), committed)
    }

    private func committedOffsets(of partitions: Set<TopicPartition>) async throws(ClientError) -> [TopicPartition: OffsetPosition] {
        let isMember = options.groupProtocol == .consumer
        // Short, so that a consumer that is stopped does not wait for long.
        return try await cluster.atCoordinator(of: group, within: .seconds(2)) { (connection) async throws(ClientError) in
            let identity = self.state.withLock { $0.identity }
            return try await OffsetQuestion(
                group: self.group, partitions: partitions, identity: isMember ? identity : nil, requiresStable: true
            ).ask(connection)
        }
    }

    private func lose(_ partitions: Set<TopicPartition>) async {
        forget(partitions)
        await options.onRebalance?(.lost(Self.ordered(partitions)))
    }

    private func forget(_ partitions: Set<TopicPartition>) {
        state.withLock { state in
            state.assigned.subtract(partitions)
            for partition in partitions {
                state.positions[partition] = nil
                state.done[partition] = nil
                state.committed[partition] = nil
            }
            if let inHand = state.inHand, partitions.contains(inHand.partition) { state.inHand = nil }
        }
    }
}
