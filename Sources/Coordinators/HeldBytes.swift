internal import KafkaProtocol

/// What groups hold of their members, about, in bytes (`lmbroker.groups.max.bytes`). A group without members counts nothing: what there is
/// of it is on disk, which has its own limit.
enum HeldBytes {
    /// Beside what its members say of themselves.
    static let perGroup = 1_024
    /// Of a member, or of an id that was given out to one.
    static let perMember = 512
    /// That the broker has given to a member.
    static let perPartition = 128
}

extension [JoinGroupRequest.GroupProtocol] {
    /// In memory.
    var byteCount: Int { reduce(0) { $0 + $1.name.utf8.count + $1.metadata.count + 64 } }
}
