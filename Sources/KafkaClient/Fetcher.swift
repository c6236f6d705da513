import KafkaProtocol
import NIOCore

/// The event-loop half of a consumer: keeps one fetch under way at each broker that leads assigned partitions.
final class Fetcher: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the event loop only.

    /// Where reading of one partition begins, or goes on.
    struct Start {
        var place: PartitionPlace
        /// Of the leader that took in what comes before, −1 where that is not known. A later leader may have lost it.
        var epoch: Int32 = -1
    }

    /// Where reading of one partition stands.
    final class Cursor {
        let partition: TopicPartition
        /// The offset to fetch next; −1 while `place` stands for it.
        var offset: Int64 = -1
        /// Where to begin, until the leader has told which offset that is.
        var place: PartitionPlace?
        /// The consumer has yet to hear of the offset.
        var isMoved = false
        var topicID = Uuid()
        var leader: Int32?
        /// −1 where it is not told.
        var leaderEpoch: Int32 = -1
        /// Of the leader that took in what was read last, −1 before anything was.
        var readEpoch: Int32 = -1
        /// Of the last leader that is known to go on from there.
        var checkedEpoch: Int32 = -1
        /// Where to go on is being asked, and not twice at a time; until it is known nothing is fetched.
        var isAsking = false
        var failures = 0
        var notBefore: NIODeadline?
        /// No longer read: answers to earlier questions are of no interest.
        var isDropped = false

        /// Whether another leads by now, which may have lost what was read last (KIP-320).
        var isInDoubt: Bool { readEpoch >= 0 && leaderEpoch > checkedEpoch }

        init(_ partition: TopicPartition, _ start: Start) {
            self.partition = partition
            (readEpoch, checkedEpoch) = (start.epoch, start.epoch)
            if let offset = start.place.knownOffset { self.offset = offset } else { place = start.place }
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
    var silence = Silence()
    var isClosed = false
    var wakeUp: (task: Scheduled<Void>, deadline: NIODeadline)?

    init(cluster: Cluster, options: ConsumerOptions) {
        self.cluster = cluster
        eventLoop = cluster.eventLoop
        self.options = options
    }

    func attach(_ consumer: Consumer) { self.consumer = consumer }

    func assign(_ places: [TopicPartition: PartitionPlace], _ metadata: ClusterMetadata) {
        drop(Set(cursors.map(\.partition)))
        add(places.mapValues { Start(place: $0) }, metadata)
    }

    /// Reads these too.
    func add(_ starts: [TopicPartition: Start], _ metadata: ClusterMetadata) {
        drop(Set(starts.keys))
        // In order, so that a request names each topic once.
        cursors = (cursors + starts.map { Cursor($0.key, $0.value) })
            .sorted { ($0.partition.topic, $0.partition.partition) < ($1.partition.topic, $1.partition.partition) }
        learn(metadata)
        pump()
    }

    func drop(_ partitions: Set<TopicPartition>) {
        for cursor in cursors where partitions.contains(cursor.partition) { cursor.isDropped = true }
        cursors.removeAll(where: \.isDropped)
    }

    /// Where to fetch next.
    func places(of partitions: Set<TopicPartition>) -> [TopicPartition: Start] {
        let read = cursors.lazy.filter { partitions.contains($0.partition) }
        return Dictionary(read.map { ($0.partition, Start(place: $0.place ?? .offset($0.offset), epoch: $0.readEpoch)) }) { $1 }
    }

    func learn(_ metadata: ClusterMetadata) {
        for cursor in cursors {
            let facts = metadata.facts(of: cursor.partition)
            (cursor.leader, cursor.leaderEpoch) = (facts?.leader, facts?.leaderEpoch ?? -1)
            if let topic = metadata.topics[cursor.partition.topic] { cursor.topicID = topic.id }
            if let leader = cursor.leader, brokers[leader] == nil { brokers[leader] = Broker(leader) }
        }
    }

    /// Starts every fetch that may start.
    func pump() {
        eventLoop.assertInEventLoop()
        guard !isClosed, consumer?.hasRoom == true else { return }
        if cursors.contains(where: { $0.leader == nil }) { refresh() }
        for cursor in due({ $0.place != nil && $0.leader != nil }) { locate(cursor) }
        for cursor in due({ $0.place == nil && $0.leader != nil && $0.isInDoubt }) { check(cursor) }
        for broker in brokers.values { fetch(broker) }
    }

    /// Those of a kind that need not wait any longer; for the others there is a call of `pump` to come.
    private func due(_ isOfKind: (Cursor) -> Bool) -> [Cursor] {
        let now = NIODeadline.now()
        return cursors.filter { cursor in
            guard !cursor.isAsking, isOfKind(cursor) else { return false }
            guard let notBefore = cursor.notBefore, notBefore > now else { return true }
            wake(at: notBefore)
            return false
        }
    }

    private func fetch(_ broker: Broker) {
        guard !broker.isFetching else { return }
        let due = due { $0.place == nil && $0.leader == broker.id && !$0.isInDoubt }
        if due.isEmpty { return }
        guard let connection = broker.connection, connection.isOpen else { return connect(broker) }
        broker.isFetching = true
        for cursor in due where cursor.readEpoch < 0 { cursor.checkedEpoch = cursor.leaderEpoch }
        broker.turn = (broker.turn + 1) % due.count
        let request = FetchRequest(Array(due[broker.turn...] + due[..<broker.turn]), options)
        let asked = NIOLoopBound(due.map { (cursor: $0, offset: $0.offset) }, eventLoop: eventLoop)
        connection.send(request, atMost: Self.newestVersion(for: due), holding: options.fetchWait).whenComplete { result in
            broker.isFetching = false
            switch result {
            case .success(let answer):
                broker.failures = 0
                self.heard()
                // What was moved meanwhile is asked for elsewhere.
                let cursors = asked.value.filter { !$0.cursor.isDropped && $0.cursor.offset == $0.offset }.map { $0.cursor }
                if !self.isClosed { self.answered(answer, from: broker, cursors) }
            case .failure(let error): self.fetchFailed(broker, connection, error)
            }
            self.pump()
        }
    }

    private static func newestVersion(for cursors: [Cursor]) -> Int16 {
        // Followers answer versions from 11 on (KIP-392), unless an epoch says that their leader is meant.
        if cursors.contains(where: { $0.leaderEpoch < 0 }) { return 10 }
        // Versions from 13 name topics by id only, which an old broker's metadata does not tell.
        return cursors.contains { $0.topicID.isZero } ? 12 : .max
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

    private func answered(_ answer: Answer<FetchResponse>, from broker: Broker, _ cursors: [Cursor]) {
        let response = answer.message
        guard response.errorCode == .none else {
            for cursor in cursors { postpone(cursor) }
            return
        }
        // Versions from 13 on name topics by id only.
        let isByID = answer.version >= 13
        let names = isByID ? Dictionary(cursors.map { ($0.topicID, $0.partition.topic) }, uniquingKeysWith: { first, _ in first }) : [:]
        let asked = Dictionary(cursors.map { ($0.partition, $0) }) { first, _ in first }
        var fetched: [FetchedRecords] = []
        for topic in response.responses {
            guard let name = isByID ? names[topic.topicID] : topic.topic else { continue }
            for part in topic.partitions {
                guard let cursor = asked[TopicPartition(name, part.partitionIndex)] else { continue }
                if part.errorCode != .none {
                    refused(cursor, part.errorCode, broker)
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
        let slice = part.records ?? FrameSlice(offset: 0, length: 0)
        // Who waits for records hears where the next ones would be, though there may never be any.
        if slice.length == 0, !cursor.isMoved { return nil }
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
        guard position > slice.offset || slice.length == 0 else {
            consumer?.fail(.malformed("\(cursor.partition): what was fetched at offset \(cursor.offset) is not a record batch"))
            postpone(cursor)
            return nil
        }
        if position > slice.offset { cursor.readEpoch = leaderEpoch }
        defer { (cursor.offset, cursor.isMoved) = (next, false) }
        return FetchedRecords(
            partition: cursor.partition, firstOffset: cursor.offset, nextOffset: next, leaderEpoch: leaderEpoch,
            highWatermark: part.highWatermark, frame: frame,
            slice: FrameSlice(offset: slice.offset, length: position - slice.offset), aborted: part.abortedTransactions ?? [],
            isolation: options.isolation, batchByteCountMax: options.batchByteCountMax)
    }

    private func refused(_ cursor: Cursor, _ code: ErrorCode, _ broker: Broker) {
        postpone(cursor)
        if code == .offsetOutOfRange {
            // Another that leads by now is asked anyway.
            if cursor.leader == broker.id { relocate(cursor, broker) }
        } else if code.isRetriable {
            if code.asksForMetadata { refresh() }
        } else {
            consumer?.fail(.broker(code, "\(cursor.partition) cannot be read"))
        }
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
                    $0.currentLeaderEpoch = cursor.leaderEpoch
                    $0.fetchOffset = cursor.offset
                    $0.partitionMaxBytes = Int32(clamping: options.partitionByteCountMax)
                })
        }
    }
}
