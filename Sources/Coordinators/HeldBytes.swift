internal import KafkaProtocol

/// What groups hold of their members, about, in bytes: each group, and all of them (`lmbroker.groups.max.bytes`). A group without members
/// counts nothing: what there is of it is on disk, which has its own limit.
struct HeldBytes: Sendable {
    /// Beside what its members say of themselves.
    static let perGroup = 1_024
    /// Of a member, or of an id that was given out to one.
    static let perMember = 512
    /// That the broker has given to a member.
    static let perPartition = 128

    private(set) var total = 0
    private var byGroup: [ExactString: Int] = [:]

    mutating func set(_ byteCount: Int, of groupID: String) {
        total += byteCount - byGroup[groupID, default: 0]
        byGroup[groupID] = byteCount == 0 ? nil : byteCount
    }
}

extension [JoinGroupRequest.GroupProtocol] {
    /// In memory.
    var byteCount: Int { reduce(0) { $0 + $1.name.utf8.count + $1.metadata.count + 64 } }
}
