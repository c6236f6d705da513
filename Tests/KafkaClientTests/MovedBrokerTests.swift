import Testing

@testable import KafkaClient

/// A client that has seen a broker at an address where there is none any more.
@Suite(.timeLimit(.minutes(1)))
struct MovedBrokerTests {
    /// Hands over a client whose metadata is out of date, with another address to ask.
    private func withOldMetadata(_ body: (_ admin: Admin, _ broker: Int32) async throws -> Void) async throws {
        let broker = LiveBroker()
        try await broker.start()
        let front = try await FlakyFront.start(before: broker, seed: 1, keys: [])
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 5, maximumMs: 50)
        options.operationTimeout = .seconds(5)
        let cluster = Cluster(bootstrap: [front.address, BrokerAddress(host: "127.0.0.1", port: broker.port)], options: options)
        let id = try #require(try await cluster.refresh([]).controller)
        #expect(cluster.metadata.brokers == [id: front.address])
        await front.stop()
        // Ends the connection through the front.
        await broker.stop()
        try await broker.start()
        try await body(Admin(cluster), id)
        cluster.close()
        await broker.remove()
    }

    @Test func theControllerIsLookedForAnew() async throws {
        try await withOldMetadata { admin, _ in try await admin.createTopic("topic") }
    }

    @Test func aBrokerIsAskedWhereItIsNow() async throws {
        try await withOldMetadata { admin, id in
            let directories = try await admin.logDirectories(of: id)
            #expect(directories.count == 1)
        }
    }
}
