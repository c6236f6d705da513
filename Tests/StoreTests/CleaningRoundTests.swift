import KafkaProtocol
import Testing

@testable import Store

/// The round of compaction works with what topics say when it comes to them, not with what they said when it began.
@Suite struct CleaningRoundTests {
    private let directory: TemporaryDirectory
    private let store: Store

    init() throws {
        directory = try TemporaryDirectory()
        store = try Store.open(directory: directory.path, options: smallOptions())
    }

    private func makeTopic(_ time: Int64, configs: [String: String] = [:]) throws -> Topic {
        let topic = try store.makeTopic("t", configs: ["cleanup.policy": "compact"].merging(configs) { $1 })
        for value: UInt8 in [1, 2] {
            var builder = RecordBatchBuilder()
            builder.append(key: [7], value: [value], timestamp: time)
            _ = try store.append(try builder.finish(codec: .none), to: topic.partitions[0])
        }
        return topic
    }

    private func offsets(_ topic: Topic) throws -> [Int64] { try store.records(of: topic.partitions[0]).map(\.offset) }

    /// Each question whether to go on is a moment at which a client may alter the policy; from then on nothing is taken out.
    @Test(arguments: 1...8)
    func nothingIsCompactedOnceThePolicyDoesNotSaySo(moment: Int) throws {
        let topic = try makeTopic(1_000)
        _ = try store.administer(.seal(partition: topic.partitions[0].id))
        var questionCount = 0
        var round = CleaningRound(
            store,
            isCancelled: { [store] in
                questionCount += 1
                if questionCount == moment {
                    let outcome = store.performBlocking(.setTopicConfigs(topicID: topic.id, configs: ["cleanup.policy": "delete"]))
                    guard case .topic = outcome else {
                        Issue.record("the policy was not altered")
                        return true
                    }
                }
                return false
            })
        let hasCleaned = round.run(CleanerOptions())
        let isAltered = questionCount >= moment
        #expect(try offsets(topic) == (isAltered ? [0, 1] : [1]))
        #expect(hasCleaned == !isAltered)
        #expect(isAltered || moment > 3, "the round asks at least before each partition and each step")
        store.close()
    }

    @Test func recordsWithoutATimeAreSealedByTheAgeOfTheirAppend() throws {
        let topic = try makeTopic(-1, configs: ["segment.ms": "60000"])
        var laterMs: Int64 = 0
        var round = CleaningRound(store, clock: { wallClockMs() + laterMs })
        #expect(round.run(CleanerOptions()) == false)
        #expect(try offsets(topic) == [0, 1])
        laterMs = 61_000
        #expect(round.run(CleanerOptions()) == true)
        #expect(try offsets(topic) == [1])
        store.close()
    }
}
