import KafkaProtocol
import Store
import Testing

@testable import Broker

/// Partitions that a request names several times: what is done for each of them is done once.
@Suite struct RepeatedPartitionsTests {
    private func claims(_ mentions: [(index: Int32, offset: Int64)]) -> [OffsetCommitRequest.Partition] {
        mentions.map { mention in
            OffsetCommitRequest.Partition { ($0.partitionIndex, $0.committedOffset) = (mention.index, mention.offset) }
        }
    }

    private func commit(_ mentions: [(index: Int32, offset: Int64)]) -> OffsetCommitRequest {
        OffsetCommitRequest {
            $0.groupID = "g"
            $0.topics = [
                OffsetCommitRequest.Topic { topic in
                    topic.name = "t"
                    topic.partitions = claims(mentions)
                }
            ]
        }
    }

    /// All that the group has committed.
    private var everything: OffsetFetchRequest {
        OffsetFetchRequest {
            $0.groups = [
                OffsetFetchRequest.Group { group in
                    group.groupID = "g"
                    group.topics = nil
                }
            ]
        }
    }

    @Test func theLastMentionIsAllThatIsWritten() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", partitions: 2)
            var gathered = OffsetsToCommit(broker.server.context)
            gathered.add("t", claims([(0, 5), (1, 6), (0, 7), (2, 1)]))
            gathered.add("t", claims([(0, 8)]))
            #expect(gathered.values.map(\.key.partition) == [0, 1])
            #expect(gathered.values.map(\.value.offset) == [8, 6])
            let codes = gathered.answers(.none).map { topic in topic.partitions.map(\.errorCode) }
            #expect(codes == [[.none, .none, .none, .unknownTopicOrPartition], [.none]])
        }
    }

    @Test func theLastMentionIsCommittedAndEachIsAnswered() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", partitions: 2)
            let client = try broker.connect()
            let committed = try client.ask(commit([(0, 5), (1, 6), (0, 7)]))
            #expect(committed.topics[0].partitions.map(\.partitionIndex) == [0, 1, 0])
            #expect(committed.topics[0].partitions.allSatisfy { $0.errorCode == .none })
            let fetched = try client.ask(everything)
            #expect(fetched.groups[0].topics[0].partitions.map(\.committedOffset) == [7, 6])
        }
    }

    @Test func whatIsForgottenIsAnsweredOnce() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", partitions: 2)
            let client = try broker.connect()
            _ = try client.ask(commit([(0, 5), (1, 6)]))
            let asked: [[Int32]] = [[0, 0, 2, 0], [2, 1, 0]]
            let forgotten = try client.ask(
                OffsetDeleteRequest {
                    $0.groupID = "g"
                    $0.topics = asked.map { indexes in
                        OffsetDeleteRequest.Topic {
                            $0.name = "t"
                            $0.partitions = indexes.map { index in OffsetDeleteRequest.Partition { $0.partitionIndex = index } }
                        }
                    }
                })
            #expect(forgotten.topics.map { $0.partitions.map(\.partitionIndex) } == [[0, 2], [1]])
            #expect(forgotten.topics.map { $0.partitions.map(\.errorCode) } == [[.none, .unknownTopicOrPartition], [.none]])
            #expect(try client.ask(everything).groups[0].topics.isEmpty)
        }
    }
}
