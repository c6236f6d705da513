import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import KafkaClient

/// Counts the tasks that an event loop runs.
private final class TaskCounter: NIOEventLoopMetricsDelegate {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }

    func processedTick(info: NIOEventLoopTickInfo) { count.add(info.numberOfTasks, ordering: .relaxed) }
}

@Suite(.timeLimit(.minutes(1)))
struct ProducerFlushTests {
    @Test func howeverManyFlushesThereWereOneTimerLingers() async throws {
        let broker = try await FakeBroker.start()
        let counter = TaskCounter()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1, metricsDelegate: counter)
        let cluster = Cluster(bootstrap: [BrokerAddress(host: "127.0.0.1", port: broker.port)], group: group)
        var options = ProducerOptions()
        options.linger = .milliseconds(500)
        let producer = Producer(cluster, options: options)
        let topic = try await producer.topic(broker.topic)
        for _ in 0..<300 {
            #expect(try topic.enqueue(key: nil, value: nil))
            await producer.flush()
        }
        // Were there a timer from each flush, all that are still under way would come by until this record leaves.
        let before = counter.value
        _ = try await producer.send(key: nil, value: nil, to: broker.topic)
        #expect(counter.value - before < 60)
        await producer.close()
        cluster.close()
        await broker.stop()
        try await group.shutdownGracefully()
    }
}
