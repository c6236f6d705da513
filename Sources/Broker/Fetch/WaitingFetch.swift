internal import KafkaProtocol
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Store

/// One fetch from its request to its answer. On its connection's loop, but for the read of cold records, during which
/// nobody else touches it.
final class WaitingFetch: @unchecked Sendable {
    // Unchecked: handed from the loop to a reader thread and back, never shared.
    let connection: ConnectionID
    let lane: LoopLane
    let deadline: NIODeadline
    /// Given by the place it is parked in.
    var number = 0
    private let broker: BrokerContext
    private let reply: Reply
    private let minBytes: Int
    private let maxBytes: Int
    private let readsCommitted: Bool
    private var plan: FetchPlan
    /// By target, as last seen.
    private var findings: [FetchFinding] = []
    private var availableBytes = 0
    private var urgentCount = 0
    private var hasPartitions = false

    init(_ request: FetchRequest, plan: FetchPlan, call: Call, reply: Reply) {
        // Not the call itself, with its frame: see `releaseRequest`.
        (connection, lane, broker) = (call.connection, call.lane, call.broker)
        self.reply = reply
        self.plan = plan
        deadline = .now() + .milliseconds(Int64(max(request.maxWaitMs, 0)))
        // Who takes nothing is given the first batch nevertheless.
        let maxBytes = min(max(Int(request.maxBytes), 1), broker.fetchBytesMax)
        // Nobody waits for more than an answer can hold.
        minBytes = min(Int(request.minBytes), maxBytes)
        // Who does not wait for much gets what can leave without being copied, and the rest with the next fetch.
        self.maxBytes = minBytes <= AnswerRecords.lentBytesMax / 2 ? min(maxBytes, AnswerRecords.lentBytesMax) : maxBytes
        readsCommitted = request.isolationLevel == 1
    }

    /// Looks at all targets. True when the answer need not wait.
    func survey() -> Bool {
        if findings.isEmpty {
            findings = (0..<Int32(plan.targets.count)).map { FetchFinding(target: $0) }
            // Others have just been looked for.
            if plan.isIncremental { resolveTargets() }
        }
        availableBytes = 0
        urgentCount = 0
        hasPartitions = plan.targets.contains { $0.partition != nil }
        for index in plan.targets.indices { look(index) }
        return isSatisfied
    }

    /// Looks at one target again. True when the answer need not wait any longer.
    func survey(_ target: Int) -> Bool {
        availableBytes -= findings[target].availableBytes
        if completes(target) { urgentCount -= 1 }
        look(target)
        return isSatisfied
    }

    private var isSatisfied: Bool {
        if urgentCount > 0 || availableBytes >= minBytes || plan.targets.isEmpty { return true }
        // Who has been told that nothing of it is there waits before hearing it again.
        return !hasPartitions && !plan.wasAllInError
    }

    /// What is not there keeps nobody from waiting for what is, as of Kafka: Java's consumer asks the leader that a partition had for it
    /// again and again, without a pause. What ceases to be there during the wait ends it.
    private func completes(_ target: Int) -> Bool { findings[target].isUrgent && plan.targets[target].partition != nil }

    private func look(_ index: Int) {
        findings[index] = finding(index)
        availableBytes += findings[index].availableBytes
        if completes(index) { urgentCount += 1 }
    }

    private func finding(_ index: Int) -> FetchFinding {
        var finding = FetchFinding(target: Int32(index))
        let target = plan.targets[index]
        let look = target.partition?.look(from: target.fetchOffset, committedOnly: readsCommitted)
        guard let partition = target.partition, let look, !look.isDeleted else {
            finding.errorCode = target.unknownError
            return finding
        }
        finding.errorCode = target.verdict(look, partition)
        guard finding.errorCode == .none else { return finding }
        finding.highWatermark = look.highWatermark
        finding.lastStableOffset = look.lastStableOffset
        finding.logStartOffset = look.logStartOffset
        finding.isTail = look.isTail
        finding.diverging = target.divergence(partition)
        if finding.diverging == nil {
            finding.availableBytes = min(look.availableBytes, max(target.maxBytes, 1))
        }
        return finding
    }

    /// Partitions that were not there when a session named them, or are no more, may be there now. Once only: what waits is found by
    /// the partitions that it began to wait for.
    private func resolveTargets() {
        for index in plan.targets.indices where plan.targets[index].partition?.isDeleted ?? true {
            plan.targets[index].resolve(in: broker.store)
        }
    }

    /// The wait may be long: the request's frame is not needed for it, but what each partition takes meanwhile counts as an answer being
    /// made, so that a connection has only so many waiting.
    func beginWait() {
        reply.releaseRequest()
        reply.expect(plan.targets.count * Self.bytesWaitingPerTarget)
    }

    /// A finding and a watch.
    static let bytesWaitingPerTarget = 160

    func forEachWatched(_ body: (Int, PartitionID) -> Void) {
        for (index, target) in plan.targets.enumerated() {
            if let partition = target.partition { body(index, partition.id) }
        }
    }

    /// The connection is gone.
    func abandon() { reply.none() }

    // MARK: The answer

    /// Reads and answers: at once where all that is read was just written, else on a reader thread.
    func answer() {
        let admitted = broker.responseBytes.admit(wantedBytes, least: Self.bytesLeast)
        guard needsDisk else { return answer(admitted) }
        // The first batch comes whole, however little was admitted. Counted too low, a row of such fetches would get past
        // what a connection may have waiting.
        reply.expect(max(admitted, Self.bytesExpectedLeast))
        broker.readers.submit { state in
            guard case .active = state else {
                self.broker.responseBytes.giveBack(admitted)
                return self.reply.close("the broker is shutting down")
            }
            if self.reply.isInVain {
                self.broker.responseBytes.giveBack(admitted)
                return self.reply.none()
            }
            self.answer(admitted)
            self.prepareNext()
        }
    }

    /// While the client takes the answer, the disk is asked for what it will want next.
    private func prepareNext() {
        let read = findings.filter { !$0.isTail && $0.records.length > 0 }
        if read.isEmpty { return }
        // Whoever cannot read it then is told so.
        try? broker.store.withReader { reader throws(StoreError) in
            for finding in read {
                let target = plan.targets[Int(finding.target)]
                guard let partition = target.partition else { continue }
                try reader.readAhead(partition, from: target.fetchOffset, past: finding.records.length)
            }
        }
    }

    /// What an answer may hold even when the broker's answers use up their memory.
    private static let bytesLeast = 64 << 10
    /// What an answer that is still to be read is taken for at least: a batch of the usual greatest size.
    private static let bytesExpectedLeast = 1 << 20

    private var needsDisk: Bool { findings.contains { !$0.isTail && $0.availableBytes > 0 } }

    private var wantedBytes: Int {
        var sum = 0
        for finding in findings where finding.availableBytes > 0 {
            // What is sealed counts for no more than a guess, so ask for all that the client takes.
            sum += finding.isTail ? finding.availableBytes : max(plan.targets[Int(finding.target)].maxBytes, finding.availableBytes)
            if sum >= maxBytes { return maxBytes }
        }
        return sum
    }

    private func answer(_ admitted: Int) {
        var records = AnswerRecords(capacity: admitted)
        read(into: &records, limit: admitted)
        if !lane.loop.inEventLoop { records.bringIn() }
        let budget = broker.responseBytes
        let used = records.byteCount
        // The first batch comes whole, however large; and often less comes than was hoped for.
        if used > admitted { budget.take(used - admitted) } else { budget.giveBack(admitted - used) }
        var found = plan.order.map { findings[Int($0)] }
        if let session = plan.session { found = session.filter(found, isIncremental: plan.isIncremental) }
        var response = FetchResponse()
        response.sessionID = plan.session?.id ?? 0
        response.responses = topics(found)
        reply.send(response, records: records, admittedBytes: used, capacity: 64 + 64 * found.count)
    }

    /// Reads as the order says, until `limit` bytes are there. The first batch read is delivered whole even if it is
    /// larger than that or than its partition's share (KIP-74).
    private func read(into records: inout AnswerRecords, limit: Int) {
        guard limit > 0 else { return }
        do throws(StoreError) {
            if limit >= AnswerRecords.lentBytesMin, let loan = try broker.store.lendReader() {
                records.lend(loan)
                // The records let go of it where they have to be copied halfway.
                withExtendedLifetime(loan) { read(loan.reader, into: &records, limit: limit) }
                records.complete()
            } else {
                try broker.store.withReader { reader throws(StoreError) in read(reader, into: &records, limit: limit) }
            }
        } catch {
            broker.log.error(.unreadable, "a fetch could not read: \(error)")
            for index in findings.indices where findings[index].availableBytes > 0 { findings[index].errorCode = error.errorCode }
        }
    }

    private func read(_ reader: LogReader, into records: inout AnswerRecords, limit: Int) {
        for index in plan.order where findings[Int(index)].availableBytes > 0 {
            let room = limit - records.byteCount
            guard room > 0 else { break }
            // What may lie on the disk is not waited for to see that it does not fit into what little is left.
            let share = plan.targets[Int(index)].maxBytes
            if records.byteCount > 0, room < min(share, limit / 8), !findings[Int(index)].isTail { continue }
            read(Int(index), reader, into: &records, room: room)
        }
    }

    private func read(_ index: Int, _ reader: LogReader, into records: inout AnswerRecords, room: Int) {
        let target = plan.targets[index]
        guard let partition = target.partition else { return }
        let start = records.byteCount
        let finding = findings[index]
        let maxBytes = min(max(target.maxBytes, 0), room)
        do throws(StoreError) {
            let count: Int
            if readsCommitted {
                (count, findings[index].aborted) = try reader.readCommitted(
                    partition, from: target.fetchOffset, limit: finding.lastStableOffset, maxBytes: maxBytes, firstBatchWhole: start == 0, into: &records)
            } else {
                count = try reader.read(
                    partition, from: target.fetchOffset, limit: finding.highWatermark, maxBytes: maxBytes, firstBatchWhole: start == 0, into: &records)
            }
            findings[index].records = FrameSlice(offset: start, length: count)
        } catch {
            findings[index] = FetchFinding(target: Int32(index), errorCode: error.errorCode)
            guard error != .offsetOutOfRange else { return }
            broker.log.error(.unreadable, "a fetch could not read partition \(target.index): \(error)")
        }
    }

    private func topics(_ found: [FetchFinding]) -> [FetchResponse.Topic] {
        var topics: [FetchResponse.Topic] = []
        for finding in found {
            let target = plan.targets[Int(finding.target)]
            if topics.last.map({ $0.topic != target.topicName || $0.topicID != target.topicID }) ?? true {
                var topic = FetchResponse.Topic()
                topic.topic = target.topicName
                topic.topicID = target.topicID
                topics.append(topic)
            }
            topics[topics.count - 1].partitions.append(partition(finding, target))
        }
        return topics
    }

    private func partition(_ finding: FetchFinding, _ target: FetchTarget) -> FetchResponse.Partition {
        var partition = FetchResponse.Partition()
        partition.partitionIndex = target.index
        partition.errorCode = finding.errorCode
        partition.highWatermark = finding.highWatermark
        partition.lastStableOffset = finding.lastStableOffset
        partition.logStartOffset = finding.logStartOffset
        if let diverging = finding.diverging { partition.divergingEpoch = diverging }
        if readsCommitted, finding.errorCode == .none {
            partition.abortedTransactions = finding.aborted.map { aborted in
                FetchResponse.AbortedTransaction {
                    $0.producerID = aborted.producerID
                    $0.firstOffset = aborted.firstOffset
                }
            }
        }
        // Never null: some clients take that for an error.
        partition.records = finding.records
        return partition
    }
}
