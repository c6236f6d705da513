import KafkaProtocol
import Testing

@testable import KafkaClient

/// The bytes that members of a group exchange must be those of Kafka's own clients.
@Suite struct ConsumerProtocolTests {
    private let owned = [TopicPartition("b", 2), TopicPartition("a", 0), TopicPartition("b", 1)]

    @Test func aSubscriptionIsWrittenAsKafkaDoes() throws {
        let subscription = MemberSubscription(topics: ["ab", "c"], userData: [9, 8], owned: owned, generation: 5)
        let expected: [UInt8] =
            [0, 3, 0, 0, 0, 2, 0, 2, 0x61, 0x62, 0, 1, 0x63, 0, 0, 0, 2, 9, 8]
            + [0, 0, 0, 2, 0, 1, 0x61, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0x62, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]
            + [0, 0, 0, 5, 0xff, 0xff]
        #expect(subscription.bytes == expected)
        let read = try MemberSubscription(expected)
        #expect(read.topics == ["ab", "c"] && read.userData == [9, 8] && Set(read.owned) == Set(owned) && read.generation == 5)
    }

    @Test func subscriptionsOfOldAndOfNewerClientsAreRead() throws {
        let bytes = MemberSubscription(topics: ["t"], owned: [TopicPartition("t", 1)], generation: 3).bytes
        // Version 0 ends behind the user data, 1 behind what is owned, 2 behind the generation.
        let lengths = [2 + 4 + 3 + 4, 2 + 4 + 3 + 4 + 4 + 3 + 4 + 4, 2 + 4 + 3 + 4 + 4 + 3 + 4 + 4 + 4]
        for (version, length) in lengths.enumerated() {
            var old = Array(bytes[..<length])
            old[1] = UInt8(version)
            let read = try MemberSubscription(old)
            #expect(read.topics == ["t"] && read.userData == nil)
            #expect(read.owned == (version >= 1 ? [TopicPartition("t", 1)] : []))
            #expect(read.generation == (version >= 2 ? 3 : -1))
            #expect(throws: WireError.self) { try MemberSubscription(Array(old.dropLast())) }
        }
        var newer = bytes + [1, 2, 3]
        newer[1] = 9
        #expect(try MemberSubscription(newer).generation == 3)
        #expect(throws: WireError.self) { try MemberSubscription([]) }
    }

    @Test func anAssignmentIsWrittenAsKafkaDoes() throws {
        let expected: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 1, 0x74, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]
        #expect(MemberAssignment([TopicPartition("t", 4), TopicPartition("t", 0)]).bytes == expected)
        #expect(try MemberAssignment(expected).partitions == [TopicPartition("t", 0), TopicPartition("t", 4)])
        #expect(try MemberAssignment([UInt8]()).partitions.isEmpty)
        #expect(throws: WireError.self) { try MemberAssignment([0, 0, 0, 0]) }
    }

    @Test func theStickyAssignorsUserDataIsKafkas() {
        let bytes: [UInt8] = [0, 0, 0, 1, 0, 1, 0x74, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 12]
        #expect(StickyUserData.sticky([TopicPartition("t", 6)], generation: 12) == bytes)
        #expect(StickyUserData(sticky: bytes)?.generation == 12)
        // The oldest clients write no generation.
        let old = StickyUserData(sticky: Array(bytes.dropLast(4)))
        #expect(old?.generation == -1 && old?.owned == [TopicPartition("t", 6)])
        #expect(StickyUserData(sticky: [1, 2]) == nil)
        #expect(StickyUserData.cooperativeSticky(generation: 258) == [0, 0, 1, 2])
        #expect(StickyUserData.generation(cooperativeSticky: [0, 0, 1, 2]) == 258)
        #expect(StickyUserData.generation(cooperativeSticky: []) == -1)
    }

    @Test func aLeaderFindsItsNoteAgainAndNobodyElses() throws {
        let note = DividedCounts.bytes(["a": 3, "b": 0])
        #expect(DividedCounts.read(note) == ["a": 3, "b": 0])
        for other in [[], [0, 0, 0, 0], [0, 0, 0, 1], Array(note.dropLast())] as [[UInt8]] { #expect(DividedCounts.read(other) == nil) }
        #expect(try MemberAssignment(MemberAssignment([], userData: note).bytes).userData == note)
    }
}
