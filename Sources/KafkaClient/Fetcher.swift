import KafkaProtocol
import NIOCore

/// The event-loop half of a consumer: keeps one fetch under way at each broker that leads assigned partitions.
final class Fetcher: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the event loop only.

    /// Where reading of one partition stands.
    final class Cursor {
        let partition: TopicPartition
        /// The offset to fetch next.
        var offset: Int64
        var topicID: Uuid
        var leader: Int32?
        var failures = 0
        var notBefore: NIODeadline?
        /// No longer read: answers to earlier questions are of no interest.
        var isDropped = false

        init(_ partition: TopicPartition, offset: Int64) {
            self.partition = partition
            self.offset = offset
            topicID = Uuid()
        }
    }

    final class Broker: @unchecked Sendable {
        // Unchecked: touched on the event loop only.
        let id: Int32
        var connection: Connection?
        var isConnecting = false
        var isFetching = false
        var failures = 0
        var notBefore: NIODeadline?
        /// Which partition comes first in the next fetch: brokers fill answers in that order.
        var turn = 0

        init(_ id: Int32) { self.id = id }
    }

    let cluster: Cluster
    let eventLoop: any EventLoop
    let options: ConsumerOptions
    weak var consumer: Consumer?
    var cursors: [Cursor] = []
    var brokers: [Int32: Broker] = [:]
    var isRefreshing = false
    var refreshFailures = 0
    var isClosed = false
    var wakeUp: (task: Scheduled<Void>, deadline: NIODeadline)?

    init(cluster: Cluster, options: ConsumerOptions) {
        self.cluster = cluster
        eventLoop = cluster.eventLoop
        self.options = options
    }

    func attach(_ consumer: Consumer) { self.consumer = consumer }

    func assign(_ offsets: [TopicPartition: Int64], _ metadata: ClusterMetadata) {
        drop(Set(cursors.map(\.partition)))
        add(offsets, metadata)
    }

    /// Reads these too.
    func add(_ offsets: [TopicPartition: Int64], _ metadata: ClusterMetadata) {
        drop(Set(offsets.keys))
        // In order, so that a request names each topic once.
        cursors = (cursors + offsets.map { Cursor($0.key, offset: $0.value) })
            .sorted { ($0.partition.topic, $0.partition.partition) < ($1.partition.topic, $1.partition.partition) }
        learn(metadata)
        pump()
    }

    func drop(_ partitions: Set<TopicPartition>) {
        for cursor in cursors where partitions.contains(cursor.partition) { cursor.isDropped = true }
        cursors.removeAll(where: \.isDropped)
    }

    /// The offsets to fetch next.
    func positions(of partitions: Set<TopicPartition>) -> [TopicPartition: Int64] {
        Dictionary(cursors.lazy.filter { partitions.contains($0.partition) }.map { ($0.partition, $0.offset) }) { $1 }
    }

    func learn(_ metadata: ClusterMetadata) {
        for cursor in cursors {
            cursor.leader = metadata.leader(of: cursor.partition)
            if let topic = metadata.topics[cursor.partition.topic] { cursor.topicID = topic.id }
            if let leader = cursor.leader, brokers[leader] == nil { brokers[leader] = Broker(leader) }
        }
    }

    /// Starts every fetch that may start.
    func pump() {
        eventLoop.assertInEventLoop()
        guard !isClosed, consumer?.hasRoom == true else { return }
        if cursors.contains(where: { $0.leader == nil }) { refresh() }
        for broker in brokers.values { fetch(broker) }
    }

    private func fetch(_ broker: Broker) {
        guard !broker.isFetching else { return }
        let now = NIODeadline.now()
        let led = cursors.filter { $0.leader == broker.id }
        if led.isEmpty { return }
        let due = led.filter { $0.notBefore.map { $0 <= now } ?? true }
        for cursor in led { if let notBefore = cursor.notBefore, notBefore > now { wake(at: notBefore) } }
        if due.isEmpty { return }
        guard let connection = broker.connection, connection.isOpen else { return connect(broker) }
        broker.isFetching = true
        broker.turn = (broker.turn + 1) % due.count
        let request = FetchRequest(Array(due[broker.turn...] + due[..<broker.turn]), options)
        let hasIDs = due.allSatisfy { !$0.topicID.isZero }
        let asked = NIOLoopBound(due, eventLoop: eventLoop)
        // Versions from 13 name topics by id only, which an old broker's metadata does not tell.
        connection.send(request, atMost: hasIDs ? .max : 12, holding: options.fetchWait).whenComplete { result in
            broker.isFetching = false
            switch result {
            case .success(let answer):
                broker.failures = 0
                if !self.isClosed { self.answered(answer, asked: asked.value) }
            case .failure(let error): self.fetchFailed(broker, connection, error)
            }
            self.pump()
        }
    }

    private func fetchFailed(_ broker: Broker, _ connection: Connection, _ error: any Error) {
        if broker.connection === connection {
            broker.connection = nil
            connection.close()
        }
        if let error = error as? ClientError, !error.isRetriable, error != .closed { consumer?.fail(error) }
        penalise(broker)
        refresh()
    }

    // MARK: Answers

    private func answered(_ answer: Answer<FetchResponse>, asked: [Cursor]) {
        let response = answer.message
        let cursors = asked.filter { !$0.isDropped }
        guard response.errorCode == .none else {
            for cursor in cursors { postpone(cursor) }
            return
        }
        var fetched: [FetchedRecords] = []
        for topic in response.responses {
            for part in topic.partitions {
                let cursor = cursors.first {
                    $0.partition.partition == part.partitionIndex
                        && (answer.version >= 13 ? $0.topicID == topic.topicID : $0.partition.topic == topic.topic)
                }
                guard let cursor else { continue }
                if part.errorCode != .none {
                    refused(cursor, part.errorCode)
                } else if let records = advance(cursor, part, answer.frame) {
                    fetched.append(records)
                }
            }
        }
        if !fetched.isEmpty { consumer?.put(fetched) }
    }

    /// Moves the cursor behind the whole batches of the answer. A batch that is cut off at the end comes again.
    private func advance(_ cursor: Cursor, _ part: FetchResponse.Partition, _ frame: Frame) -> FetchedRecords? {
        (cursor.failures, cursor.notBefore) = (0, nil)
        guard let slice = part.records, slice.length > 0 else { return nil }
        var position = slice.offset
        var next = cursor.offset
        var leaderEpoch: Int32 = -1
        frame.withUnsafeBytes { bytes in
            let records = UnsafeRawBufferPointer(rebasing: bytes[..<(slice.offset + slice.length)])
            while let header = RecordBatchHeader(records, at: position) {
                position += header.byteCount
                next = max(next, header.nextOffset)
                leaderEpoch = header.partitionLeaderEpoch
            }
        }
        guard position > slice.offset else {
            consumer?.fail(.malformed("\(cursor.partition): what was fetched at offset \(cursor.offset) is not a record batch"))
            postpone(cursor)
            return nil
        }
        defer { cursor.offset = next }
        return FetchedRecords(
            partition: cursor.partition, firstOffset: cursor.offset, nextOffset: next, leaderEpoch: leaderEpoch,
            highWatermark: part.highWatermark, frame: frame,
            slice: FrameSlice(offset: slice.offset, length: position - slice.offset), aborted: part.abortedTransactions ?? [],
            isolation: options.isolation, batchByteCountMax: options.batchByteCountMax)
    }

    private func refused(_ cursor: Cursor, _ code: ErrorCode) {
        postpone(cursor)
        if code == .offsetOutOfRange {
            relocate(cursor)
        } else if code.isRetriable {
            if code.asksForMetadata { refresh() }
        } else {
            consumer?.fail(.broker(code, "\(cursor.partition) cannot be read"))
        }
    }

    /// Goes on at `ConsumerOptions.outOfRange`.
    private func relocate(_ cursor: Cursor) {
        let error = ClientError.broker(.offsetOutOfRange, "\(cursor.partition) has no offset \(cursor.offset)")
        guard let place = options.outOfRange else { return consumer?.fail(error) ?? () }
        let partition = cursor.partition
        let held = NIOLoopBound(cursor, eventLoop: eventLoop)
        cursor.notBefore = .distantFuture
        Task { [cluster, eventLoop, options] in
            let result: Result<Int64?, ClientError>
            do throws(ClientError) {
                result = .success(try await Admin(cluster).offsets([partition: place], isolation: options.isolation)[partition])
            } catch {
                result = .failure(error)
            }
            eventLoop.execute { self.relocated(held.value, result) }
        }
    }

    private func relocated(_ cursor: Cursor, _ result: Result<Int64?, ClientError>) {
        if cursor.isDropped { return }
        switch result {
        case .success(let offset):
            cursor.offset = offset ?? cursor.offset
            cursor.notBefore = nil
        case .failure(let error):
            consumer?.fail(error)
            postpone(cursor)
        }
        pump()
    }
}

extension FetchRequest {
    /// Lists the partitions in this order, without a session.
    init(_ cursors: [Fetcher.Cursor], _ options: ConsumerOptions) {
        self.init()
        maxWaitMs = Int32(clamping: options.fetchWait.nanoseconds / 1_000_000)
        minBytes = Int32(clamping: options.fetchByteCountMin)
        maxBytes = Int32(clamping: options.fetchByteCountMax)
        isolationLevel = options.isolation.rawValue
        for cursor in cursors {
            if topics.last?.topic != cursor.partition.topic {
                topics.append(
                    Topic {
                        $0.topic = cursor.partition.topic
                        $0.topicID = cursor.topicID
                    })
            }
            topics[topics.count - 1].partitions.append(
                Partition {
                    $0.partition = cursor.partition.partition
                    $0.fetchOffset = cursor.offset
                    $0.partitionMaxBytes = Int32(clamping: options.partitionByteCountMax)
                })
        }
    }
}
