import KafkaProtocol
import Synchronization
import Testing

@testable import KafkaClient

/// A broker that leads a partition no longer, asked by a client that has not heard of it.
@Suite(.timeLimit(.minutes(1)))
struct DeposedLeaderTests {
    enum Deposed: CaseIterable, Sendable {
        /// As Kafka does, it refuses an epoch that is over, and who names none it answers as a follower (KIP-392).
        case follower
        /// The same, and the epochs in its metadata are not to be relied on (before Kafka 2.4).
        case olderFollower
        /// It has not heard of it either.
        case unaware

        /// Its log ends before what is asked for.
        func code(_ asked: FetchRequest.Partition, version: Int16) -> ErrorCode {
            if self == .unaware { return .offsetOutOfRange }
            if asked.currentLeaderEpoch >= 0 { return .fencedLeaderEpoch }
            return version >= 11 ? .offsetOutOfRange : .notLeaderOrFollower
        }
    }

    private static let partition = TopicPartition("topic", 0)

    private static func metadata(_ brokers: [ScriptedBroker], leader: Int32, epoch: Int32) -> MetadataResponse {
        MetadataResponse {
            $0.brokers = brokers.map(\.address).enumerated().map { index, address in
                MetadataResponse.Broker { ($0.nodeID, $0.host, $0.port) = (Int32(index), address.host, Int32(address.port)) }
            }
            $0.topics = [
                MetadataResponse.Topic {
                    ($0.name, $0.topicID) = (partition.topic, Uuid(high: 1, low: 2))
                    $0.partitions = [MetadataResponse.Partition { ($0.leaderID, $0.leaderEpoch) = (leader, epoch) }]
                }
            ]
        }
    }

    private static func fetched(_ request: FetchRequest, _ tell: (FetchRequest.Partition, inout FetchResponse.Partition) -> Void) -> FetchResponse {
        FetchResponse {
            $0.responses = request.topics.map { topic in
                FetchResponse.Topic {
                    ($0.topic, $0.topicID) = (topic.topic, topic.topicID)
                    $0.partitions = topic.partitions.map { asked in
                        var part = FetchResponse.Partition()
                        tell(asked, &part)
                        return part
                    }
                }
            }
        }
    }

    private static func batch(at offset: Int64, epoch: Int32 = 4) -> [UInt8] {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: [1], timestamp: 0)
        var bytes = (try? builder.finish()) ?? []
        bytes.withUnsafeMutableBytes { RecordBatchHeader.patch($0, baseOffset: offset, partitionLeaderEpoch: epoch) }
        return bytes
    }

    @Test(arguments: Deposed.allCases)
    func itMovesNobodyFromWhereTheyAre(deposed: Deposed) async throws {
        let (old, new) = (try await ScriptedBroker.start(), try await ScriptedBroker.start())
        let leader = Watch((id: Int32(0), epoch: Int32(3)))
        let epochs = Watch<[Int32]>([])
        for broker in [old, new] {
            broker.when(MetadataRequest.self, versions: deposed == .olderFollower ? 0...8 : MetadataRequest.versions) { _, _ in
                (Self.metadata([old, new], leader: leader.value.id, epoch: leader.value.epoch), [])
            }
            broker.when(ListOffsetsRequest.self) { _, _ in
                let response = ListOffsetsResponse {
                    $0.topics = [
                        ListOffsetsResponse.Topic {
                            $0.name = Self.partition.topic
                            $0.partitions = [ListOffsetsResponse.Partition { $0.offset = 2000 }]
                        }
                    ]
                }
                return (response, [])
            }
        }
        old.when(FetchRequest.self) { request, version in
            epochs.change { $0 += request.topics.flatMap(\.partitions).map(\.currentLeaderEpoch) }
            return (Self.fetched(request) { asked, part in part.errorCode = deposed.code(asked, version: version) }, [])
        }
        new.when(FetchRequest.self) { request, _ in
            var batches: [UInt8] = []
            let response = Self.fetched(request) { asked, part in
                if asked.fetchOffset == 1001 { return }
                batches = Self.batch(at: asked.fetchOffset)
                part.records = FrameSlice(offset: 0, length: batches.count)
            }
            return (response, batches)
        }
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 1, maximumMs: 5)
        let cluster = Cluster(bootstrap: [old.address], options: options)
        try await cluster.refresh([Self.partition.topic])
        leader.change { $0 = (1, 4) }
        var reading = ConsumerOptions()
        reading.outOfRange = .latest
        let consumer = Consumer(cluster, options: reading)
        // As a member of a group does, from where the group stands.
        try await consumer.add([Self.partition: Fetcher.Start(place: .offset(1000))])
        let records = try #require(try await consumer.next())
        #expect(records.firstOffset == 1000 && records.nextOffset == 1001)
        #expect(!epochs.value.isEmpty && epochs.value.allSatisfy { $0 == (deposed == .olderFollower ? -1 : 3) })
        for broker in [old, new] { #expect(broker.counts.value[.listOffsets] == nil) }
        consumer.close()
        cluster.close()
        for broker in [old, new] { await broker.stop() }
    }

    /// A leader, and the next one, which was behind when it was elected and has given the offsets of what it lacked to other records
    /// since.
    private struct Succession {
        let cluster: Cluster
        let next: ScriptedBroker
        let leader = Watch((id: Int32(0), epoch: Int32(3)))
        /// The epochs whose ends the next leader was asked for.
        let asked = Watch<[Int32]>([])
    }

    private func withSuccession(_ body: (Succession) async throws -> Void) async throws {
        let (old, new) = (try await ScriptedBroker.start(), try await ScriptedBroker.start())
        var options = Cluster.Options()
        options.backoff = Backoff(initialMs: 1, maximumMs: 5)
        let succession = Succession(cluster: Cluster(bootstrap: [new.address], options: options), next: new)
        let (leader, asked) = (succession.leader, succession.asked)
        for broker in [old, new] {
            broker.when(MetadataRequest.self) { _, _ in
                (Self.metadata([old, new], leader: leader.value.id, epoch: leader.value.epoch), [])
            }
        }
        old.when(FetchRequest.self) { request, _ in
            var batches: [UInt8] = []
            let response = Self.fetched(request) { asked, part in
                if asked.fetchOffset == 100 {
                    part.errorCode = .notLeaderOrFollower
                    return
                }
                batches = Self.batch(at: asked.fetchOffset, epoch: 3)
                part.records = FrameSlice(offset: 0, length: batches.count)
            }
            return (response, batches)
        }
        new.when(FetchRequest.self) { request, _ in
            var batches: [UInt8] = []
            let response = Self.fetched(request) { asked, part in
                batches = Self.batch(at: asked.fetchOffset)
                part.records = FrameSlice(offset: 0, length: batches.count)
            }
            return (response, batches)
        }
        new.when(OffsetForLeaderEpochRequest.self) { request, _ in
            let parts = request.topics.flatMap(\.partitions)
            asked.change { $0 += parts.map(\.leaderEpoch) }
            let response = OffsetForLeaderEpochResponse {
                $0.topics = [
                    OffsetForLeaderEpochResponse.Topic {
                        $0.topic = Self.partition.topic
                        $0.partitions = [OffsetForLeaderEpochResponse.Partition { ($0.leaderEpoch, $0.endOffset) = (3, 90) }]
                    }
                ]
            }
            return (response, [])
        }
        try await body(succession)
        succession.cluster.close()
        for broker in [old, new] { await broker.stop() }
    }

    @Test(arguments: [false, true])
    func whatTheNextLeaderHasInItsPlaceIsRead(isPausedMeanwhile: Bool) async throws {
        try await withSuccession { succession in
            let consumer = Consumer(succession.cluster)
            try await consumer.assign([Self.partition: .offset(99)])
            let before = try #require(try await consumer.next())
            #expect(before.nextOffset == 100)
            if isPausedMeanwhile { try await consumer.pause([Self.partition]) }
            succession.leader.change { $0 = (1, 4) }
            if isPausedMeanwhile {
                try await succession.cluster.refresh([Self.partition.topic])
                try await consumer.resume([Self.partition])
            }
            let after = try #require(try await consumer.next())
            #expect(after.firstOffset == 90 && after.leaderEpoch == 4)
            #expect(succession.asked.value == [3])
            consumer.close()
        }
    }

    /// What the member before has read was taken in by a leader that is one no longer.
    @Test func whoTakesOnWhatAnotherHasCommittedReadsItToo() async throws {
        try await withSuccession { succession in
            let address = succession.next.address
            succession.leader.change { $0 = (1, 4) }
            succession.next.when(FindCoordinatorRequest.self, versions: 0...3) { _, _ in
                (FindCoordinatorResponse { ($0.host, $0.port) = (address.host, Int32(address.port)) }, [])
            }
            succession.next.when(OffsetFetchRequest.self) { request, _ in
                let response = OffsetFetchResponse {
                    $0.groups = request.groups.map { asked in
                        OffsetFetchResponse.Group {
                            $0.groupID = asked.groupID
                            $0.topics = [
                                OffsetFetchResponse.GroupTopic {
                                    $0.name = Self.partition.topic
                                    $0.partitions = [
                                        OffsetFetchResponse.GroupPartition { ($0.committedOffset, $0.committedLeaderEpoch) = (100, 3) }
                                    ]
                                }
                            ]
                        }
                    }
                }
                return (response, [])
            }
            let member = GroupConsumer(succession.cluster, group: "group")
            member.state.withLock { $0.identity = GroupMembership.Identity(memberID: "member", generation: 1) }
            let isTakenOn = try await member.takeOn([Self.partition])
            #expect(isTakenOn && member.positions == [Self.partition: 100])
            let records = try #require(try await member.reader.next())
            #expect(records.firstOffset == 90 && records.leaderEpoch == 4)
            #expect(succession.asked.value == [3])
            member.reader.close()
        }
    }
}
