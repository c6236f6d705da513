/// A partition's number within its store: the prefix of its keyspace. Never used again for another partition.
public struct PartitionID: Hashable, Sendable, Comparable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static func < (left: PartitionID, right: PartitionID) -> Bool { left.rawValue < right.rawValue }
}
