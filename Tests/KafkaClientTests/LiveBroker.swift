import Broker
import Foundation
import KafkaClient
import Logging
import Store
import Testing

/// A real broker over a store in a directory of its own, which can be stopped and started again on the same port.
final class LiveBroker {
    let directory = FileManager.default.temporaryDirectory.appending(path: "lmbroker-client-test-\(UUID().uuidString)")
    private var store: Store?
    private var server: BrokerServer?
    private(set) var port = 0

    /// - Parameter settings: `NAME=VALUE` each, beside the address and the directory.
    func start(_ settings: [String] = []) async throws {
        var layers = ConfigurationLayers()
        for setting in ["listeners=PLAINTEXT://127.0.0.1:\(port)", "log.dirs=\(directory.path)", "num.network.threads=2"] + settings {
            try layers.set(setting)
        }
        let configuration = try BrokerConfiguration(layers)
        var options = StoreOptions()
        options.mapByteCount = 1 << 30
        options.topicDefaults = configuration.topicDefaults
        let store = try Store.open(directory: directory.path, options: options)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let server = try await BrokerServer.start(configuration: LiveConfiguration(configuration), store: store, logger: logger)
        port = server.endpoints[0].bound.port
        (self.store, self.server) = (store, server)
    }

    func stop() async {
        await server?.stop()
        store?.close()
        (store, server) = (nil, nil)
    }

    func remove() async {
        await stop()
        try? FileManager.default.removeItem(at: directory)
    }

    func cluster() -> Cluster {
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 5, maximumMs: 50)
        return Cluster(bootstrap: [BrokerAddress(host: "127.0.0.1", port: port)], options: options)
    }
}

/// Makes a topic each of whose partitions has the values 0 to `count` − 1, in many small batches.
func writeNumbers(_ count: Int, to topic: String, partitions: Int32, _ cluster: Cluster) async throws {
    try await Admin(cluster).createTopic(topic, partitions: partitions)
    var options = ProducerOptions()
    options.batchByteCount = 500
    let producer = Producer(cluster, options: options)
    let target = try await producer.topic(topic)
    for number in 0..<count {
        let value = Array("\(number)".utf8)
        for partition in 0..<partitions {
            let isTaken = try value.withUnsafeBytes { try target.enqueue(key: nil, value: $0, partition: partition) }
            #expect(isTaken)
        }
    }
    await producer.close()
}

/// Writes `order N` for each number of `range` to the topic `orders`, all of them at once.
func writeOrders(_ range: Range<Int>, _ cluster: Cluster) async throws {
    let producer = Producer(cluster)
    try await withThrowingTaskGroup { group in
        for number in range {
            group.addTask { _ = try await producer.send(key: Array("\(number)".utf8), value: Array("order \(number)".utf8), to: "orders") }
        }
        try await group.waitForAll()
    }
    await producer.close()
}

/// Reads until each of these partitions has come to the offset `last`; returns all offsets, by partition, in the order in which they came.
func readOffsets(
    through last: Int64, of partitions: Set<Int32>, after first: [Int32: [Int64]] = [:], _ next: () async throws -> FetchedRecords?
) async throws -> [Int32: [Int64]] {
    var offsets = first
    while !partitions.allSatisfy({ offsets[$0]?.last == last }), let fetched = try await next() {
        for record in try fetched.records() { offsets[record.partition.partition, default: []].append(record.offset) }
    }
    return offsets
}
