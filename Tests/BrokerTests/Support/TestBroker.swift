import Foundation
import KafkaProtocol
import Logging

@testable import Broker
@testable import Store

/// A broker on a port of its own over a store in a directory of its own, gone when the test is over.
final class TestBroker: Sendable {
    let store: Store
    let configuration: LiveConfiguration
    let server: BrokerServer
    private let directory: URL

    /// Runs `body` with a broker whose configuration has `settings`, each `NAME=VALUE`.
    static func with<R: Sendable>(_ settings: [String] = [], _ body: (TestBroker) async throws -> R) async throws -> R {
        let directory = FileManager.default.temporaryDirectory.appending(path: "lmbroker-test-\(UUID().uuidString)")
        let broker = try await TestBroker(directory, settings)
        do {
            let result = try await withTaskExecutorPreference(ThreadPerJobExecutor()) { try await body(broker) }
            await broker.close()
            try? FileManager.default.removeItem(at: directory)
            return result
        } catch {
            await broker.close()
            try? FileManager.default.removeItem(at: directory)
            throw error
        }
    }

    private init(_ directory: URL, _ settings: [String]) async throws {
        self.directory = directory
        var layers = ConfigurationLayers()
        for setting in ["listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=\(directory.path)", "num.network.threads=2"] + settings {
            try layers.set(setting)
        }
        let configuration = try BrokerConfiguration(layers)
        var options = StoreOptions()
        options.mapByteCount = 1 << 30
        // A lone client is one on any disk.
        options.shortCommitNs = .max
        options.topicDefaults = configuration.topicDefaults
        store = try Store.open(directory: directory.path, options: options)
        self.configuration = LiveConfiguration(configuration)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        server = try await BrokerServer.start(configuration: self.configuration, store: store, logger: logger)
    }

    private func close() async {
        await server.stop()
        store.close()
    }

    var port: Int { server.endpoints[0].bound.port }

    func connect(receiveByteCount: Int32? = nil) throws -> WireClient { try WireClient(port: port, receiveByteCount: receiveByteCount) }

    /// Creates a topic in the store, past the protocol.
    @discardableResult
    func createTopic(_ name: String, partitions: Int = 1, configs: [String: String] = [:]) async throws -> Topic {
        try await store.createTopic(name, partitions: partitions, configs: configs)
    }

    /// Appends one batch of one record with `timestamp`, past the protocol, and returns its offset.
    @discardableResult
    func append(_ value: [UInt8], to partition: Partition, timestamp: Int64) async throws -> Int64 {
        try await store.append(value, to: partition, timestamp: timestamp)
    }
}

extension Store {
    func createTopic(_ name: String, partitions: Int, configs: [String: String]) async throws -> Topic {
        guard case .topic(let topic) = await perform(.createTopic(name: name, id: nil, partitionCount: partitions, configs: configs))
        else { throw WireClient.Failure(description: "the topic \(name) was not created") }
        return topic
    }

    /// Appends one batch of one record, and returns its offset.
    func append(_ value: [UInt8], to partition: Partition, timestamp: Int64 = 1) async throws -> Int64 {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: value, timestamp: timestamp)
        let batch = try builder.finish()
        let frame = Frame(batch)
        guard let header = RecordBatchHeader(frame.span, at: 0) else { throw WireClient.Failure(description: "no header") }
        let results = await append([
            Append(partition: partition, frame: frame, slice: FrameSlice(offset: 0, length: batch.count), header: header)
        ])
        guard results[0].errorCode == .none else { throw WireClient.Failure(description: "refused: \(results[0])") }
        return results[0].baseOffset
    }

    func append(_ appends: [Append]) async -> [AppendResult] {
        await withCheckedContinuation { continuation in
            submit([.append(appends, lane: DirectLane.shared) { continuation.resume(returning: $0) }])
        }
    }
}

/// Finishes submissions where the store delivers them.
final class DirectLane: Lane {
    static let shared = DirectLane()
    var isWatching: Bool { false }
    func deliver(_ finished: [Submission], changed: [PartitionID]) { for submission in finished { submission.finish() } }
}
