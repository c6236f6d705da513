import KafkaProtocol
import NIOCore
import Synchronization

// How partitions come and go.
extension GroupConsumer {
    /// Does what the membership asks, and tells it when that is done. After a failure the handoff stays, to be tried again.
    func carryOut(_ handoff: GroupMembership.Handoff, isClosing: Bool) async throws(ClientError) {
        switch handoff {
        case .assign(let partitions):
            if !isClosing, !(try await takeOn(partitions)) { return }
            if !isClosing, let told = told(of: partitions) { await options.onRebalance?(.assigned(told)) }
        case .revoke(let partitions):
            try await reader.remove(partitions)
            await commitBeforeGiving(partitions)
            if await isPutOut() {
                await lose(partitions)
            } else {
                if let told = told(of: partitions) { await options.onRebalance?(.revoked(told)) }
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
            let asked = await unlessStopped { () async -> Result<Beginning, ClientError> in
                do throws(ClientError) { return .success(try await self.beginning(of: partitions)) } catch { return .failure(error) }
            }
            switch asked {
            case nil: return false
            case .success(let beginning)?:
                state.withLock { $0.begin(beginning) }
                try await reader.add(beginning.starts)
                return true
            case .failure(let error)?:
                // The group waits for nobody's offsets: tried for as long as the owner waits for records.
                guard error.isRetriable || Self.isBetweenEpochs(error.code) else { throw error }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// What `work` comes to, or nil when the consumer is stopped or the task cancelled first; what is under way then is of no interest
    /// any more.
    private func unlessStopped<Value: Sendable>(_ work: @escaping @Sendable () async -> Value) async -> Value? {
        // The first to say something is heard.
        let outcome = driver.eventLoop.makePromise(of: Value?.self)
        let isStopped = state.withLock { state in
            state.giveUp = { outcome.succeed(nil) }
            return state.isStopped
        }
        let task = Task { outcome.succeed(await work()) }
        if isStopped { outcome.succeed(nil) }
        defer {
            task.cancel()
            state.withLock { $0.giveUp = nil }
        }
        return await withTaskCancellationHandler {
            try? await outcome.futureResult.get()
        } onCancel: {
            outcome.succeed(nil)
        }
    }

    /// The coordinator is ahead of this member, which hears of it with the next heartbeat.
    private static func isBetweenEpochs(_ code: ErrorCode?) -> Bool {
        switch code {
        case .staleMemberEpoch?, .fencedMemberEpoch?, .unknownMemberID?: true
        default: false
        }
    }

    private func beginning(of partitions: Set<TopicPartition>) async throws(ClientError) -> Beginning {
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
        return Beginning(places: try await found(places), committed: committed)
    }

    /// The places as offsets, as far as the partitions' leaders tell. One that has no leader keeps nobody from the others.
    private func found(_ places: [TopicPartition: PartitionPlace]) async throws(ClientError) -> [TopicPartition: PartitionPlace] {
        let topics = Set(places.filter { $0.value.knownOffset == nil }.map(\.key.topic))
        if topics.isEmpty { return places }
        do throws(ClientError) {
            let metadata = try await cluster.retrying(within: Self.patience) { () async throws(ClientError) in
                try await self.cluster.refresh(Array(topics))
            }
            let led = places.filter { metadata.leader(of: $0.key) != nil }
            let offsets = try await Admin(cluster).offsets(led, isolation: options.fetching.isolation, within: Self.patience)
            return places.merging(offsets.mapValues { .offset($0) }) { $1 }
        } catch {
            guard error.isRetriable else { throw error }
            return places
        }
    }

    /// How long one question is asked again while partitions are taken on.
    private static let patience = Duration.seconds(2)

    private func committedOffsets(of partitions: Set<TopicPartition>) async throws(ClientError) -> [TopicPartition: OffsetPosition] {
        let isMember = options.groupProtocol == .consumer
        return try await cluster.atCoordinator(of: group, within: Self.patience) { (connection) async throws(ClientError) in
            let identity = self.state.withLock { $0.identity }
            return try await OffsetQuestion(
                group: self.group, partitions: partitions, identity: isMember ? identity : nil, requiresStable: true
            ).ask(connection)
        }
    }

    private func lose(_ partitions: Set<TopicPartition>) async {
        let told = told(of: partitions)
        forget(partitions)
        if let told { await options.onRebalance?(.lost(told)) }
    }

    /// Those that the owner is told of. Nil where that is none: this member was closed, or put out, before it could take them on.
    private func told(of partitions: Set<TopicPartition>) -> [TopicPartition]? {
        let told = state.withLock { $0.assigned.intersection(partitions) }
        return told.isEmpty && !partitions.isEmpty ? nil : Self.ordered(told)
    }

    private func forget(_ partitions: Set<TopicPartition>) {
        state.withLock { state in
            state.assigned.subtract(partitions)
            state.resting.subtract(partitions)
            for partition in partitions {
                state.positions[partition] = nil
                state.done[partition] = nil
                state.committed[partition] = nil
                state.refused[partition] = nil
            }
            if let inHand = state.inHand, partitions.contains(inHand.partition) { state.inHand = nil }
        }
    }
}

/// From where partitions are read that have come to a member.
struct Beginning: Sendable {
    /// Offsets, but where a leader is still to be asked.
    var places: [TopicPartition: PartitionPlace]
    /// What the group has committed of them.
    var committed: [TopicPartition: OffsetPosition]

    var starts: [TopicPartition: Fetcher.Start] {
        Dictionary(places.map { ($0.key, Fetcher.Start(place: $0.value, epoch: committed[$0.key]?.leaderEpoch ?? -1)) }) { $1 }
    }
}

extension GroupConsumer.State {
    mutating func begin(_ beginning: Beginning) {
        for (partition, place) in beginning.places {
            assigned.insert(partition)
            positions[partition] = place.knownOffset
            committed[partition] = beginning.committed[partition]
            // Where nothing is committed, the place to begin is, before anything has been read: what comes to a partition
            // that was empty is not skipped by who comes next and would begin at the end.
            if let offset = place.knownOffset, committed[partition] == nil { done[partition] = OffsetPosition(offset: offset) }
        }
    }
}
