internal import KafkaProtocol

/// Partitions of topics that are named by their ids.
struct PartitionSet: Sendable, Equatable {
    /// No set in it is empty.
    private(set) var topics: [Uuid: Set<Int32>] = [:]

    init() {}

    init(_ partitions: some Sequence<(topicID: Uuid, indexes: Set<Int32>)>) {
        for (topicID, indexes) in partitions where !indexes.isEmpty { topics[topicID, default: []].formUnion(indexes) }
    }

    var isEmpty: Bool { topics.isEmpty }
    var count: Int { topics.values.reduce(0) { $0 + $1.count } }

    subscript(topicID: Uuid) -> Set<Int32> { topics[topicID] ?? [] }

    func contains(_ topicID: Uuid, _ index: Int32) -> Bool { topics[topicID]?.contains(index) ?? false }

    mutating func insert(_ topicID: Uuid, _ index: Int32) { topics[topicID, default: []].insert(index) }

    mutating func formUnion(_ other: PartitionSet) {
        for (topicID, indexes) in other.topics { topics[topicID, default: []].formUnion(indexes) }
    }

    func intersection(_ other: PartitionSet) -> PartitionSet {
        filter { topicID, index in other.contains(topicID, index) }
    }

    func subtracting(_ other: PartitionSet) -> PartitionSet {
        filter { topicID, index in !other.contains(topicID, index) }
    }

    func isDisjoint(with other: PartitionSet) -> Bool {
        topics.allSatisfy { topicID, indexes in other.topics[topicID]?.isDisjoint(with: indexes) ?? true }
    }

    func isSubset(of other: PartitionSet) -> Bool {
        topics.allSatisfy { topicID, indexes in indexes.isSubset(of: other[topicID]) }
    }

    func filter(_ isIncluded: (Uuid, Int32) -> Bool) -> PartitionSet {
        var kept = PartitionSet()
        for (topicID, indexes) in topics {
            let left = indexes.filter { isIncluded(topicID, $0) }
            if !left.isEmpty { kept.topics[topicID] = left }
        }
        return kept
    }

    /// In one order, whatever the hashing: what is written or sent is the same each time.
    var sorted: [(topicID: Uuid, indexes: [Int32])] {
        topics.map { (topicID: $0.key, indexes: $0.value.sorted()) }.sorted { $0.topicID.isBefore($1.topicID) }
    }
}

extension Uuid {
    /// An order to be had where one is needed; it means nothing.
    func isBefore(_ other: Uuid) -> Bool { (high, low) < (other.high, other.low) }
}
