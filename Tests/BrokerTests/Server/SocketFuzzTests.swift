import KafkaProtocol
import Store
import Testing

@testable import Broker

/// Deterministic, so that a failing seed can be run again.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite struct SocketFuzzTests {
    /// Valid requests with bytes changed, frames cut and joined: the broker goes on serving others, whatever it makes of them.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func garbageHarmsNobodyElse(seed: UInt64) async throws {
        try await TestBroker.with { broker in
            var random = SplitMix(state: seed)
            let topic = try await broker.createTopic("fuzz", partitions: 3)
            let steady = try broker.connect()
            let one = try batch(["steady"])
            let seeds = try Self.requests(one)
            for round in 0..<150 {
                let client = try broker.connect()
                client.setPatience(milliseconds: 1)
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    guard var bytes = seeds.randomElement(using: &random) else { continue }
                    for _ in 0..<Int.random(in: 0...6, using: &random) {
                        let place = Int.random(in: Bool.random(using: &random) ? 0..<bytes.count : 4..<bytes.count, using: &random)
                        bytes[place] = UInt8.random(in: 0...255, using: &random)
                    }
                    if Int.random(in: 0..<8, using: &random) == 0 { bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random)) }
                    // The broker may have hung up already.
                    guard (try? client.write(bytes)) != nil else { break }
                }
                if round % 10 == 0 {
                    let before = topic.partitions[2].highWatermark
                    let answer = try steady.ask(ProduceRequest("fuzz", 2, batch: one), version: 9, records: one)
                    #expect(answer.responses[0].partitionResponses[0].errorCode == .none, "seed \(seed), round \(round)")
                    #expect(answer.responses[0].partitionResponses[0].baseOffset >= before)
                }
            }
            #expect(try steady.ask(FetchRequest("fuzz", [(2, 0)]), version: 12).recordBytes(2) ?? 0 >= 15 * one.count)
        }
    }

    private static func requests(_ records: [UInt8]) throws -> [[UInt8]] {
        func bytes<R: Request>(_ request: R, _ version: Int16) -> [UInt8] {
            encodeRequest(request, correlationID: 1, clientID: "fuzz", version: version).joined(with: records.span.bytes)
        }
        var all = [
            bytes(ProduceRequest("fuzz", 0, batch: records), 9), bytes(ProduceRequest("fuzz", 1, batch: records), 3),
            bytes(FetchRequest("fuzz", [(0, 0), (1, 0)], session: (0, 0)), 12), bytes(FetchRequest("fuzz", [(0, 0)], maxWaitMs: 5), 4),
        ]
        for version in ApiVersionsRequest.versions { all.append(bytes(ApiVersionsRequest(), version)) }
        for version in MetadataRequest.versions { all.append(bytes(MetadataRequest(["fuzz"]), version)) }
        for version in FindCoordinatorRequest.versions { all.append(bytes(FindCoordinatorRequest(), version)) }
        for version in InitProducerIdRequest.versions { all.append(bytes(InitProducerIdRequest(), version)) }
        for version in ListOffsetsRequest.versions { all.append(bytes(ListOffsetsRequest("fuzz", [(0, -1), (1, 5)]), version)) }
        return all
    }
}
