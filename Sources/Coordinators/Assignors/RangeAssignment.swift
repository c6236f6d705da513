internal import KafkaProtocol

/// The `range` assignor. Topics with the same subscribers and as many partitions are shared as one, so that partition
/// n of each is with the same member and may be joined there. A member keeps the lowest of what it had, up to its
/// share; the others are given out in ascending runs.
func rangeAssignment(_ problem: AssignmentProblem) -> [PartitionSet] {
    var subscribers: [Uuid: [Int]] = [:]
    for (index, member) in problem.members.enumerated() {
        for topicID in member.topicIDs { subscribers[topicID, default: []].append(index) }
    }
    var families: [TopicFamily: [Uuid]] = [:]
    for topicID in subscribers.keys.sorted(by: { $0.isBefore($1) }) {
        guard let count = problem.partitionCounts[topicID], count > 0, let indexes = subscribers[topicID] else { continue }
        families[TopicFamily(partitionCount: count, subscribers: indexes), default: []].append(topicID)
    }
    var sets = Array(repeating: PartitionSet(), count: problem.members.count)
    for (family, topicIDs) in families {
        for (slot, partitions) in family.shares(following: family.bestKnown(of: topicIDs, problem)).enumerated() {
            for topicID in topicIDs {
                for partition in partitions { sets[family.subscribers[slot]].insert(topicID, partition) }
            }
        }
    }
    return sets
}

/// Topics that can be cut alike.
private struct TopicFamily: Hashable {
    var partitionCount: Int32
    /// Places in `AssignmentProblem.members`, ascending.
    var subscribers: [Int]

    /// What each subscriber had of that topic of the family of which the most is still had.
    func bestKnown(of topicIDs: [Uuid], _ problem: AssignmentProblem) -> [[Int32]] {
        var best: [[Int32]] = []
        var bestCount = -1
        for topicID in topicIDs {
            var seen: Set<Int32> = []
            let held = subscribers.map { member in
                problem.members[member].previous[topicID].sorted().filter { $0 >= 0 && $0 < partitionCount && seen.insert($0).inserted }
            }
            if seen.count > bestCount {
                best = held
                bestCount = seen.count
            }
        }
        return best
    }

    /// By slot: the partitions of each subscriber, given what it `had`.
    func shares(following had: [[Int32]]) -> [[Int32]] {
        let share = Int(partitionCount) / subscribers.count
        var extrasLeft = Int(partitionCount) % subscribers.count
        var shares: [[Int32]] = []
        var wanted: [Int] = []
        var kept: Set<Int32> = []
        for partitions in had {
            // One of those that get one more, if it has one more.
            let hasExtra = partitions.count > share && extrasLeft > 0
            if hasExtra { extrasLeft -= 1 }
            shares.append(Array(partitions.prefix(hasExtra ? share + 1 : share)))
            kept.formUnion(shares[shares.count - 1])
            wanted.append(hasExtra ? 0 : share - shares[shares.count - 1].count)
        }
        var free = (0..<partitionCount).filter { !kept.contains($0) }[...]
        for slot in shares.indices {
            if shares[slot].count + wanted[slot] == share, extrasLeft > 0 {
                extrasLeft -= 1
                wanted[slot] += 1
            }
            shares[slot] += free.prefix(wanted[slot])
            free = free.dropFirst(wanted[slot])
        }
        return shares
    }
}
