internal import KafkaProtocol

/// When the time of a group's members runs out, in monotonic milliseconds.
struct ConsumerDeadlines: Sendable {
    struct Member: Sendable {
        var session: Int64
        /// By when partitions have to be given up.
        var rebalance: Int64?
        /// By when a member of the classic protocol that was told so has to come with JoinGroup, and then with SyncGroup.
        var join: Int64?
        var sync: Int64?

        fileprivate var next: Int64 { min(session, rebalance ?? .max, join ?? .max, sync ?? .max) }
    }

    private var members: [ExactString: Member] = [:]
    /// Never later than the first member's. May be early, since it stays where it is when that has got more time: so a heartbeat does
    /// not have all the others looked at.
    private(set) var next: Int64?

    subscript(memberID: String) -> Member? {
        get { members[memberID] }
        set {
            members[memberID] = newValue
            if let first = newValue?.next { next = min(next ?? first, first) }
        }
    }

    /// Takes out the members whose time has run out, in the order of their ids.
    mutating func takeDue(by moment: Int64) -> [String] {
        guard let next, next <= moment else { return [] }
        let due = members.filter { $0.value.next <= moment }.keys.sorted()
        for memberID in due { members[memberID] = nil }
        self.next = members.values.lazy.map(\.next).min()
        return due.map(\.text)
    }
}
