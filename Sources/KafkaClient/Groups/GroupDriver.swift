import KafkaProtocol
import NIOCore

/// Carries out what a `GroupMembership` decides: sends its requests, looks at the clock for it, and passes handoffs on to
/// the consumer. Joining has a connection of its own, since the coordinator may hold the answer for minutes.
final class GroupDriver: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the event loop only.
    let cluster: Cluster
    let eventLoop: any EventLoop
    private let settings: GroupSettings
    private weak var consumer: GroupConsumer?
    private var membership: GroupMembership
    private var connection: Connection?
    private var wakeUp: (task: Scheduled<Void>, deadline: Int64)?
    private var commitTimer: RepeatedTask?
    private var isOver = false

    init(_ cluster: Cluster, _ settings: GroupSettings) {
        self.cluster = cluster
        self.settings = settings
        eventLoop = cluster.eventLoop
        membership = GroupMembership(settings, memberID: Uuid.random().description, seed: .random(in: 0 ... .max))
    }

    func attach(_ consumer: GroupConsumer, commitEvery interval: Duration?) {
        self.consumer = consumer
        guard let interval else { return }
        let delay = TimeAmount.milliseconds(max(interval.milliseconds, 10))
        eventLoop.execute { [self] in
            commitTimer = eventLoop.scheduleRepeatedTask(initialDelay: delay, delay: delay) { [weak consumer] task in
                if let consumer { consumer.commitInBackground() } else { task.cancel() }
            }
        }
    }

    /// Callable from any thread; events keep their order.
    func tell(_ event: GroupMembership.Event) { eventLoop.execute { self.handle(event) } }

    private static var nowMs: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }

    private func handle(_ event: GroupMembership.Event) {
        if isOver { return }
        let actions = membership.handle(event, at: Self.nowMs)
        consumer?.identify(membership.identity)
        for action in actions { perform(action) }
        schedule()
    }

    private func schedule() {
        guard !isOver, let deadline = membership.nextDeadline else { return }
        if let wakeUp, wakeUp.deadline <= deadline { return }
        wakeUp?.task.cancel()
        let delay = TimeAmount.milliseconds(max(deadline - Self.nowMs, 0) + 1)
        let task = eventLoop.assumeIsolated().scheduleTask(in: delay) {
            self.wakeUp = nil
            self.handle(.tick)
        }
        wakeUp = (task, deadline)
    }

    private func perform(_ action: GroupMembership.Action) {
        switch action {
        case .send(let ticket, let request): send(ticket, request)
        case .lookUp(let ticket, let topics): lookUp(ticket, topics)
        case .hand(let handoff): consumer?.offer(handoff)
        case .left: end(nil)
        case .failed(let error): end(error)
        }
    }

    /// The last event. Also called when the consumer does not wait for the coordinator any longer.
    func end(_ failure: ClientError?) {
        if isOver { return }
        isOver = true
        wakeUp?.task.cancel()
        commitTimer?.cancel()
        connection?.close()
        connection = nil
        consumer?.ended(failure)
    }

    // MARK: Requests

    private func send(_ ticket: UInt64, _ request: GroupMembership.Request) {
        let open = connection.flatMap { $0.isOpen ? $0 : nil }
        Task { [self] in
            let result: Result<GroupMembership.Response, ClientError>
            var used = open
            do throws(ClientError) {
                result = .success(try await carry(request, &used))
            } catch {
                result = .failure(error)
            }
            let connection = used
            eventLoop.execute { self.answered(ticket, result, connection) }
        }
    }

    private func answered(_ ticket: UInt64, _ result: Result<GroupMembership.Response, ClientError>, _ used: Connection?) {
        // Nobody waits for the answer any more, and the connection may be another request's by now.
        guard !isOver, membership.request?.ticket == ticket else {
            if used !== connection { used?.close() }
            return
        }
        // None is kept when the coordinator has turned out to be elsewhere.
        if used !== connection {
            connection?.close()
            connection = used
        }
        if case .failure = result {
            // Whatever broke, the next request begins on a connection that is sound.
            connection?.close()
            connection = nil
        }
        handle(.answered(ticket, result))
    }

    private func carry(
        _ request: GroupMembership.Request, _ connection: inout Connection?
    ) async throws(ClientError) -> GroupMembership.Response {
        let patience = TimeAmount.milliseconds(settings.maxPollIntervalMs + 5_000)
        switch request {
        case .findCoordinator:
            let address = try await cluster.findCoordinator(of: settings.groupID)
            if connection?.address != address { connection = nil }
            return .coordinator
        case .join(let request):
            let coordinator = try await connected(&connection)
            if request.groupInstanceID != nil, (coordinator.version(of: JoinGroupRequest.self) ?? 5) < 5 {
                throw .unsupported("\(coordinator.address) knows no static members; Kafka does from 2.3 on")
            }
            return .join(try await coordinator.call(request, holding: patience))
        case .sync(let request): return .sync(try await connected(&connection).call(request, holding: patience))
        case .heartbeat(let request): return .heartbeat(try await connected(&connection).call(request))
        case .consumerHeartbeat(let request): return .consumerHeartbeat(try await connected(&connection).call(request))
        case .leave(let request):
            // Not behind a join that the coordinator holds.
            return .leave(try await cluster.connection(to: try await coordinator()).call(request))
        }
    }

    private func coordinator() async throws(ClientError) -> BrokerAddress {
        if let known = cluster.knownCoordinator(of: settings.groupID) { return known }
        return try await cluster.findCoordinator(of: settings.groupID)
    }

    private func connected(_ connection: inout Connection?) async throws(ClientError) -> Connection {
        if let connection { return connection }
        let fresh = try await Connection.connect(to: try await coordinator(), options: cluster.options.connection, on: eventLoop)
        connection = fresh
        return fresh
    }

    private func lookUp(_ ticket: UInt64, _ topics: [String]) {
        Task { [self] in
            let result: Result<[String: GroupMembership.TopicFacts], ClientError>
            do throws(ClientError) {
                let metadata = try await cluster.refresh(topics)
                var facts: [String: GroupMembership.TopicFacts] = [:]
                for name in topics {
                    guard let topic = metadata.topics[name], topic.error == .none, !topic.partitions.isEmpty else { continue }
                    facts[name] = GroupMembership.TopicFacts(id: topic.id, partitionCount: Int32(topic.partitions.count))
                }
                result = .success(facts)
            } catch {
                result = .failure(error)
            }
            tell(.lookedUp(ticket, result))
        }
    }
}
