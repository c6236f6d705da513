import Testing

@testable import KafkaClient

/// Properties of the assignors, over random groups.
@Suite struct GroupAssignorTests {
    /// A group of random members with random subscriptions.
    struct Case {
        var members: [GroupAssignor.Member] = []
        var counts: [String: Int32] = [:]

        init(seed: UInt64, isUniform: Bool) {
            var chance = Chance(seed: seed)
            let topics = (0..<Int.random(in: 1...6, using: &chance)).map { "topic\($0)" }
            for topic in topics { counts[topic] = Int32.random(in: 0...12, using: &chance) }
            for number in 0..<Int.random(in: 1...9, using: &chance) {
                var wanted = isUniform ? topics : topics.filter { _ in chance.oneIn(2) }
                if wanted.isEmpty { wanted = [topics[0]] }
                // Topics that are not there do no harm.
                if chance.oneIn(5) { wanted.append("nowhere") }
                members.append(
                    GroupAssignor.Member(
                        id: "member\(number)-\(chance.next() % 1000)", instanceID: chance.oneIn(4) ? "instance\(number)" : nil,
                        subscription: MemberSubscription(topics: wanted)))
            }
        }

        /// The members as they come back after `assigned`: with what they hold, in the forms that both sticky assignors read.
        mutating func remember(_ assigned: [String: [TopicPartition]], generation: Int32, by assignor: GroupAssignor) {
            for index in members.indices {
                guard let owned = assigned[members[index].id] else { continue }
                members[index].subscription.userData = assignor.userData(owned: owned, generation: generation)
                if assignor.isCooperative {
                    (members[index].subscription.owned, members[index].subscription.generation) = (owned, generation)
                }
            }
        }

        func readers(of topic: String) -> [String] { members.filter { $0.subscription.topics.contains(topic) }.map(\.id) }

        var partitions: Set<TopicPartition> {
            Set(counts.flatMap { topic, count in readers(of: topic).isEmpty ? [] : (0..<count).map { TopicPartition(topic, $0) } })
        }
    }

    private func checkWhole(_ assigned: [String: [TopicPartition]], _ group: Case, _ comment: Comment) {
        #expect(Set(assigned.keys) == Set(group.members.map(\.id)), comment)
        let all = assigned.values.flatMap { $0 }
        #expect(all.count == Set(all).count, comment)
        #expect(Set(all) == group.partitions, comment)
        for (member, partitions) in assigned {
            let topics = group.members.first { $0.id == member }?.subscription.topics ?? []
            #expect(partitions.allSatisfy { topics.contains($0.topic) }, comment)
        }
    }

    /// Nobody has two more than another who could have one of them.
    private func checkEven(_ assigned: [String: [TopicPartition]], _ group: Case, _ comment: Comment) {
        for (giver, partitions) in assigned {
            for taker in group.members {
                let loads = (partitions.count, assigned[taker.id]?.count ?? 0)
                guard loads.0 >= loads.1 + 2 else { continue }
                #expect(!partitions.contains { taker.subscription.topics.contains($0.topic) }, "\(comment): \(giver) and \(taker.id)")
            }
        }
    }

    @Test(arguments: GroupAssignor.allCases)
    func eachPartitionGoesToOneMemberThatWantsIt(assignor: GroupAssignor) {
        for seed: UInt64 in 0..<500 {
            let group = Case(seed: seed, isUniform: seed % 2 == 0)
            let assigned = assignor.assign(group.members, partitionCounts: group.counts)
            checkWhole(assigned, group, "seed \(seed)")
            #expect(assigned == assignor.assign(group.members.reversed(), partitionCounts: group.counts), "seed \(seed)")
        }
    }

    @Test func rangeGivesEachTopicInRuns() {
        for seed: UInt64 in 0..<200 {
            let group = Case(seed: seed, isUniform: false)
            let assigned = GroupAssignor.range.assign(group.members, partitionCounts: group.counts)
            for (topic, count) in group.counts {
                let shares = group.readers(of: topic).map { member in (assigned[member] ?? []).filter { $0.topic == topic }.map(\.partition) }
                for share in shares.filter({ !$0.isEmpty }) { #expect(share == Array(share[0]..<share[0] + Int32(share.count))) }
                let sizes = shares.map(\.count)
                if let least = sizes.min(), let most = sizes.max() { #expect(most - least <= 1 && sizes.reduce(0, +) == Int(count)) }
            }
        }
    }

    @Test func roundRobinIsEvenWhenAllWantTheSame() {
        for seed: UInt64 in 0..<200 {
            let group = Case(seed: seed, isUniform: true)
            checkEven(GroupAssignor.roundRobin.assign(group.members, partitionCounts: group.counts), group, "seed \(seed)")
        }
    }

    @Test func stickyIsAsEvenAsSubscriptionsAllow() {
        for seed: UInt64 in 0..<1000 {
            let group = Case(seed: seed, isUniform: seed % 3 == 0)
            checkEven(GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts), group, "seed \(seed)")
        }
    }

    @Test func stickyChangesNothingWithoutCause() {
        for seed: UInt64 in 0..<500 {
            var group = Case(seed: seed, isUniform: seed % 2 == 0)
            let assigned = GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts)
            group.remember(assigned, generation: 7, by: .sticky)
            #expect(GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts) == assigned, "seed \(seed)")
        }
    }

    @Test func whenAMemberLeavesTheOthersKeepTheirs() {
        for seed: UInt64 in 0..<500 {
            var group = Case(seed: seed, isUniform: true)
            let before = GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts)
            group.remember(before, generation: 7, by: .sticky)
            if group.members.count < 2 { continue }
            group.members.remove(at: Int(seed) % group.members.count)
            let after = GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts)
            checkWhole(after, group, "seed \(seed)")
            checkEven(after, group, "seed \(seed)")
            for (member, partitions) in after { #expect(Set(before[member] ?? []).isSubset(of: partitions), "seed \(seed)") }
        }
    }

    @Test func whenAMemberComesOnlyItsShareMoves() {
        for seed: UInt64 in 0..<500 {
            var group = Case(seed: seed, isUniform: true)
            let before = GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts)
            group.remember(before, generation: 7, by: .sticky)
            let topics = group.members[0].subscription.topics
            group.members.append(GroupAssignor.Member(id: "zzz", subscription: MemberSubscription(topics: topics)))
            let after = GroupAssignor.sticky.assign(group.members, partitionCounts: group.counts)
            checkEven(after, group, "seed \(seed)")
            let moved = after.filter { $0.key != "zzz" }.flatMap { member, partitions in Set(partitions).subtracting(before[member] ?? []) }
            #expect(moved.isEmpty, "seed \(seed): partitions moved between members that were there before")
        }
    }

    @Test func theLatestGenerationsClaimCounts() {
        let partition = TopicPartition("topic", 0)
        func member(_ id: String, _ generation: Int32) -> GroupAssignor.Member {
            let data = StickyUserData.sticky([partition], generation: generation)
            return GroupAssignor.Member(id: id, subscription: MemberSubscription(topics: ["topic"], userData: data))
        }
        for (generations, owner) in [((4, 3), "a"), ((3, 4), "b")] as [((Int32, Int32), String)] {
            let assigned = GroupAssignor.sticky.assign([member("a", generations.0), member("b", generations.1)], partitionCounts: ["topic": 1])
            #expect(assigned[owner] == [partition])
        }
    }

    /// Members come and go; each round is a rebalance as a cooperative group has it.
    @Test func cooperativeGivesNothingThatIsHeldAndGetsThereInTwoRounds() {
        for seed: UInt64 in 0..<500 {
            var chance = Chance(seed: seed)
            var group = Case(seed: seed, isUniform: seed % 2 == 0)
            var held: [String: [TopicPartition]] = [:]
            for generation: Int32 in 1...6 {
                if chance.oneIn(2), group.members.count > 1 {
                    held[group.members.remove(at: Int.random(in: 0..<group.members.count, using: &chance)).id] = nil
                } else {
                    let topics = group.members[0].subscription.topics
                    group.members.append(GroupAssignor.Member(id: "new\(generation)", subscription: MemberSubscription(topics: topics)))
                }
                // What is not wanted by anyone any more is given up before joining.
                held = held.mapValues { $0.filter(group.partitions.contains) }
                var rounds = 0
                var isSettled = false
                while !isSettled, rounds < 3 {
                    rounds += 1
                    group.remember(held, generation: generation, by: .cooperativeSticky)
                    let assigned = GroupAssignor.cooperativeSticky.assign(group.members, partitionCounts: group.counts)
                    for (member, partitions) in assigned {
                        for (other, theirs) in held where other != member {
                            #expect(Set(theirs).isDisjoint(with: partitions), "seed \(seed), generation \(generation)")
                        }
                    }
                    let revoked = held.contains { !Set($0.value).isSubset(of: assigned[$0.key] ?? []) }
                    held = assigned
                    isSettled = !revoked
                }
                #expect(rounds <= 2, "seed \(seed), generation \(generation)")
                checkWhole(held, group, "seed \(seed), generation \(generation)")
                checkEven(held, group, "seed \(seed), generation \(generation)")
            }
        }
    }

    @Test func aThousandMembersAndTenThousandPartitionsAreDividedInTime() {
        let members = (0..<1000).map { GroupAssignor.Member(id: "member\($0)", subscription: MemberSubscription(topics: ["a", "b"])) }
        var group = members
        let before = GroupAssignor.sticky.assign(group, partitionCounts: ["a": 5000, "b": 5000])
        #expect(before.values.allSatisfy { $0.count == 10 })
        for index in group.indices { group[index].subscription.userData = StickyUserData.sticky(before[group[index].id] ?? [], generation: 1) }
        group.removeLast(10)
        let started = ContinuousClock.now
        let after = GroupAssignor.sticky.assign(group, partitionCounts: ["a": 5000, "b": 5000])
        #expect(ContinuousClock.now - started < .seconds(20))
        #expect(after.values.allSatisfy { (10...11).contains($0.count) })
    }
}
