import KafkaProtocol
import NIOCore

/// The event-loop half of a producer: sends closed batches to the leaders of their partitions, and decides after
/// every answer. Whatever takes time (connecting, metadata, identities) is done by a task that reports back here.
final class ProducerSender: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the event loop only.
    let cluster: Cluster
    let eventLoop: any EventLoop
    let options: ProducerOptions
    let inbox: ProducerInbox
    /// Nil unless the producer is transactional.
    let gate: TransactionGate?

    private(set) weak var producer: Producer?
    var lanes: [TopicPartition: PartitionLane] = [:]
    var brokers: [Int32: BrokerLane] = [:]
    var identity: ProducerIdentity?
    var isAskingIdentity = false
    var isRefreshing = false
    var refreshFailures = 0
    /// To be asked for with the next question, though they may have nothing to send.
    var topicsToLook: Set<String> = []
    var topicWatch: RepeatedTask?
    var wakeUp: (task: Scheduled<Void>, deadline: NIODeadline)?
    var outstanding = OutstandingBatches()

    init(cluster: Cluster, options: ProducerOptions, inbox: ProducerInbox, gate: TransactionGate?) {
        self.cluster = cluster
        eventLoop = cluster.eventLoop
        self.options = options
        self.inbox = inbox
        self.gate = gate
    }

    func attach(_ producer: Producer) { self.producer = producer }

    /// Takes in what was closed and sends what may be sent.
    func pump() {
        eventLoop.assertInEventLoop()
        for batch in inbox.takeClosed() {
            outstanding.add(batch)
            enter(batch.lane)
            batch.lane.queue.append(batch)
            stand(batch.lane)
        }
        abandon()
        expire()
        for broker in brokers.values { serve(broker) }
    }

    private func enter(_ lane: PartitionLane) {
        guard !lane.isEntered else { return }
        lane.isEntered = true
        lanes[lane.partition] = lane
        lane.leader = cluster.metadata.leader(of: lane.partition)
    }

    /// Puts the lane into its leader's line, if it has something to send and one is known.
    func stand(_ lane: PartitionLane) {
        guard !lane.isInLine, !lane.queue.waiting.isEmpty else { return }
        guard let leader = lane.leader else { return refresh() }
        lane.isInLine = true
        broker(leader).line.append(lane)
    }

    private func broker(_ id: Int32) -> BrokerLane {
        if let broker = brokers[id] { return broker }
        let fresh = BrokerLane(id)
        brokers[id] = fresh
        return fresh
    }

    // MARK: Sending

    private func serve(_ broker: BrokerLane) {
        while !broker.line.isEmpty, broker.requestsInFlight < options.requestsInFlightMax {
            guard let connection = broker.connection, connection.isOpen else { return connect(broker) }
            let batches = gather(broker)
            if batches.isEmpty { return }
            send(batches, to: broker, over: connection)
        }
    }

    /// One request's worth from the partitions in line, each once, those that are not due staying behind.
    private func gather(_ broker: BrokerLane) -> [ProducerBatch] {
        var batches: [ProducerBatch] = []
        var byteCount = 0
        for _ in 0..<broker.line.count {
            let lane = broker.line.removeFirst()
            lane.isInLine = false
            // What it stood in line for may have been given up. Nothing is asked for a lane that has nothing to send.
            if lane.queue.waiting.isEmpty { continue }
            if let notBefore = lane.notBefore, notBefore > .now() {
                wake(at: notBefore)
                continue
            }
            if !admit(lane) || lane.queue.needsIdentity && !identify(lane) { continue }
            guard let batch = lane.queue.next() else { continue }
            do throws(ClientError) {
                byteCount += try batch.seal(options, isTransactional: gate != nil)
                batches.append(batch)
                stand(lane)
            } catch {
                finish(batch, .failure(error))
            }
            if byteCount >= options.requestByteCountMax { break }
        }
        return batches
    }

    private func send(_ batches: [ProducerBatch], to broker: BrokerLane, over connection: Connection) {
        let sorted = batches.sorted { $0.lane.partition.topic < $1.lane.partition.topic }
        var request = ProduceRequest(sorted, options)
        request.transactionalID = gate?.transactionalID
        let pieces = sorted.map(\.sealed)
        broker.requestsInFlight += 1
        guard options.acknowledgement != .none else {
            connection.sendUnanswered(request, batches: pieces).whenComplete { result in
                broker.requestsInFlight -= 1
                switch result {
                case .success: for batch in sorted { self.deliver(batch, offset: -1) }
                case .failure(let error): self.requestFailed(sorted, broker, connection, error)
                }
                self.pump()
            }
            return
        }
        connection.send(request, batches: pieces, atMost: gate?.produceVersionMax ?? .max, holding: options.requestTimeout).whenComplete { result in
            broker.requestsInFlight -= 1
            switch result {
            case .success(let answer):
                broker.failures = 0
                self.answered(sorted, answer.message)
            case .failure(let error): self.requestFailed(sorted, broker, connection, error)
            }
            self.pump()
        }
    }

    // MARK: Answers

    private func answered(_ batches: [ProducerBatch], _ response: ProduceResponse) {
        var answers: [TopicPartition: ProduceResponse.Partition] = [:]
        answers.reserveCapacity(batches.count)
        for topic in response.responses {
            for partition in topic.partitionResponses { answers[TopicPartition(topic.name, partition.index)] = partition }
        }
        for batch in batches {
            if let answer = answers[batch.lane.partition] {
                decide(batch, answer)
            } else {
                finish(batch, .failure(.malformed("the broker did not say what became of a batch for \(batch.lane.partition)")))
            }
        }
    }

    private func decide(_ batch: ProducerBatch, _ answer: ProduceResponse.Partition) {
        let lane = batch.lane
        switch answer.errorCode {
        case .none:
            lane.failures = 0
            deliver(batch, offset: answer.baseOffset)
        case .duplicateSequenceNumber:
            deliver(batch, offset: -1)
        case .outOfOrderSequenceNumber, .unknownProducerID, .invalidProducerEpoch:
            guard options.isIdempotent, gate?.isForGood(answer.errorCode, batch) != true else { return fail(batch, answer) }
            lane.queue.refuseSequence(of: batch)
            postpone(lane)
        // Under its numbers the broker would not know halves of what it has: they would be written twice.
        case .messageTooLarge where batch.recordCount > 1 && !(options.isIdempotent && batch.mayBeWritten):
            split(batch, answer)
        case let code where code.isRetriable:
            batch.lastFailure = failure(batch, answer)
            if code.leavesOpenWhatWasWritten { batch.mayBeWritten = true }
            lane.queue.retry(batch)
            expire(lane, at: .now())
            postpone(lane)
            if code.asksForMetadata { refresh() }
        default:
            fail(batch, answer)
        }
    }

    /// Sends the records in two batches: each may be within the topic's limit (KIP-126).
    private func split(_ batch: ProducerBatch, _ answer: ProduceResponse.Partition) {
        do throws(RecordError) {
            let halves = try batch.halves()
            for half in halves { half.lastFailure = failure(batch, answer) }
            batch.lane.queue.split(batch, into: halves)
            outstanding.replace(batch, with: halves)
            stand(batch.lane)
        } catch {
            fail(batch, answer)
        }
    }

    private func failure(_ batch: ProducerBatch, _ answer: ProduceResponse.Partition) -> ClientError {
        .broker(answer.errorCode, "\(batch.lane.partition) does not take the records" + (answer.errorMessage.map { ": \($0)" } ?? ""))
    }

    private func fail(_ batch: ProducerBatch, _ answer: ProduceResponse.Partition) {
        finish(batch, .failure(failure(batch, answer)))
    }

    /// The whole request failed, mostly because the connection did: whether it was carried out is not known.
    private func requestFailed(_ batches: [ProducerBatch], _ broker: BrokerLane, _ connection: Connection, _ error: any Error) {
        let failure = error as? ClientError ?? .connectionLost("\(error)")
        if broker.connection === connection {
            broker.connection = nil
            connection.close()
            penalise(broker)
        }
        for batch in batches {
            // Closed by this producer itself, after another request on the same connection had failed.
            if failure.isRetriable || failure == .closed {
                (batch.lastFailure, batch.mayBeWritten) = (failure, true)
                batch.lane.queue.retry(batch)
                expire(batch.lane, at: .now())
                stand(batch.lane)
            } else {
                finish(batch, .failure(failure))
            }
        }
        refresh()
    }

    /// Lets the partition wait before it goes on, longer after each failure in a row.
    func postpone(_ lane: PartitionLane) {
        lane.failures += 1
        let deadline = NIODeadline.now() + cluster.options.backoff.delay(attempt: lane.failures)
        lane.notBefore = deadline
        wake(at: deadline)
    }

    private func deliver(_ batch: ProducerBatch, offset: Int64) {
        batch.lane.failures = 0
        if let identity = batch.place?.identity { batch.lane.queue.confirm(identity) }
        finish(batch, .success(offset))
    }

    func finish(_ batch: ProducerBatch, _ result: Result<Int64, ClientError>) {
        batch.lane.queue.remove(batch)
        inbox.release(batch.byteCount)
        batch.complete(result)
        if case .failure(let error) = result { gate?.onFailure(error) }
        options.onDelivery?(
            BatchDelivery(partition: batch.lane.partition, recordCount: Int(batch.recordCount), byteCount: batch.byteCount, result: result))
        outstanding.remove(batch)
        stand(batch.lane)
    }
}

extension ErrorCode {
    /// Errors of batches that the leader has appended, or may have.
    var leavesOpenWhatWasWritten: Bool { self == .requestTimedOut || self == .notEnoughReplicasAfterAppend }

    /// Errors that mean that what is known of leaders is out of date.
    var asksForMetadata: Bool {
        switch self {
        case .unknownTopicOrPartition, .leaderNotAvailable, .notLeaderOrFollower, .fencedLeaderEpoch, .unknownLeaderEpoch, .unknownTopicID,
            .inconsistentTopicID, .networkException, .kafkaStorageError:
            true
        default: false
        }
    }
}
