import Broker
import Foundation
import KafkaClient
import Logging
import Store

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
