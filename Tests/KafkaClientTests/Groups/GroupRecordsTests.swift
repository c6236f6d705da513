import KafkaClient
import KafkaProtocol
import Testing

/// What is done of records that a member reads one by one, against a real broker.
@Suite(.timeLimit(.minutes(1)))
struct GroupRecordsTests {
    private static let partition = TopicPartition("topic", 0)

    /// A member that commits when it is closed, and a group that has committed nothing.
    private func withMember(
        _ change: (inout GroupConsumerOptions) -> Void = { _ in }, _ body: (GroupConsumer, Cluster) async throws -> Void
    ) async throws {
        let broker = LiveBroker()
        try await broker.start(["group.initial.rebalance.delay.ms=0"])
        let cluster = broker.cluster()
        try await Admin(cluster).createTopic("topic", partitions: 1)
        var options = GroupConsumerOptions()
        options.autoCommitInterval = .seconds(3600)
        change(&options)
        let member = GroupConsumer(cluster, group: "group", options: options)
        try await body(member, cluster)
        await member.close()
        cluster.close()
        await broker.remove()
    }

    private func write(_ values: [[UInt8]], _ codec: CompressionCodec, _ cluster: Cluster) async throws {
        var options = ProducerOptions()
        options.codec = codec
        let producer = Producer(cluster, options: options)
        for value in values { _ = try await producer.send(key: nil, value: value, to: "topic") }
        await producer.close()
    }

    private func committed(_ cluster: Cluster) async throws -> Int64? {
        try await Admin(cluster).committedOffsets(of: "group")[Self.partition]?.offset
    }

    /// Of a loop that is left at the record at `last`.
    private func offsets(_ member: GroupConsumer, through last: Int64) async throws -> [Int64] {
        var offsets: [Int64] = []
        for try await record in member.records {
            offsets.append(record.offset)
            if record.offset == last { break }
        }
        return offsets
    }

    /// In the middle of what was fetched, and at the end of it.
    @Test(arguments: [Int64(4), 9])
    func aLoopGoesOnAtTheRecordAtWhichAnotherWasLeft(offset: Int64) async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            #expect(try await offsets(member, through: offset) == Array(0...offset))
            try await write([[10]], .none, cluster)
            #expect(try await offsets(member, through: 10) == Array(offset...10))
            await member.close()
            #expect(try await committed(cluster) == 10)
        }
    }

    @Test func aRecordThatCannotBeWorkedOnIsNotDoneHoweverManyLoopsComeToIt() async throws {
        struct Failure: Error {}
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            for round in UInt8(0)..<3 {
                await #expect(throws: Failure.self) { for try await record in member.records where record.offset >= 9 { throw Failure() } }
                try await write([[10 + round]], .none, cluster)
            }
            await member.close()
            #expect(try await committed(cluster) == 9)
        }
    }

    @Test func whatALoopThatWasLeftHadComesToWhoReadsOtherwise() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            _ = try await offsets(member, through: 4)
            #expect(try await member.next()?.firstOffset == 4)
            // All of that is done with this, and the partition rests at the record at which the loop is left.
            try await write([[10], [11]], .none, cluster)
            for try await record in member.records where record.offset == 10 {
                try await member.pause([Self.partition])
                break
            }
            try await member.resume([Self.partition])
            #expect(try await offsets(member, through: 11) == [10, 11])
        }
    }

    /// Where its owner has said that it is done.
    @Test func aRecordAtWhichALoopIsLeftNeedNotComeAgain() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            _ = try await offsets(member, through: 4)
            member.done(before: 5)
            #expect(try await offsets(member, through: 7) == [5, 6, 7])
            try await member.commit()
            #expect(try await offsets(member, through: 9) == [8, 9])
        }
    }

    @Test func theLastRecordIsDoneWhenTheNextIsAskedFor() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            let count = Watch(0)
            let reading = Task { for try await _ in member.records { count.change { $0 += 1 } } }
            await count.until { $0 == 10 }
            member.stop()
            try await reading.value
            await member.close()
            #expect(try await committed(cluster) == 10)
        }
    }

    @Test func aRecordAtWhichALoopIsLeftIsNotDone() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            for try await record in member.records where record.offset == 9 { break }
            await member.close()
            #expect(try await committed(cluster) == 9)
        }
    }

    @Test func whatIsCommittedAtARecordIsDoneWithIt() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            for try await record in member.records where record.offset == 4 {
                try await member.commit()
                break
            }
            #expect(try await committed(cluster) == 5)
            await member.close()
            #expect(try await committed(cluster) == 5)
        }
    }

    @Test func aLoopHandsOutNothingOfWhatIsPausedOrReadFromElsewhere() async throws {
        try await withMember { member, cluster in
            try await write((0..<10).map { [$0] }, .none, cluster)
            try member.subscribe(["topic"])
            var records = member.records.makeAsyncIterator()
            var offsets: [Int64?] = [try await records.next()?.offset]
            try await member.pause([Self.partition])
            try await member.resume([Self.partition])
            #expect(member.positions[Self.partition] == 1)
            offsets.append(try await records.next()?.offset)
            try await member.seek(Self.partition, to: .offset(7))
            offsets.append(try await records.next()?.offset)
            #expect(offsets == [0, 1, 7])
            #expect(member.positions[Self.partition] == 8)
            try await member.commit()
            #expect(try await committed(cluster) == 8)
        }
    }

    @Test func aTopicThatIsNoMoreKeepsNoOtherFromBeingCommitted() async throws {
        try await withMember { member, cluster in
            try await Admin(cluster).createTopic("other", partitions: 1)
            try await write([[0], [1]], .none, cluster)
            let producer = Producer(cluster)
            _ = try await producer.send(key: nil, value: [0], to: "other")
            await producer.close()
            try member.subscribe(["topic", "other"])
            var count = 0
            for try await _ in member.records {
                count += 1
                if count == 3 { break }
            }
            try await Admin(cluster).deleteTopic("other")
            let error = await #expect(throws: ClientError.self) { try await member.commit() }
            #expect(error?.isRetriable == false)
            #expect(try await committed(cluster) == 2)
            // Said once, though the member has it still.
            #expect(member.assignment.contains(TopicPartition("other", 0)))
            try await member.commit()
        }
    }

    @Test func whatCannotBeReadIsNotDoneAndWhatCameBeforeItIs() async throws {
        try await withMember {
            $0.fetching.batchByteCountMax = 1_000
        } _: { member, cluster in
            try await write([[0], [1]], .none, cluster)
            try await write([Array(repeating: 0, count: 10_000)], .gzip, cluster)
            try member.subscribe(["topic"])
            await #expect(throws: ClientError.self) { for try await _ in member.records {} }
            await member.close()
            #expect(try await committed(cluster) == 2)
        }
    }

    @Test func whatWasFetchedBehindWhatCannotBeReadIsReadByTheNextLoop() async throws {
        try await withMember {
            $0.fetching.batchByteCountMax = 1_000
        } _: { member, cluster in
            try await write([[0], [1]], .none, cluster)
            try await write([Array(repeating: 0, count: 10_000)], .gzip, cluster)
            try await write([[3], [4]], .none, cluster)
            try member.subscribe(["topic"])
            await #expect(throws: ClientError.self) { for try await _ in member.records {} }
            try await write([[5]], .none, cluster)
            #expect(try await offsets(member, through: 5) == [3, 4, 5])
        }
    }
}
