import Foundation
import KafkaProtocol
import NIOCore
import Store
import Testing

@testable import Broker

@Suite struct HostileClientTests {
    private func bigEndian(_ number: Int32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// Key, version, correlation id, client id, and `body`, with its length before it.
    private func request(_ key: Int16, _ version: Int16, body: [UInt8] = []) -> [UInt8] {
        var frame: [UInt8] = [UInt8(truncatingIfNeeded: key >> 8), UInt8(truncatingIfNeeded: key)]
        frame += [UInt8(truncatingIfNeeded: version >> 8), UInt8(truncatingIfNeeded: version)]
        frame += [0, 0, 0, 7, 0xff, 0xff] + body
        return bigEndian(Int32(frame.count)) + frame
    }

    @Test func whatIsNoRequestClosesItsConnectionAndNoOther() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("calm")
            let bystander = try broker.connect()
            let hostile: [[UInt8]] = [
                bigEndian(-1), bigEndian(.min), bigEndian(.max), bigEndian(104_857_601), bigEndian(0), bigEndian(3) + [1, 2, 3],
                Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), request(999, 0), request(-1, 0), request(0, 99), request(1, 3),
                request(1, 12, body: [0, 0xff, 0xff, 0xff, 0xff, 0xff]), request(0, 9, body: [0]),
                request(0, 8, body: [0xff, 0xff, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff]),
            ]
            for bytes in hostile {
                let client = try broker.connect()
                try client.write(bytes)
                #expect(client.isClosed(), "still open after \(bytes)")
                #expect(try !bystander.ask(ApiVersionsRequest(), version: 0).apiKeys.isEmpty)
            }
        }
    }

    /// An announced length costs address space, not memory.
    @Test func framesThatAreAnnouncedAndNotSentCostNothing() async throws {
        try await TestBroker.with { broker in
            var clients: [WireClient] = []
            for _ in 0..<200 {
                let client = try broker.connect()
                try client.write(bigEndian(100 << 20) + [0, 0])
                clients.append(client)
            }
            _ = try broker.connect().ask(ApiVersionsRequest())
            #expect(broker.server.context.requestBytes.usedBytes == 0)
            // 20 GB were announced. Other tests use memory of this process meanwhile.
            #expect(residentKilobytes() < 4_000_000)
            withExtendedLifetime(clients) {}
        }
    }

    private func residentKilobytes() -> Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("RssAnon") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }

    @Test func connectionsBeyondTheLimitOfAnAddressAreClosed() async throws {
        try await TestBroker.with(["max.connections.per.ip=3"]) { broker in
            var clients: [WireClient] = []
            for _ in 0..<3 {
                clients.append(try broker.connect())
                _ = try clients[clients.count - 1].ask(ApiVersionsRequest())
            }
            #expect(try broker.connect().isClosed())
            clients.removeLast()
            try await wait(while: await broker.server.connectionCount() > 2)
            _ = try broker.connect().ask(ApiVersionsRequest())
            withExtendedLifetime(clients) {}
        }
    }

    @Test func connectionsBeyondTheLimitOfTheBrokerAreClosed() async throws {
        try await TestBroker.with(["max.connections=2"]) { broker in
            let (first, second) = (try broker.connect(), try broker.connect())
            _ = try first.ask(ApiVersionsRequest())
            _ = try second.ask(ApiVersionsRequest())
            #expect(try broker.connect().isClosed())
            _ = try first.ask(ApiVersionsRequest())
        }
    }

    @Test func idleConnectionsAreClosedAlsoWithinAFrame() async throws {
        try await TestBroker.with(["connections.max.idle.ms=2000"]) { broker in
            let (quiet, halfway) = (try broker.connect(), try broker.connect())
            _ = try quiet.ask(ApiVersionsRequest())
            try halfway.write(bigEndian(100) + [0, 18, 0])
            #expect(quiet.isClosed())
            #expect(halfway.isClosed())
        }
    }

    /// A client that asks for much and reads nothing is not read any more, and what it asked for is not all made.
    @Test func aClientThatDoesNotReadStopsBeingRead() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("large")
            for _ in 0..<8 { try await broker.append([UInt8](repeating: 7, count: 900_000), to: topic.partitions[0], timestamp: 1) }
            let greedy = try broker.connect()
            let fetch = FetchRequest("large", [(0, 0)], minBytes: 7_100_000, partitionMaxBytes: 100 << 20)
            let count = 400
            var sent: [Int32] = []
            for _ in 0..<count { sent.append(try greedy.send(fetch, version: 12)) }
            let bystander = try broker.connect()
            for _ in 0..<20 { _ = try bystander.ask(fetch, version: 12) }
            #expect(broker.server.context.responseBytes.usedBytes < 48 << 20)
            // And when it does read, everything is there.
            for id in sent {
                #expect(try greedy.receive(FetchRequest.self, version: 12, correlationID: id).recordBytes(0) ?? 0 > 7_000_000)
            }
            try await wait(while: broker.server.context.responseBytes.usedBytes > 0)
        }
    }

    /// With every request in flight beyond the broker's budget, each is still answered.
    @Test func aFullRequestBudgetDelaysClientsAndLosesNone() async throws {
        try await TestBroker.with(["queued.max.request.bytes=1048576"]) { broker in
            try await broker.createTopic("narrow", partitions: 4)
            let values = try batch([String](repeating: String(repeating: "x", count: 10_000), count: 15))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<4 {
                    group.addTask {
                        try await onThread {
                            let client = try broker.connect()
                            let ids = try (0..<40).map { _ in
                                try client.send(ProduceRequest("narrow", Int32(index), batch: values), version: 9, records: values)
                            }
                            for id in ids { _ = try client.receive(ProduceRequest.self, version: 9, correlationID: id) }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let topic = try #require(broker.store.topic(named: "narrow"))
            #expect(topic.partitions.map(\.highWatermark) == [600, 600, 600, 600])
            #expect(broker.server.context.requestBytes.usedBytes == 0)
        }
    }
}
