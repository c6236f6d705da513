import KafkaClient
import KafkaProtocol
import Testing

/// Seeking, pausing and resuming as a member of a group, against a real broker.
@Suite(.timeLimit(.minutes(2)))
struct GroupPlacesTests {
    private static let count = 100

    /// A member that holds both partitions of a topic, each with values 0 to 99; small fetches, so that there are many.
    private func withMember(_ body: (GroupConsumer, Cluster) async throws -> Void) async throws {
        let broker = LiveBroker()
        try await broker.start(["group.initial.rebalance.delay.ms=0"])
        let cluster = broker.cluster()
        try await writeNumbers(Self.count, to: "t", partitions: 2, cluster)
        var options = GroupConsumerOptions()
        options.autoCommitInterval = nil
        options.fetching.bufferByteCountMax = 2_000
        options.fetching.partitionByteCountMax = 600
        let member = GroupConsumer(cluster, group: "g", options: options)
        try member.subscribe(["t"])
        try await body(member, cluster)
        await member.close()
        cluster.close()
        await broker.remove()
    }

    private func readToTheEnd(_ member: GroupConsumer, _ partitions: Set<Int32>, after first: [Int32: [Int64]] = [:]) async throws -> [Int32: [Int64]] {
        try await readOffsets(through: Int64(Self.count - 1), of: partitions, after: first) { try await member.next() }
    }

    @Test func aPausedPartitionIsKeptAndRests() async throws {
        try await withMember { member, _ in
            let paused = TopicPartition("t", 0)
            var offsets: [Int32: [Int64]] = [:]
            while offsets[0] == nil, let fetched = try await member.next() {
                for record in try fetched.records() { offsets[record.partition.partition, default: []].append(record.offset) }
            }
            try await member.pause([paused])
            let before = offsets[0]
            offsets = try await readToTheEnd(member, [1], after: offsets)
            #expect(offsets[0] == before && member.paused == [paused] && member.assignment.contains(paused))
            try await member.resume([paused])
            offsets = try await readToTheEnd(member, [0], after: offsets)
            #expect(offsets == [0: Array(0..<Int64(Self.count)), 1: Array(0..<Int64(Self.count))])
        }
    }

    @Test func whatIsPausedRestsThroughARewind() async throws {
        try await withMember { member, _ in
            _ = try await readToTheEnd(member, [0, 1])
            let paused = TopicPartition("t", 0)
            try await member.pause([paused])
            try await member.rewind()
            #expect(member.paused == [paused])
            // Nothing is committed: all comes again.
            #expect(try await readToTheEnd(member, [1]) == [1: Array(0..<Int64(Self.count))])
            try await member.resume([paused])
            #expect(try await readToTheEnd(member, [0]) == [0: Array(0..<Int64(Self.count))])
        }
    }

    @Test func whoIsCancelledInARewindHearsThatItIsNotDone() async throws {
        try await withMember { member, _ in
            _ = try await readToTheEnd(member, [0, 1])
            let rewinding = Task {
                while !Task.isCancelled { await Task.yield() }
                try await member.rewind()
            }
            rewinding.cancel()
            await #expect(throws: ClientError.closed) { try await rewinding.value }
            // Another does it all.
            try await member.rewind()
            let all = Array(0..<Int64(Self.count))
            #expect(try await readToTheEnd(member, [0, 1]) == [0: all, 1: all])
        }
    }

    @Test func whereASeekWentIsWhereTheGroupStands() async throws {
        try await withMember { member, cluster in
            _ = try await readToTheEnd(member, [0, 1])
            let partition = TopicPartition("t", 1)
            #expect(try await member.seek(partition, to: .offset(40)) == 40)
            #expect(member.positions[partition] == 40)
            // What was in hand before the seek is not what is done after it.
            try await member.commit()
            #expect(try await Admin(cluster).committedOffsets(of: "g")[partition]?.offset == 40)
            #expect(try await readToTheEnd(member, [1]) == [1: Array(40..<Int64(Self.count))])
            try await member.commit()
            #expect(try await Admin(cluster).committedOffsets(of: "g")[partition]?.offset == Int64(Self.count))
        }
    }

    @Test func whereNothingIsLeftTheGroupGoesOnBehindIt() async throws {
        try await withMember { member, cluster in
            _ = try await readToTheEnd(member, [0, 1])
            let partition = TopicPartition("t", 1)
            #expect(try await Admin(cluster).deleteRecords(before: [partition: -1]) == [partition: Int64(Self.count)])
            try await member.seek(partition, to: .offset(40))
            let fetched = try #require(try await member.next())
            #expect(fetched.partition == partition && fetched.nextOffset == Int64(Self.count))
            #expect(try fetched.records().isEmpty)
            #expect(member.positions[partition] == Int64(Self.count))
            try await member.commit()
            #expect(try await Admin(cluster).committedOffsets(of: "g")[partition]?.offset == Int64(Self.count))
        }
    }

    @Test func onlyWhatIsAssignedIsMoved() async throws {
        try await withMember { member, _ in
            _ = try await readToTheEnd(member, [0, 1])
            let foreign = TopicPartition("t", 7)
            await #expect(throws: ClientError.invalid("t-7 is not assigned to this member of the group g now")) { try await member.pause([foreign]) }
            await #expect(throws: ClientError.self) { try await member.resume([foreign]) }
            await #expect(throws: ClientError.self) { try await member.seek(foreign, to: .earliest) }
            #expect(member.paused.isEmpty)
        }
    }
}
