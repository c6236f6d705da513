import KafkaProtocol
import Store
import Testing

@testable import Broker

@Suite struct LoneClientTests {
    private let first = ConnectionID(rawValue: 1)
    private let second = ConnectionID(rawValue: 2)

    @Test func whoWaitsForEachAnswerIsAloneAfterAWhile() {
        var lone = LoneClient()
        for _ in 0..<16 {
            lone.noteRequest(of: first, waitingCount: 1) { true }
            #expect(!lone.isAlone)
        }
        lone.noteRequest(of: first, waitingCount: 1) { true }
        #expect(lone.isAlone)
        lone.noteRequest(of: second, waitingCount: 1) { true }
        #expect(!lone.isAlone)
    }

    @Test func whoSendsMoreThanOneAtATimeIsNot() {
        var lone = LoneClient()
        for number in 0..<100 { lone.noteRequest(of: first, waitingCount: number % 16 == 15 ? 2 : 1) { true } }
        #expect(!lone.isAlone)
    }

    @Test func theOthersAreLookedAtAgainOnceTheyWereNotQuiet() {
        var lone = LoneClient()
        var lookCount = 0
        for _ in 0..<100 {
            lone.noteRequest(of: first, waitingCount: 1) {
                lookCount += 1
                return lookCount == 4
            }
            #expect(lone.isAlone == (lookCount >= 4))
        }
        #expect(lookCount == 4)
    }

    /// Its records are committed on the loop; those of two who take turns on it never are, nor of one while another was there just now.
    @Test func aLoneClientIsServedWithoutTheCommittersThread() async throws {
        try await TestBroker.with(["num.network.threads=1"]) { broker in
            let topic = try await broker.createTopic("lone")
            var clients = [try broker.connect(), try broker.connect()]
            let one = try batch(["value"])
            var count: Int64 = 0
            func produce(_ client: WireClient) throws {
                let answer = try client.ask(ProduceRequest("lone", batch: one), version: 9, records: one)
                #expect(answer.responses[0].partitionResponses[0].baseOffset == count)
                count += 1
            }
            for number in 0..<100 { try produce(clients[number % 2]) }
            for _ in 0..<100 { try produce(clients[0]) }
            #expect(broker.store.statistics().loneSubmissionCount == 0)
            clients.removeLast()
            let deadline = ContinuousClock.now + .seconds(30)
            while broker.store.statistics().loneSubmissionCount < 20, ContinuousClock.now < deadline { try produce(clients[0]) }
            #expect(broker.store.statistics().loneSubmissionCount >= 20)
            #expect(topic.partitions[0].highWatermark == count)
        }
    }
}
