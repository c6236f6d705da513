import KafkaProtocol
import Synchronization

// A group's consumer whose offsets are committed by transactions.
extension GroupConsumer {
    /// Reads on from where the group has committed, as after an abort of the transaction that what was read went into:
    /// all that was handed out since comes again. Not while `next` is waited for.
    public func rewind() async throws(ClientError) {
        let partitions = state.withLock { state in
            precondition(!state.isAsking, "a consumer is not rewound while it is asked for records")
            state.inHand = nil
            (state.done, state.committed, state.refused) = ([:], [:], [:])
            state.resting.formUnion(reader.paused.intersection(state.assigned))
            return state.assigned
        }
        if partitions.isEmpty { return }
        try await reader.remove(partitions)
        // When it was stopped meanwhile nothing is read any more. A task that is cancelled has done only half of it: another may do it all.
        guard try await takeOn(partitions) || state.withLock({ $0.isStopped }) else { throw .closed }
        let resting = state.withLock { state in
            defer { state.resting = [] }
            return state.resting
        }
        try await reader.pause(resting)
    }

    func committed(byTransaction positions: [TopicPartition: OffsetPosition]) { state.withLock { $0.noteCommitted(positions) } }

    /// Commits the positions as part of a transaction, which shows them when it is committed itself. The coordinator
    /// refuses it when the group has gone on without this member (KIP-447).
    func commit(
        _ positions: [TopicPartition: OffsetPosition], transactionalID: String, producer: ProducerIdentity, isVersion2: Bool
    ) async throws(ClientError) {
        let end = ContinuousClock.now + cluster.options.operationTimeout
        while true {
            let identity = state.withLock { $0.identity }
            guard identity.generation >= 0 else { throw gone(.unknownMemberID) }
            var request = TxnOffsetCommitRequest(positions)
            (request.transactionalID, request.producerID, request.producerEpoch) = (transactionalID, producer.id, producer.epoch)
            (request.groupID, request.generationID, request.memberID) = (group, identity.generation, identity.memberID)
            request.groupInstanceID = options.instanceID
            let refusals: OffsetRefusals
            do throws(ClientError) {
                refusals = try await send(request, isVersion2: isVersion2, within: end - .now)
            } catch {
                guard let code = error.code else { throw error }
                driver.tell(.commitRefused(code, generation: identity.generation))
                switch code {
                // The next heartbeat brings the new epoch.
                case .staleMemberEpoch where .now < end: break
                case _ where Self.meansPutOut(code): throw gone(code)
                default: throw error
                }
                do { try await Task.sleep(for: .milliseconds(50)) } catch { throw .closed }
                continue
            }
            state.withLock { $0.noteRefused(positions.filter { refusals.contains($0.key) }) }
            return try refusals.check()
        }
    }

    private func send(
        _ request: TxnOffsetCommitRequest, isVersion2: Bool, within limit: Duration
    ) async throws(ClientError) -> OffsetRefusals {
        try await cluster.atCoordinator(of: group, within: limit) { (connection) async throws(ClientError) in
            // Without the member's identity the coordinator would take offsets from anybody. It has a place from version 3 on (KIP-447).
            guard (connection.version(of: TxnOffsetCommitRequest.self) ?? 3) >= 3 else {
                throw .unsupported("\(connection.address) cannot tell members of a group apart in transactions; Kafka can from 2.5 on")
            }
            let response = try await connection.call(request, atMost: isVersion2 ? .max : 4)
            var refusals = OffsetRefusals()
            for topic in response.topics {
                for answer in topic.partitions where answer.errorCode != .none {
                    let partition = TopicPartition(topic.name, answer.partitionIndex)
                    // Of a transaction, brokers say so of an old epoch, too.
                    let isStale = answer.errorCode == .illegalGeneration && self.options.groupProtocol == .consumer
                    let code = isStale ? ErrorCode.staleMemberEpoch : answer.errorCode
                    try refusals.take(code, of: partition, "the group \(self.group) cannot commit \(partition) in a transaction")
                }
            }
            return refusals
        }
    }
}

extension TxnOffsetCommitRequest {
    init(_ positions: [TopicPartition: OffsetPosition]) {
        self.init()
        topics = Dictionary(grouping: positions, by: \.key.topic).sorted { $0.key < $1.key }.map { topic, positions in
            Topic {
                $0.name = topic
                $0.partitions = positions.sorted { $0.key.partition < $1.key.partition }.map { partition, position in
                    Partition {
                        ($0.partitionIndex, $0.committedOffset) = (partition.partition, position.offset)
                        ($0.committedLeaderEpoch, $0.committedMetadata) = (position.leaderEpoch, position.metadata)
                    }
                }
            }
        }
    }
}
