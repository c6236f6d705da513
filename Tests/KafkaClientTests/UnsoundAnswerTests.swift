import KafkaProtocol
import Testing

@testable import KafkaClient
@testable import lmbroker

/// What the command makes of answers that no sound broker gives: something, rather than an end.
struct UnsoundAnswerTests {
    private let zero = TopicPartition("orders", 0)
    private let one = TopicPartition("orders", 1)

    @Test(arguments: [(Int64.min, 7, 0), (-1, .max, 0), (.max, .min, .max), (.max, 0, .max), (9, 7, 2)] as [(Int64, Int64, Int64)])
    func lagIsTheDistanceOfAnyTwoOffsets(end: Int64, committed: Int64, lag: Int64) {
        #expect(GroupProgress.Row(partition: zero, committed: committed, end: end).lag == lag)
    }

    @Test func lagInAllIsAtMostWhatCanBeCounted() {
        let description = GroupDescription(
            id: "billing", state: "Empty", type: "classic", assignor: "", epoch: nil, coordinator: BrokerAddress(host: "localhost"), members: [])
        let progress = GroupProgress(
            description, rows: [.init(partition: zero, committed: 0, end: Int64.max), .init(partition: one, committed: 0, end: Int64.max)])
        #expect(progress.partitionLines.last == "lag in all: 9,223,372,036,854,775,807")
    }

    @Test func aDeliveredRecordIsAtAnyOffset() {
        func place(of number: Int, _ result: Result<Int64, ClientError>) -> String? {
            BatchDelivery(partition: zero, recordCount: 2, byteCount: 10, result: result).place(of: number)
        }
        #expect(place(of: 1, .success(7)) == "orders-0 offset 8")
        #expect(place(of: 1, .success(-1)) == "orders-0")
        #expect(place(of: 0, .success(.max)) == "orders-0 offset 9223372036854775807")
        #expect(place(of: 1, .success(.max))?.hasPrefix("orders-0") == true)
        #expect(place(of: 0, .failure(.closed)) == nil)
    }

    @Test func aPartitionThatIsListedTwiceIsOne() {
        let answer = MetadataResponse.Topic {
            $0.partitions = ([0, 1, 0] as [Int32]).map { number in MetadataResponse.Partition { $0.partitionIndex = number } }
        }
        let topic = ClusterMetadata.Topic(answer, name: "orders", hasEpochs: true)
        #expect(topic.places(.latest) == [zero: .latest, one: .latest])
    }
}
