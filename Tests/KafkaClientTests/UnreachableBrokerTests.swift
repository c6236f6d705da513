import NIOCore
import Testing

@testable import KafkaClient

/// Reading while no broker answers.
@Suite(.timeLimit(.minutes(1)))
struct UnreachableBrokerTests {
    @Test func whoReadsHearsOfASilenceAndOfItsEnd() async throws {
        let broker = LiveBroker()
        try await broker.start()
        let cluster = broker.cluster()
        try await writeNumbers(1, to: "t", partitions: 1, cluster)
        let told = Watch<[ClientError?]>([])
        var options = ConsumerOptions()
        options.unreachableTimeout = .milliseconds(300)
        options.onUnreachable = { error in told.change { $0.append(error) } }
        let consumer = Consumer(cluster, options: options)
        try await consumer.assign([TopicPartition("t", 0): .earliest])
        let first = try #require(try await consumer.next())
        #expect(first.nextOffset == 1)
        let begun = ContinuousClock.now
        await broker.stop()
        await #expect(throws: ClientError.self) { try await consumer.next() }
        #expect(ContinuousClock.now - begun >= .milliseconds(300))
        await told.until { !$0.isEmpty }
        #expect(ContinuousClock.now - begun >= .seconds(2))
        // The first of these may have been there before. It goes on failing, of which nothing more is told.
        for _ in 0..<3 { await #expect(throws: ClientError.self) { try await consumer.next() } }
        #expect(told.value.map { $0 != nil } == [true])
        try await broker.start()
        await told.until { $0.count > 1 }
        #expect(told.value.map { $0 != nil } == [true, false])
        let producer = Producer(cluster)
        _ = try await producer.send(key: nil, value: [1], to: "t")
        await producer.close()
        // What failed last is still said.
        var records: FetchedRecords?
        while records == nil { records = try? await consumer.next() }
        #expect(records?.firstOffset == 1)
        consumer.close()
        cluster.close()
        await broker.remove()
    }

    /// What comes long after one that nobody was told of is another.
    @Test func aSilenceBeginsAnewAfterAnAnswer() {
        var silence = Fetcher.Silence()
        let begin = NIODeadline.now()
        let atFirst = (silence.isNews(at: begin), silence.ends())
        #expect(atFirst == (false, false))
        let later = begin + .hours(1)
        let anew = silence.isNews(at: later)
        #expect(!anew && !silence.lasts(.seconds(1), at: later))
        let told = later + .seconds(2)
        let twice = (silence.isNews(at: told), silence.isNews(at: told + .seconds(2)))
        #expect(twice == (true, false) && silence.lasts(.seconds(2), at: told))
        let ends = (silence.ends(), silence.ends())
        #expect(ends == (true, false))
    }
}
