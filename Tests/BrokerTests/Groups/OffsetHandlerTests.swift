import KafkaProtocol
import Store
import Testing

@testable import Broker

/// Offsets committed from outside of groups: no member, no generation.
@Suite struct OffsetHandlerTests {
    private func commit(_ group: String, _ topic: String, _ offsets: [Int32: Int64], metadata: String? = nil) -> OffsetCommitRequest {
        OffsetCommitRequest {
            $0.groupID = group
            $0.topics = [
                OffsetCommitRequest.Topic { one in
                    one.name = topic
                    one.partitions = offsets.sorted { $0.key < $1.key }.map { index, offset in
                        OffsetCommitRequest.Partition {
                            $0.partitionIndex = index
                            $0.committedOffset = offset
                            $0.committedLeaderEpoch = 0
                            $0.committedMetadata = metadata
                        }
                    }
                }
            ]
        }
    }

    private func fetch(_ group: String, _ topics: [String: [Int32]]?) -> OffsetFetchRequest {
        OffsetFetchRequest {
            $0.groups = [
                OffsetFetchRequest.Group { one in
                    one.groupID = group
                    one.topics = topics?.sorted { $0.key < $1.key }.map { name, indexes in
                        OffsetFetchRequest.GroupTopic {
                            $0.name = name
                            $0.partitionIndexes = indexes
                        }
                    }
                }
            ]
        }
    }

    private func codes(_ response: OffsetCommitResponse) -> [ErrorCode] { response.topics.flatMap { $0.partitions.map(\.errorCode) } }

    @Test func whatIsCommittedIsRead() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("read", partitions: 3)
            let client = try broker.connect()
            #expect(codes(try client.ask(commit("g", "read", [0: 5, 2: 7], metadata: "here"))) == [.none, .none])
            let some = try client.ask(fetch("g", ["read": [0, 1], "missing": [0]]))
            let offsets = some.groups[0].topics.map { $0.partitions.map(\.committedOffset) }
            #expect(offsets == [[-1], [5, -1]])
            #expect(some.groups[0].topics[1].partitions[0].metadata == "here")
            #expect(some.groups[0].topics[1].partitions[0].committedLeaderEpoch == 0)
            #expect(some.groups[0].topics.allSatisfy { $0.partitions.allSatisfy { $0.errorCode == .none } })
            let all = try client.ask(fetch("g", nil))
            #expect(all.groups[0].topics.map(\.name) == ["read"])
            #expect(all.groups[0].topics[0].partitions.map(\.partitionIndex) == [0, 2])
            let unknown = try client.ask(fetch("nobody", ["read": [0]]))
            #expect(unknown.groups[0].errorCode == .none)
            #expect(unknown.groups[0].topics[0].partitions[0].committedOffset == -1)
        }
    }

    @Test func partitionsAreRefusedOneByOne() async throws {
        try await TestBroker.with(["offset.metadata.max.bytes=10"]) { broker in
            try await broker.createTopic("picky", partitions: 2)
            let client = try broker.connect()
            #expect(codes(try client.ask(commit("g", "picky", [0: 1, 2: 1]))) == [.none, .unknownTopicOrPartition])
            #expect(codes(try client.ask(commit("g", "missing", [0: 1]))) == [.unknownTopicOrPartition])
            #expect(codes(try client.ask(commit("g", "picky", [0: 9], metadata: "12345678901"))) == [.offsetMetadataTooLarge])
            #expect(try client.ask(fetch("g", ["picky": [0]])).groups[0].topics[0].partitions[0].committedOffset == 1)
        }
    }

    /// A write that the store refuses: who asked is told to come again, and the group is as it was.
    @Test func aFailedWriteLeavesTheGroupAsItWas() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("large", partitions: 1)
            let client = try broker.connect()
            #expect(codes(try client.ask(commit("g", "large", [0: 3]))) == [.none])
            // More than a client may send.
            let metadata = String(repeating: "x", count: GroupChange.metadataByteCountMax + 1)
            let context = broker.server.context
            let code = await withCheckedContinuation { continuation in
                context.groups.commit(
                    [(OffsetKey(topicID: topic.id, partition: 0), CommittedOffset(offset: 4, metadata: metadata, commitTimeMs: 0))],
                    by: GroupService.Committer(groupID: "g", memberID: "", generationIDOrMemberEpoch: -1, version: 9), context.lanes[0]
                ) { continuation.resume(returning: $0) }
            }
            #expect(code == .coordinatorNotAvailable)
            #expect(try client.ask(fetch("g", ["large": [0]])).groups[0].topics[0].partitions[0].committedOffset == 3)
            #expect(codes(try client.ask(commit("g", "large", [0: 5]))) == [.none])
        }
    }

    @Test func aTopicMadeAnewHasNoOffsets() async throws {
        try await TestBroker.with { broker in
            let topic = try await broker.createTopic("again")
            let client = try broker.connect()
            #expect(codes(try client.ask(commit("g", "again", [0: 3]))) == [.none])
            _ = await broker.store.perform(.deleteTopic(id: topic.id))
            try await broker.createTopic("again")
            #expect(try client.ask(fetch("g", ["again": [0]])).groups[0].topics[0].partitions[0].committedOffset == -1)
            #expect(try client.ask(fetch("g", nil)).groups[0].topics.isEmpty)
        }
    }

    @Test func groupsAreListedAndDeletedWithTheirOffsets() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("gone")
            let client = try broker.connect()
            for group in ["a", "b"] { _ = try client.ask(commit(group, "gone", [0: 3])) }
            #expect(Set(try client.ask(ListGroupsRequest()).groups.map(\.groupID)) == ["a", "b"])
            let deleted = try client.ask(DeleteGroupsRequest { $0.groupsNames = ["a", "nobody", "a"] })
            #expect(deleted.results.map(\.errorCode) == [.none, .groupIDNotFound])
            #expect(try client.ask(ListGroupsRequest()).groups.map(\.groupID) == ["b"])
            #expect(try client.ask(fetch("a", nil)).groups[0].topics.isEmpty)
            let forgotten = try client.ask(
                OffsetDeleteRequest {
                    $0.groupID = "b"
                    $0.topics = [
                        OffsetDeleteRequest.Topic {
                            $0.name = "gone"
                            $0.partitions = [OffsetDeleteRequest.Partition(), OffsetDeleteRequest.Partition { $0.partitionIndex = 1 }]
                        }
                    ]
                })
            #expect(forgotten.topics[0].partitions.map(\.errorCode) == [.none, .unknownTopicOrPartition])
            #expect(try client.ask(fetch("b", nil)).groups[0].topics.isEmpty)
        }
    }

    /// What an open transaction is going to commit for a group does not go with the group's expired offsets, nor because the
    /// group has none yet.
    @Test(arguments: [false, true]) func offsetsOfATransactionDoNotExpire(hasOthers: Bool) async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t", partitions: 2)
            let client = try broker.connect()
            if hasOthers { _ = try client.ask(commit("g", "t", [1: 1])) }
            let producer = try client.ask(InitProducerIdRequest { ($0.transactionalID, $0.transactionTimeoutMs) = ("x", 60_000) })
            let pending = try client.ask(
                TxnOffsetCommitRequest {
                    ($0.transactionalID, $0.groupID, $0.producerID, $0.producerEpoch) = ("x", "g", producer.producerID, producer.producerEpoch)
                    $0.topics = [.init { ($0.name, $0.partitions) = ("t", [.init { $0.committedOffset = 7 }]) }]
                })
            #expect(pending.topics[0].partitions[0].errorCode == .none)
            _ = broker.server.context.groups.expireOffsets(retentionMs: 1, now: WallClock.nowMs + 1_000_000)
            let end = try client.ask(
                EndTxnRequest {
                    ($0.transactionalID, $0.producerID, $0.producerEpoch, $0.committed) = ("x", producer.producerID, producer.producerEpoch, true)
                })
            #expect(end.errorCode == .none)
            #expect(try client.ask(fetch("g", ["t": [0]])).groups[0].topics[0].partitions[0].committedOffset == 7)
            #expect(try client.ask(ListGroupsRequest()).groups.map(\.groupID) == ["g"])
            #expect(try client.ask(DeleteGroupsRequest { $0.groupsNames = ["g"] }).results.map(\.errorCode) == [.none])
        }
    }

    /// A group that gets offsets before anybody is let into it is there for them when nobody stays.
    @Test func offsetsOfATransactionOutliveThoseWhoNeverGotIn() async throws {
        try await TestBroker.with(["group.initial.rebalance.delay.ms=600000"]) { broker in
            try await broker.createTopic("t")
            let client = try broker.connect()
            let member = try broker.connect()
            let producer = try client.ask(InitProducerIdRequest { ($0.transactionalID, $0.transactionTimeoutMs) = ("x", 60_000) })
            var join = JoinGroupRequest {
                ($0.groupID, $0.sessionTimeoutMs, $0.rebalanceTimeoutMs, $0.protocolType) = ("g", 60_000, 60_000, "consumer")
                $0.protocols = [.init { $0.name = "range" }]
            }
            join.memberID = try member.ask(join).memberID
            let memberID = join.memberID
            let joining = try member.send(join)
            // Its answer comes with the first generation: until then others are asked how far it is.
            let description = DescribeGroupsRequest { $0.groups = ["g"] }
            try await wait(while: try client.ask(description).groups[0].groupState != "PreparingRebalance")
            let pending = try client.ask(
                TxnOffsetCommitRequest {
                    ($0.transactionalID, $0.groupID) = ("x", "g")
                    ($0.producerID, $0.producerEpoch) = (producer.producerID, producer.producerEpoch)
                    $0.topics = [.init { ($0.name, $0.partitions) = ("t", [.init { $0.committedOffset = 7 }]) }]
                })
            #expect(pending.topics[0].partitions[0].errorCode == .none)
            let left = try client.ask(
                LeaveGroupRequest {
                    $0.groupID = "g"
                    $0.members = [.init { $0.memberID = memberID }]
                })
            #expect(left.members.map(\.errorCode) == [.none])
            #expect(try member.receive(JoinGroupRequest.self, correlationID: joining).errorCode == .unknownMemberID)
            let end = try client.ask(
                EndTxnRequest {
                    ($0.transactionalID, $0.committed) = ("x", true)
                    ($0.producerID, $0.producerEpoch) = (producer.producerID, producer.producerEpoch)
                })
            #expect(end.errorCode == .none)
            #expect(try client.ask(ListGroupsRequest()).groups.map(\.groupID) == ["g"])
            #expect(try client.ask(DeleteGroupsRequest { $0.groupsNames = ["g"] }).results.map(\.errorCode) == [.none])
            #expect(try client.ask(fetch("g", nil)).groups[0].topics.isEmpty)
        }
    }

    /// As Kafka takes them: consumers without a group commit under the empty id, and what is wrong with the commit as a whole
    /// is said of every partition that is there.
    @Test func theEmptyGroupIDAndRefusedCommits() async throws {
        try await TestBroker.with(["offset.metadata.max.bytes=10"]) { broker in
            try await broker.createTopic("t", partitions: 2)
            let client = try broker.connect()
            #expect(codes(try client.ask(commit("", "t", [0: 5]))) == [.none])
            #expect(try client.ask(fetch("", ["t": [0]])).groups[0].topics[0].partitions[0].committedOffset == 5)
            #expect(try client.ask(DeleteGroupsRequest { $0.groupsNames = [""] }).results.map(\.errorCode) == [.none])
            var stranger = commit("g", "t", [0: 1, 2: 1])
            (stranger.memberID, stranger.generationIDOrMemberEpoch) = ("m", 3)
            stranger.topics[0].partitions.append(
                OffsetCommitRequest.Partition { ($0.partitionIndex, $0.committedMetadata) = (1, "12345678901") })
            #expect(codes(try client.ask(stranger)) == [.groupIDNotFound, .unknownTopicOrPartition, .groupIDNotFound])
        }
    }

    /// Asking for the same group a million times must not be a way to have it answered a million times.
    @Test func aGroupThatIsAskedForTwiceIsAnsweredOnce() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            #expect(try client.ask(DescribeGroupsRequest { $0.groups = ["g", "h", "g"] }).groups.map(\.groupID) == ["g", "h"])
            #expect(try client.ask(ConsumerGroupDescribeRequest { $0.groupIDs = ["g", "h", "g"] }).groups.map(\.groupID) == ["g", "h"])
            var twice = fetch("g", nil)
            twice.groups += twice.groups
            #expect(try client.ask(twice).groups.map(\.groupID) == ["g"])
        }
    }

    /// A member that is none is refused as a whole, without a word on its topics, since the version that can say so.
    @Test func aRefusedFetchNamesNoTopics() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("t")
            let client = try broker.connect()
            let joined = try client.ask(
                ConsumerGroupHeartbeatRequest {
                    ($0.groupID, $0.memberID, $0.rebalanceTimeoutMs) = ("g", "m", 60_000)
                    ($0.subscribedTopicNames, $0.topicPartitions) = (["t"], [])
                })
            #expect(joined.errorCode == .none)
            var asked = fetch("g", ["t": [0]])
            (asked.groups[0].memberID, asked.groups[0].memberEpoch) = ("m", joined.memberEpoch + 1)
            let refused = try client.ask(asked).groups[0]
            #expect(refused.errorCode == .staleMemberEpoch && refused.topics.isEmpty)
        }
    }

    @Test func aSyncOfVersionFiveNamesTheProtocol() async throws {
        try await TestBroker.with { broker in
            let client = try broker.connect()
            let request = SyncGroupRequest { ($0.groupID, $0.memberID) = ("g", "m") }
            #expect(try client.ask(request).errorCode == .inconsistentGroupProtocol)
            #expect(try client.ask(request, version: 4).errorCode == .unknownMemberID)
        }
    }

    @Test func offsetsOfNobodyExpireByTheirCommit() async throws {
        try await TestBroker.with { broker in
            try await broker.createTopic("old", partitions: 2)
            let client = try broker.connect()
            _ = try client.ask(commit("g", "old", [0: 3]))
            let groups = broker.server.context.groups
            let now = WallClock.nowMs
            #expect(groups.expireOffsets(retentionMs: 60_000, now: now + 59_000) == 0)
            // An expiry of its own, as versions 2–4 can ask for.
            var short = commit("g", "old", [1: 4])
            short.retentionTimeMs = 1_000
            _ = try client.ask(short, version: 4)
            #expect(groups.expireOffsets(retentionMs: 60_000, now: now + 30_000) == 1)
            // The store's order: what is committed after the expiry is on disk after it.
            _ = try client.ask(commit("later", "old", [0: 1]))
            #expect(try client.ask(fetch("g", nil)).groups[0].topics[0].partitions.map(\.partitionIndex) == [0])
            // The write of the first expiry comes back on another loop than the client's, and a group is passed over until then.
            var expired = 0
            while expired < 2 {
                expired += groups.expireOffsets(retentionMs: 60_000, now: now + 120_000)
                await Task.yield()
            }
            #expect(expired == 2)
            _ = try client.ask(commit("last", "old", [0: 1]))
            #expect(try client.ask(fetch("g", nil)).groups[0].topics.isEmpty)
            #expect(try client.ask(ListGroupsRequest()).groups.map(\.groupID) == ["last"])
        }
    }
}
