import KafkaProtocol
import NIOCore
import NIOPosix
import Testing

@testable import KafkaClient

/// That the front does what it says: a client that does not try again meets each fault, and the broker what it should.
@Suite(.timeLimit(.minutes(2)), .serialized)
struct FlakyFrontTests {
    /// Goes through the front once, without trying again.
    private func once<R: Request>(_ front: FlakyFront, _ request: R) async throws(ClientError) -> R.Response {
        let connection = try await Connection.connect(to: front.address, on: MultiThreadedEventLoopGroup.singleton.any())
        defer { connection.close() }
        return try await connection.call(request)
    }

    private func creation(_ name: String) -> CreateTopicsRequest {
        CreateTopicsRequest {
            $0.timeoutMs = 1000
            $0.topics = [CreateTopicsRequest.Topic { ($0.name, $0.numPartitions, $0.replicationFactor) = (name, 1, 1) }]
        }
    }

    @Test func eachFaultComesOnceAndIsWhatItIsCalled() async throws {
        try await FlakyScene.with(seed: 1, keys: [.createTopics]) { scene in
            var seen: [Fault: Int] = [:]
            var number = 0
            try await scene.untilSpent([.createTopics]) { _ in
                let name = "topic-\(number)"
                number += 1
                let before = scene.front.plan.value
                var outcome: ErrorCode?
                do throws(ClientError) {
                    outcome = try await once(scene.front, creation(name)).topics.first?.errorCode
                } catch {
                    guard case .connectionLost = error else { throw error }
                }
                let isThere = try await Admin(scene.direct).topic(name) != nil
                let after = scene.front.plan.value
                let fault = after.met.first { $0.value > before.met[$0.key, default: 0] }?.key.fault
                switch fault {
                case .lostBefore: #expect(outcome == nil && !isThere)
                case .lostAfter, .cut: #expect(outcome == nil && isThere)
                case .refused(let code): #expect(outcome == code && !isThere)
                case nil: #expect(outcome == ErrorCode.none && isThere)
                }
                if let fault { seen[fault, default: 0] += 1 }
            }
            let wanted = Fault.losses + RefusableApi.controllerErrors.map { .refused($0) }
            #expect(seen == Dictionary(uniqueKeysWithValues: wanted.map { ($0, 1) }))
        }
    }

    @Test func everyAnswerNamesTheFront() async throws {
        try await FlakyScene.with(seed: 1, keys: []) { scene in
            let port = Int32(scene.front.address.port)
            let metadata = try await once(scene.front, MetadataRequest())
            let cluster = try await once(scene.front, DescribeClusterRequest())
            let coordinator = try await once(scene.front, FindCoordinatorRequest { $0.coordinatorKeys = ["group"] })
            #expect(metadata.brokers.map(\.port) == [port])
            #expect(cluster.brokers.map(\.port) == [port])
            #expect(coordinator.coordinators.map(\.port) == [port])
            #expect(scene.front.plan.value.rewriteCount == 3)
            #expect(scene.front.plan.value.delayCount == 12)
        }
    }

    @Test func withoutTryingAgainAClientFails() async throws {
        try await FlakyScene.with(seed: 1, keys: [.createTopics], operationTimeout: .zero) { scene in
            let admin = Admin(scene.cluster)
            var failures = 0
            try await scene.untilSpent([.createTopics]) { round in
                do throws(ClientError) { try await admin.createTopic("topic-\(round)") } catch { failures += 1 }
            }
            #expect(failures == Fault.losses.count + RefusableApi.controllerErrors.count)
        }
    }

    @Test func theSameSeedGivesTheSameFates() {
        func fates(_ seed: UInt64, _ keys: [ApiKey]) -> [Fault?] {
            var plan = FaultPlan(seed: seed, errors: [.produce: RefusableApi.leaderErrors, .fetch: RefusableApi.epochErrors])
            return keys.map { key in plan.draw(key) { _ in true } }
        }
        let produces = Array(repeating: ApiKey.produce, count: 100)
        let mixed = (0..<200).map { $0 % 2 == 0 ? ApiKey.produce : .fetch }
        let alone = fates(5, produces)
        #expect(alone == zip(mixed, fates(5, mixed)).filter { $0.0 == .produce }.map(\.1))
        #expect(alone != fates(6, produces))
        #expect(Set(alone.compactMap { $0 }) == Set(Fault.losses + RefusableApi.leaderErrors.map { .refused($0) }))
    }
}
