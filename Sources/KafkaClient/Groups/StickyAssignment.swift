/// Divides partitions as evenly as subscriptions allow, beginning from who has what already.
///
/// What must be given out goes to the reader with the least. Then partitions move, one at a time or along a chain of
/// members, as long as that takes from one member and gives to another that has at least two fewer: when no such chain is
/// left, no division is more even (it is an optimal semi-matching; Harvey, Ladner, Lovász, Tamir 2006). Chains are looked
/// for shortest first, and prefer partitions that are new to their holder, so few change hands.
struct StickyAssignment {
    /// What a member says it was given, and in which generation.
    struct Claim {
        var member: String
        var generation: Int32
        var partitions: [TopicPartition]
    }

    private let ids: [String]
    /// Who may have partitions of a topic, as indexes of members.
    private var readers: [String: [Int]] = [:]
    /// By member and topic, what it has so far.
    private var held: [[String: [Int32]]]
    private var loads: [Int]
    /// Who had it before, as far as that is known and undisputed.
    private var previous: [TopicPartition: Int] = [:]

    static func divide(
        _ members: [GroupAssignor.Member], _ partitionCounts: [String: Int32], previous claims: [Claim]
    ) -> [String: [TopicPartition]] {
        var division = StickyAssignment(members, partitionCounts)
        division.keep(claims, partitionCounts)
        division.giveOut(partitionCounts)
        // First among what is new to everyone: what members hold moves only if there is no other way. So, when one
        // member has given up what another is to have, the next division is the one that was meant.
        division.even(movingHeld: false)
        division.even(movingHeld: true)
        return division.result
    }

    private init(_ members: [GroupAssignor.Member], _ partitionCounts: [String: Int32]) {
        let ordered = GroupAssignor.ordered(members)
        ids = ordered.map(\.id)
        held = Array(repeating: [:], count: ordered.count)
        loads = Array(repeating: 0, count: ordered.count)
        for (index, member) in ordered.enumerated() {
            for topic in Set(member.subscription.topics) where partitionCounts[topic, default: 0] > 0 {
                readers[topic, default: []].append(index)
            }
        }
    }

    /// Lets members keep what they had, where it still is and they still want it. The claim of the latest generation
    /// counts; two of the same generation cancel each other.
    private mutating func keep(_ claims: [Claim], _ partitionCounts: [String: Int32]) {
        let indexes = Dictionary(ids.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
        var best: [TopicPartition: (generation: Int32, member: Int?)] = [:]
        for claim in claims {
            guard let index = indexes[claim.member] else { continue }
            for partition in claim.partitions {
                if let known = best[partition], known.generation >= claim.generation {
                    if known.generation == claim.generation, known.member != index { best[partition] = (claim.generation, nil) }
                } else {
                    best[partition] = (claim.generation, index)
                }
            }
        }
        for (partition, claim) in best {
            guard let member = claim.member, (0..<partitionCounts[partition.topic, default: 0]).contains(partition.partition),
                readers[partition.topic]?.contains(member) == true
            else { continue }
            previous[partition] = member
            give(partition, to: member)
        }
    }

    private mutating func giveOut(_ partitionCounts: [String: Int32]) {
        // Topics with few readers first: later partitions have more places to go.
        for (topic, readers) in readers.sorted(by: { ($0.value.count, $0.key) < ($1.value.count, $1.key) }) {
            for number in 0..<partitionCounts[topic, default: 0] where previous[TopicPartition(topic, number)] == nil {
                guard let least = readers.min(by: { loads[$0] < loads[$1] }) else { continue }
                give(TopicPartition(topic, number), to: least)
            }
        }
    }

    /// Moves partitions while that makes the division more even: one from each member that has too many, then again.
    /// Were one member relieved of all at once, it might be given some by the next.
    private mutating func even(movingHeld: Bool) {
        var isEven = false
        while !isEven {
            isEven = true
            for member in ids.indices.sorted(by: { loads[$0] > loads[$1] }) {
                guard let chain = chain(from: member, movingHeld: movingHeld) else { continue }
                for step in chain { move(step.topic, from: step.giver, to: step.taker) }
                isEven = false
            }
        }
    }

    private struct Step {
        var giver: Int
        var topic: String
        var taker: Int
    }

    /// The shortest chain of moves that ends at a member with two partitions fewer than `start`; nil if there is none.
    private func chain(from start: Int, movingHeld: Bool) -> [Step]? {
        let limit = loads[start] - 2
        guard limit >= 0, loads.contains(where: { $0 <= limit }) else { return nil }
        var reachedBy: [Int: Step] = [:]
        var topicsSeen: Set<String> = []
        var level = [start]
        while !level.isEmpty {
            var next: [Int] = []
            for giver in level {
                for topic in held[giver].keys.sorted() where !topicsSeen.contains(topic) {
                    guard movingHeld || hasNew(topic, giver) else { continue }
                    topicsSeen.insert(topic)
                    for taker in readers[topic] ?? [] where taker != start && reachedBy[taker] == nil {
                        reachedBy[taker] = Step(giver: giver, topic: topic, taker: taker)
                        next.append(taker)
                    }
                }
            }
            if let end = next.filter({ loads[$0] <= limit }).min(by: { loads[$0] < loads[$1] }) { return path(to: end, from: start, reachedBy) }
            level = next
        }
        return nil
    }

    private func hasNew(_ topic: String, _ member: Int) -> Bool {
        held[member][topic]?.contains { previous[TopicPartition(topic, $0)] != member } ?? false
    }

    private func path(to end: Int, from start: Int, _ reachedBy: [Int: Step]) -> [Step] {
        var steps: [Step] = []
        var member = end
        while member != start, let step = reachedBy[member] {
            steps.append(step)
            member = step.giver
        }
        return steps
    }

    /// Hands over one partition of the topic: best one that the taker had before, else one that the giver had not.
    private mutating func move(_ topic: String, from giver: Int, to taker: Int) {
        guard var numbers = held[giver][topic] else { return }
        let position =
            numbers.firstIndex { previous[TopicPartition(topic, $0)] == taker }
            ?? numbers.firstIndex { previous[TopicPartition(topic, $0)] != giver } ?? numbers.count - 1
        let number = numbers.remove(at: position)
        held[giver][topic] = numbers.isEmpty ? nil : numbers
        loads[giver] -= 1
        give(TopicPartition(topic, number), to: taker)
    }

    private mutating func give(_ partition: TopicPartition, to member: Int) {
        held[member][partition.topic, default: []].append(partition.partition)
        loads[member] += 1
    }

    private var result: [String: [TopicPartition]] {
        var result: [String: [TopicPartition]] = [:]
        for (index, id) in ids.enumerated() {
            result[id] = held[index].flatMap { topic, numbers in numbers.map { TopicPartition(topic, $0) } }
        }
        return result
    }
}
