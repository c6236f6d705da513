import KafkaProtocol
import NIOCore
import Synchronization
import Testing

@testable import KafkaClient

/// Numbers that no sound broker tells crash nobody, and keep nobody busy.
@Suite(.timeLimit(.minutes(1)))
struct HostileBrokerTests {
    private static let partition = TopicPartition("topic", 0)

    private func withBroker(_ options: Cluster.Options? = nil, _ body: (ScriptedBroker, Cluster) async throws -> Void) async throws {
        let broker = try await ScriptedBroker.start()
        broker.lead(Self.partition.topic)
        var usual = Cluster.Options()
        usual.backoff = Backoff(initialMs: 20, maximumMs: 20)
        let cluster = Cluster(bootstrap: [broker.address], options: options ?? usual)
        try await body(broker, cluster)
        cluster.close()
        await broker.stop()
    }

    private static func answer(_ request: ProduceRequest, _ code: ErrorCode, _ offset: Int64) -> ProduceResponse {
        ProduceResponse {
            $0.responses = request.topicData.map { topic in
                ProduceResponse.Topic {
                    $0.name = topic.name
                    $0.partitionResponses = topic.partitionData.map { part in
                        ProduceResponse.Partition { ($0.index, $0.errorCode, $0.baseOffset) = (part.index, code, offset) }
                    }
                }
            }
        }
    }

    @Test func anIdentityThatWasGivenUpIsNotAskedForWithoutAPause() async throws {
        try await withBroker { broker, cluster in
            broker.when(InitProducerIdRequest.self) { _, _ in (InitProducerIdResponse { $0.producerID = 1 }, []) }
            broker.when(ProduceRequest.self) { request, _ in (Self.answer(request, .unknownProducerID, -1), []) }
            let producer = Producer(cluster)
            let begun = ContinuousClock.now
            let sending = Task { try await producer.send(key: nil, value: nil, to: Self.partition.topic) }
            await broker.counts.until { $0[.initProducerID, default: 0] >= 5 }
            // The first two come at once; the shortest pause is of 16 milliseconds.
            #expect(ContinuousClock.now - begun >= .milliseconds(3 * 16))
            broker.when(ProduceRequest.self) { request, _ in (Self.answer(request, .none, 7), []) }
            broker.when(InitProducerIdRequest.self) { _, _ in (InitProducerIdResponse { $0.producerID = 2 }, []) }
            let place = try await sending.value
            #expect(place.offset == 7)
            await producer.close()
        }
    }

    /// Its kernel goes on confirming what it has no room for, so that the connection never breaks.
    @Test func whoReadsNothingHoldsNobodyWhoWantsNoAnswer() async throws {
        var patience = Cluster.Options()
        patience.connection.requestTimeout = .milliseconds(300)
        // Longer than what waits beyond its time is left unnoticed.
        patience.backoff = Backoff(initialMs: 1_500, maximumMs: 1_500)
        try await withBroker(patience) { broker, cluster in
            broker.when(ProduceRequest.self) { request, _ in (Self.answer(request, .none, 0), []) }
            broker.deafening.withLock { $0 = .produce }
            var options = ProducerOptions()
            (options.acknowledgement, options.isIdempotent) = (.none, false)
            (options.batchByteCount, options.recordByteCountMax) = (32 << 20, 32 << 20)
            options.deliveryTimeout = .milliseconds(100)
            let producer = Producer(cluster, options: options)
            let topic = try await producer.topic(Self.partition.topic)
            let results = Mutex<[Result<Int64, ClientError>]>([])
            // More than the buffers of a connection hold.
            let value = [UInt8](repeating: 1, count: 12 << 20)
            let isTaken = try value.withUnsafeBytes { bytes in
                try topic.enqueue(key: nil, value: bytes) { _, result in results.withLock { $0.append(result) } }
            }
            #expect(isTaken)
            await producer.flush()
            let outcomes = results.withLock { $0 }
            #expect(outcomes.count == 1)
            #expect(outcomes.allSatisfy { if case .failure(.timedOut(_)) = $0 { true } else { false } }, "\(outcomes)")
            await producer.close()
        }
    }

    @Test func theGreatestOffsetIsNotCountedOnFrom() async throws {
        try await withBroker { broker, cluster in
            broker.when(InitProducerIdRequest.self) { _, _ in (InitProducerIdResponse { $0.producerID = 1 }, []) }
            broker.when(ProduceRequest.self) { request, _ in (Self.answer(request, .none, .max), []) }
            var options = ProducerOptions()
            // Both leave together, when the producer is closed.
            options.linger = .seconds(5)
            let producer = Producer(cluster, options: options)
            let topic = try await producer.topic(Self.partition.topic)
            let offsets = Mutex<[Int64?]>([])
            for _ in 0..<2 {
                let isTaken = try topic.enqueue(key: nil, value: nil) { _, result in offsets.withLock { $0.append(try? result.get()) } }
                #expect(isTaken)
            }
            await producer.close()
            #expect(offsets.withLock { $0 } == [Int64.max, Int64.min])
        }
    }

    @Test func aPartitionThatEndsBeforeItBeginsIsMalformed() async throws {
        try await withBroker { broker, cluster in
            broker.when(ListOffsetsRequest.self) { request, _ in
                let response = ListOffsetsResponse {
                    $0.topics = request.topics.map { topic in
                        ListOffsetsResponse.Topic {
                            $0.name = topic.name
                            $0.partitions = [ListOffsetsResponse.Partition { $0.offset = .min }]
                        }
                    }
                }
                return (response, [])
            }
            let error = await #expect(throws: ClientError.self) { try await Admin(cluster).offsets([Self.partition: .earliest]) }
            #expect(error == .malformed("the leader of topic-0 says that it ends at \(Int64.min)"))
        }
    }

    @Test func moreThanCanBeCountedIsTheMostThatCan() {
        let sizes = [TopicPartition("a", 0): Int64.max, TopicPartition("b", 0): .max, TopicPartition("c", 0): -1]
        #expect(LogDirectory(path: "/", error: .none, byteCounts: sizes, totalByteCount: nil, usableByteCount: nil).byteCount == .max)
    }

    @Test func aMarkAtTheLeastOffsetEndsATransaction() {
        var filter = AbortedFilter([])
        filter.end(RecordBatchHeader(baseOffset: .min, batchLength: 0, attributes: 0x30, producerID: 1))
        let isDropped = filter.drops(RecordBatchHeader(baseOffset: 0, batchLength: 0, attributes: 0x10, producerID: 1))
        #expect(!isDropped)
    }
}
