import KafkaProtocol
import Testing

@testable import KafkaClient
@testable import lmbroker

struct RecordPrinterTests {
    private let first = TopicPartition("topic", 0)
    private let second = TopicPartition("topic", 1)

    private func printer(_ starts: [TopicPartition: Int64], _ ends: [TopicPartition: Int64]) -> RecordPrinter {
        RecordPrinter(view: .json, filter: RecordFilter(key: nil, headers: []), starts: starts, ends: ends, limit: nil)
    }

    private func nothing(of partition: TopicPartition, at offset: Int64) -> FetchedRecords {
        FetchedRecords(
            partition: partition, firstOffset: offset, nextOffset: offset, leaderEpoch: 0, highWatermark: offset, frame: Frame([]),
            slice: FrameSlice(offset: 0, length: 0), aborted: [], isolation: .readUncommitted, batchByteCountMax: 0)
    }

    @Test func itIsDoneWhereAllBeginAtTheirEnds() {
        #expect(printer([first: 3, second: 5], [first: 3, second: 5]).isDone)
        #expect(!printer([first: 3, second: 4], [first: 3, second: 5]).isDone)
    }

    /// One that had no leader when reading began.
    @Test func aPartitionWhoseBeginningIsNotKnownIsWaitedFor() throws {
        var printer = printer([first: 3], [first: 3, second: 5])
        #expect(!printer.isDone)
        try printer.print(nothing(of: second, at: 4))
        #expect(!printer.isDone)
        try printer.print(nothing(of: second, at: 5))
        #expect(printer.isDone)
    }
}
