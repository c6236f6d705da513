import KafkaProtocol
import Testing

@testable import Coordinators

/// What holds for any sharing of partitions, over random problems.
@Suite struct ConsumerAssignorTests {
    private static let seeds = 1...UInt64(150)

    @Test(arguments: Assignor.allCases) func eachPartitionGoesToOneSubscriber(assignor: Assignor) {
        for seed in Self.seeds {
            var random = RandomSource.seeded(seed)
            var problem = randomProblem(&random)
            for _ in 0..<4 {
                let sets = assignor.assign(problem)
                expectValid(sets, problem, "\(assignor) seed \(seed)")
                #expect(assignor.assign(problem) == sets, "\(assignor) seed \(seed): the same problem, another answer")
                settle(&problem, sets)
                #expect(assignor.assign(problem) == sets, "\(assignor) seed \(seed): nothing has changed, yet something moves")
                change(&problem, &random)
            }
        }
    }

    @Test func uniformIsAsEvenAsTheSubscriptionsAllow() {
        for seed in Self.seeds {
            var random = RandomSource.seeded(seed)
            var problem = randomProblem(&random)
            for _ in 0..<4 {
                let sets = Assignor.uniform.assign(problem)
                expectEven(sets, problem, "seed \(seed)")
                settle(&problem, sets)
                change(&problem, &random)
            }
        }
    }

    @Test func withEqualSubscriptionsLoadsDifferByOneAndOnlyWhatMustMoves() {
        for seed in Self.seeds {
            var random = RandomSource.seeded(seed)
            var problem = equalProblem(members: Int.random(in: 1...12, using: &random), topics: Int.random(in: 1...6, using: &random), &random)
            settle(&problem, Assignor.uniform.assign(problem))
            for step in 0..<6 {
                let before = problem.members
                if problem.members.count > 1, Bool.random(using: &random) {
                    problem.members.remove(at: Int.random(in: problem.members.indices, using: &random))
                } else {
                    problem.members.append(.init(id: "n\(step)", topicIDs: problem.members[0].topicIDs, previous: PartitionSet()))
                    problem.members.sort { $0.id < $1.id }
                }
                let sets = Assignor.uniform.assign(problem)
                let loads = sets.map(\.count)
                #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 1, "seed \(seed)")
                let total = loads.reduce(0, +)
                let share = total / problem.members.count
                let extras = total % problem.members.count
                // Members above their share must give; beyond that nobody loses anything.
                let had = problem.members.map(\.previous.count)
                let aboveShare = had.sorted(by: >).enumerated().reduce(0) { $0 + max($1.element - (share + ($1.offset < extras ? 1 : 0)), 0) }
                let lost = zip(problem.members, sets).reduce(0) { $0 + $1.0.previous.subtracting($1.1).count }
                #expect(lost == aboveShare, "seed \(seed) from \(before.count) to \(problem.members.count) members")
                settle(&problem, sets)
            }
        }
    }

    @Test func rangesAreCutAlikeForTopicsOfOneFamily() {
        for seed in Self.seeds {
            var random = RandomSource.seeded(seed)
            var problem = equalProblem(members: Int.random(in: 1...8, using: &random), topics: 4, &random)
            for topicID in problem.partitionCounts.keys { problem.partitionCounts[topicID] = 10 }
            for _ in 0..<4 {
                let sets = Assignor.range.assign(problem)
                for (member, set) in zip(problem.members, sets) {
                    #expect(Set(member.topicIDs.map { set[$0] }).count == 1, "seed \(seed)")
                    for topicID in member.topicIDs { #expect(abs(set[topicID].count * problem.members.count - 10) < problem.members.count, "seed \(seed)") }
                }
                settle(&problem, sets)
                // A topic that joins the family later is cut as the others are.
                let added = Uuid(high: 99, low: UInt64(problem.partitionCounts.count))
                problem.partitionCounts[added] = 10
                for index in problem.members.indices { problem.members[index].topicIDs.insert(added) }
                if problem.members.count > 1, Bool.random(using: &random) { problem.members.removeLast() }
            }
        }
    }

    @Test func theFirstRangesAscend() {
        let topicID = Uuid(high: 1, low: 1)
        let problem = AssignmentProblem(
            members: ["a", "b", "c"].map { .init(id: $0, topicIDs: [topicID], previous: PartitionSet()) }, partitionCounts: [topicID: 8])
        #expect(Assignor.range.assign(problem).map { $0[topicID].sorted() } == [[0, 1, 2], [3, 4, 5], [6, 7]])
    }

    // MARK: - Problems

    private func randomProblem(_ random: inout RandomSource) -> AssignmentProblem {
        var problem = AssignmentProblem(members: [], partitionCounts: [:])
        for index in 0..<Int.random(in: 1...6, using: &random) {
            problem.partitionCounts[Uuid(high: UInt64(index), low: 1)] = Int32.random(in: 1...9, using: &random)
        }
        for index in 0..<Int.random(in: 1...8, using: &random) { problem.members.append(randomMember("m\(index)", problem, &random)) }
        return problem
    }

    private func randomMember(_ id: String, _ problem: AssignmentProblem, _ random: inout RandomSource) -> AssignmentProblem.Member {
        let topics = sortedTopics(problem).filter { _ in Int.random(in: 0..<3, using: &random) > 0 }
        return .init(id: id, topicIDs: Set(topics), previous: PartitionSet())
    }

    private func sortedTopics(_ problem: AssignmentProblem) -> [Uuid] { problem.partitionCounts.keys.sorted { $0.isBefore($1) } }

    private func equalProblem(members: Int, topics: Int, _ random: inout RandomSource) -> AssignmentProblem {
        var problem = AssignmentProblem(members: [], partitionCounts: [:])
        for index in 0..<topics { problem.partitionCounts[Uuid(high: UInt64(index), low: 1)] = Int32.random(in: 1...20, using: &random) }
        for index in 0..<members {
            problem.members.append(.init(id: "m\(index + 10)", topicIDs: Set(problem.partitionCounts.keys), previous: PartitionSet()))
        }
        return problem
    }

    private func settle(_ problem: inout AssignmentProblem, _ sets: [PartitionSet]) {
        for (index, set) in sets.enumerated() { problem.members[index].previous = set }
    }

    /// Somebody comes, goes or changes its mind; a topic grows, shrinks (made anew) or goes.
    private func change(_ problem: inout AssignmentProblem, _ random: inout RandomSource) {
        switch Int.random(in: 0..<5, using: &random) {
        case 0: problem.members.append(randomMember("n\(problem.members.count)-\(random.next() % 1000)", problem, &random))
        case 1: if problem.members.count > 1 { problem.members.remove(at: Int.random(in: problem.members.indices, using: &random)) }
        case 2:
            let index = Int.random(in: problem.members.indices, using: &random)
            problem.members[index].topicIDs = randomMember("", problem, &random).topicIDs
        case 3:
            guard let topicID = sortedTopics(problem).randomElement(using: &random) else { return }
            problem.partitionCounts[topicID] = Int32.random(in: 1...12, using: &random)
        default:
            guard problem.partitionCounts.count > 1, let topicID = sortedTopics(problem).randomElement(using: &random) else { return }
            problem.partitionCounts[topicID] = nil
            for index in problem.members.indices { problem.members[index].topicIDs.remove(topicID) }
        }
    }

    // MARK: - Judging

    private func expectValid(_ sets: [PartitionSet], _ problem: AssignmentProblem, _ comment: Comment) {
        var owners: [Uuid: [Int32: Int]] = [:]
        for (index, set) in sets.enumerated() {
            for (topicID, partitions) in set.topics {
                #expect(problem.members[index].topicIDs.contains(topicID), comment)
                for partition in partitions {
                    #expect(owners[topicID, default: [:]].updateValue(index, forKey: partition) == nil, comment)
                    #expect(partition >= 0 && partition < problem.partitionCounts[topicID] ?? 0, comment)
                }
            }
        }
        for (topicID, count) in problem.partitionCounts where problem.members.contains(where: { $0.topicIDs.contains(topicID) }) {
            #expect(owners[topicID]?.count == Int(count), comment)
        }
    }

    /// No chain of hands leads from a member to one with two partitions fewer.
    private func expectEven(_ sets: [PartitionSet], _ problem: AssignmentProblem, _ comment: Comment) {
        let members = problem.members.indices
        var reach = members.map { from in members.map { to in sets[from].topics.keys.contains { problem.members[to].topicIDs.contains($0) } } }
        for through in members {
            for from in members where reach[from][through] {
                for to in members where reach[through][to] { reach[from][to] = true }
            }
        }
        for from in members {
            for to in members where reach[from][to] { #expect(sets[from].count - sets[to].count < 2, comment) }
        }
    }
}
