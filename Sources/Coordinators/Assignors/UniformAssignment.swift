internal import KafkaProtocol

/// The `uniform` assignor. Members keep what they had; partitions without an owner go to the subscriber with the
/// least; then partitions are passed on from the member with the most, over as many hands as it takes, to one that
/// has at least two fewer. When no such way is left, no assignment is more even, and no partition has moved that did
/// not have to: an optimal semi-matching, found by cost-reducing paths (Harvey, Ladner, Lovász, Tamir 2003). Members
/// with equal subscriptions differ by at most one.
struct UniformAssignment {
    private let members: [AssignmentProblem.Member]
    private var topics: [TopicShare] = []
    /// By member: its topics, as places in `topics` and in `TopicShare.subscribers`.
    private var seats: [[(topic: Int, slot: Int)]]
    /// By member: partitions held.
    private var loads: [Int]
    /// Looks along the edges from members to topics to members before the search for more even loads is given up. Only
    /// thousands of members with as many different subscriptions need so many; what is left is valid, and nearly even.
    private var looksLeft = 50_000_000

    private struct TopicShare {
        let id: Uuid
        let partitionCount: Int32
        /// Places in `members`, ascending.
        var subscribers: [Int] = []
        /// By slot: the partitions of each subscriber, those it had before first.
        var held: [[Int32]] = []
    }

    init(_ problem: AssignmentProblem) {
        members = problem.members
        seats = Array(repeating: [], count: members.count)
        loads = Array(repeating: 0, count: members.count)
        var subscribers: [Uuid: [Int]] = [:]
        for (index, member) in members.enumerated() {
            for topicID in member.topicIDs { subscribers[topicID, default: []].append(index) }
        }
        for topicID in subscribers.keys.sorted(by: { $0.isBefore($1) }) {
            guard let count = problem.partitionCounts[topicID], count > 0, let indexes = subscribers[topicID] else { continue }
            for (slot, index) in indexes.enumerated() { seats[index].append((topic: topics.count, slot: slot)) }
            topics.append(
                TopicShare(id: topicID, partitionCount: count, subscribers: indexes, held: Array(repeating: [], count: indexes.count)))
        }
    }

    mutating func solve() -> [PartitionSet] {
        handOutTheRest(keepPrevious())
        evenOut()
        var sets = Array(repeating: PartitionSet(), count: members.count)
        for topic in topics {
            for (slot, member) in topic.subscribers.enumerated() {
                for partition in topic.held[slot] { sets[member].insert(topic.id, partition) }
            }
        }
        return sets
    }

    /// Returns, by topic, which partitions have an owner.
    private mutating func keepPrevious() -> [[Bool]] {
        var owned = topics.map { Array(repeating: false, count: Int($0.partitionCount)) }
        for topic in topics.indices {
            for (slot, member) in topics[topic].subscribers.enumerated() {
                for partition in members[member].previous[topics[topic].id].sorted() where partition >= 0 && partition < topics[topic].partitionCount {
                    guard !owned[topic][Int(partition)] else { continue }
                    owned[topic][Int(partition)] = true
                    topics[topic].held[slot].append(partition)
                    loads[member] += 1
                }
            }
        }
        return owned
    }

    /// Topics that few can have come first.
    private mutating func handOutTheRest(_ owned: [[Bool]]) {
        let order = topics.indices.sorted { (topics[$0].subscribers.count, $0) < (topics[$1].subscribers.count, $1) }
        for topic in order {
            for partition in owned[topic].indices where !owned[topic][partition] {
                let subscribers = topics[topic].subscribers
                var best = 0
                for slot in subscribers.indices where loads[subscribers[slot]] < loads[subscribers[best]] { best = slot }
                topics[topic].held[best].append(Int32(partition))
                loads[subscribers[best]] += 1
            }
        }
    }

    private mutating func evenOut() {
        var settled = Array(repeating: false, count: members.count)
        while looksLeft > 0 {
            guard let least = loads.min(), let giver = loads.indices.filter({ !settled[$0] }).max(by: { loads[$0] < loads[$1] }),
                loads[giver] - least > 1
            else { return }
            var search = PathSearch(giver, memberCount: members.count, topicCount: topics.count)
            if let taker = findTaker(&search) {
                pass(from: giver, to: taker, search)
            } else {
                // All that can be reached from here have as much, and no later way can lead through them.
                for member in search.reached { settled[member] = true }
            }
        }
    }

    private struct PathSearch {
        let giver: Int
        /// In the order in which they were found.
        var reached: [Int]
        /// By member: from whom it could get a partition, of which topic.
        var steps: [(from: Int, topic: Int)?]
        var topicsSeen: [Bool]

        init(_ giver: Int, memberCount: Int, topicCount: Int) {
            self.giver = giver
            reached = [giver]
            steps = Array(repeating: nil, count: memberCount)
            topicsSeen = Array(repeating: false, count: topicCount)
        }
    }

    /// Breadth first, so that as few partitions as can be move. Of the members that are equally near, the one with
    /// the least.
    private mutating func findTaker(_ search: inout PathSearch) -> Int? {
        let limit = loads[search.giver] - 2
        var next = 0
        while next < search.reached.count {
            let levelEnd = search.reached.count
            var taker: Int?
            while next < levelEnd {
                let member = search.reached[next]
                next += 1
                looksLeft -= seats[member].count
                for (topic, slot) in seats[member] where !search.topicsSeen[topic] && !topics[topic].held[slot].isEmpty {
                    search.topicsSeen[topic] = true
                    looksLeft -= topics[topic].subscribers.count
                    for other in topics[topic].subscribers where other != search.giver && search.steps[other] == nil {
                        search.steps[other] = (from: member, topic: topic)
                        search.reached.append(other)
                        if loads[other] <= limit, loads[other] < taker.map({ loads[$0] }) ?? .max { taker = other }
                    }
                }
            }
            if let taker { return taker }
        }
        return nil
    }

    private mutating func pass(from giver: Int, to taker: Int, _ search: PathSearch) {
        var receiver = taker
        while receiver != giver, let step = search.steps[receiver] {
            let from = slot(of: step.from, in: step.topic)
            if let partition = topics[step.topic].held[from].popLast() {
                topics[step.topic].held[slot(of: receiver, in: step.topic)].append(partition)
            }
            receiver = step.from
        }
        loads[giver] -= 1
        loads[taker] += 1
    }

    /// `subscribers` is ascending.
    private func slot(of member: Int, in topic: Int) -> Int {
        let subscribers = topics[topic].subscribers
        var low = 0
        var high = subscribers.count - 1
        while low < high {
            let middle = (low + high) / 2
            if subscribers[middle] < member { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
