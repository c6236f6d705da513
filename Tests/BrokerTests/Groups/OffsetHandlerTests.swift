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
