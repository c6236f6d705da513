public import KafkaProtocol
import NIOCore
import Synchronization

/// Writes records to a cluster.
///
/// Records are gathered into batches by partition, sent to the partitions' leaders with several requests in flight, and
/// tried again until they are delivered or `ProducerOptions.deliveryTimeout` has passed. An idempotent producer delivers
/// each record once and in order, whatever fails on the way.
///
///     let producer = Producer(cluster)
///     let position = try await producer.send(key: nil, value: Array("hello".utf8), to: "greetings")
///     await producer.close()
public final class Producer: Sendable {
    public let cluster: Cluster
    public let options: ProducerOptions
    let inbox: ProducerInbox
    let sender: ProducerSender
    private let topics = Mutex<[String: ProducerTopic]>([:])

    public convenience init(_ cluster: Cluster, options: ProducerOptions = ProducerOptions()) { self.init(cluster, options: options, gate: nil) }

    init(_ cluster: Cluster, options: ProducerOptions, gate: TransactionGate?) {
        var options = options
        // Numbers are checked by what the leader and its replicas have on record: only that answer counts.
        if options.acknowledgement != .all { options.isIdempotent = false }
        self.cluster = cluster
        self.options = options
        inbox = ProducerInbox(byteCountMax: options.bufferByteCountMax)
        sender = ProducerSender(cluster: cluster, options: options, inbox: inbox, gate: gate)
        sender.attach(self)
    }

    /// A topic to write to, once it is there. What goes to a partition that has no leader waits for one.
    public func topic(_ name: String) async throws(ClientError) -> ProducerTopic {
        if let known = topics.withLock({ $0[name] }) { return known }
        let found = try await cluster.topic(name, allowAutoTopicCreation: options.allowAutoTopicCreation, needsLeaders: false)
        cluster.eventLoop.execute { [sender] in sender.watchTopics() }
        return topics.withLock { topics in
            if let known = topics[name] { return known }
            let fresh = ProducerTopic(found, producer: self)
            topics[name] = fresh
            return fresh
        }
    }

    /// Looks again where the topic is not known to have the partition: it may have been given more.
    func topic(_ name: String, with partition: Int32?) async throws(ClientError) -> ProducerTopic {
        let topic = try await topic(name)
        if let partition, partition >= topic.partitionCount {
            learn(try await cluster.retrying { () async throws(ClientError) in try await self.cluster.refresh([name]) })
        }
        return topic
    }

    /// Writes one record and waits until it is delivered. Many may be waited for at once, and travel together.
    ///
    /// - Parameters:
    ///   - partition: Nil to choose by the key, or, without one, to spread.
    ///   - timestampMs: Milliseconds since 1970, nil for now.
    public func send(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestampMs: Int64? = nil, to topic: String, partition: Int32? = nil
    ) async throws(ClientError) -> RecordPosition {
        let topic = try await self.topic(topic, with: partition)
        while true {
            if let promise = try take(key, value, headers, timestampMs, topic, partition) {
                do { return try await promise.futureResult.get() } catch { throw error as? ClientError ?? .closed }
            }
            await room(key, value, headers)
        }
    }

    /// Nil when there is no room now.
    private func take(
        _ key: [UInt8]?, _ value: [UInt8]?, _ headers: [RecordHeader], _ timestampMs: Int64?, _ topic: ProducerTopic, _ partition: Int32?
    ) throws(ClientError) -> EventLoopPromise<RecordPosition>? {
        let promise = cluster.eventLoop.makePromise(of: RecordPosition.self)
        let isTaken: Bool
        do {
            isTaken = try topic.enqueue(key: key, value: value, headers: headers, timestampMs: timestampMs, partition: partition) { partition, result in
                switch result {
                case .success(let offset): promise.succeed(RecordPosition(partition: partition, offset: offset))
                case .failure(let error): promise.fail(error)
                }
            }
        } catch {
            promise.fail(error)
            throw error
        }
        if isTaken { return promise }
        promise.fail(ClientError.closed)
        return nil
    }

    /// Returns when there may be room for another record.
    public func room() async { await inbox.room() }

    /// Returns when there may be room for this record.
    func room(_ key: [UInt8]?, _ value: [UInt8]?, _ headers: [RecordHeader]) async {
        await inbox.room(for: RecordBatchBuilder.greatestByteCount(key: key?.count ?? 0, value: value?.count ?? 0, headers: headers))
    }

    /// Sends what is gathered without waiting for full batches, and returns when everything taken in before has been
    /// delivered or given up; which of the two, `ProducerOptions.onDelivery` and `send` tell.
    public func flush() async {
        let promise = cluster.eventLoop.makePromise(of: Void.self)
        cluster.eventLoop.execute { [self] in
            for topic in topics.withLock({ Array($0.values) }) { topic.closeBatches() }
            sender.pump()
            sender.outstanding.wait(promise)
        }
        try? await promise.futureResult.get()
    }

    /// Delivers what was taken in, takes no more, and closes the connections.
    public func close() async {
        inbox.close()
        await flush()
        let promise = cluster.eventLoop.makePromise(of: Void.self)
        cluster.eventLoop.execute { [sender] in
            sender.closeConnections()
            promise.succeed()
        }
        try? await promise.futureResult.get()
        // Topics hold their producer, so that records can be written by them alone.
        topics.withLock { $0 = [:] }
    }

    // MARK: Called by the sender

    var topicNames: [String] { topics.withLock { Array($0.keys) } }

    func learn(_ metadata: ClusterMetadata) {
        for topic in topics.withLock({ Array($0.values) }) {
            if let facts = metadata.topics[topic.name] { topic.learn(facts) }
        }
    }

    // MARK: Called by topics

    func accept(_ batch: ProducerBatch) {
        if inbox.put(batch) { cluster.eventLoop.execute { [sender] in sender.pump() } }
    }

    /// Closes batches of `topic` whose time has come, now and as long as there are open ones.
    func linger(_ topic: ProducerTopic, until deadline: NIODeadline) {
        cluster.eventLoop.scheduleTask(deadline: deadline) { [options] in
            if let next = topic.closeBatches(openedBefore: .now() - options.linger) { self.linger(topic, until: next + options.linger) }
        }
    }
}
