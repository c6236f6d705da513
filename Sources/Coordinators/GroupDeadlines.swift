internal import HeapModule
internal import KafkaProtocol

/// When groups want to be looked at, soonest first. A group is in it once at its soonest time; entries that were
/// overtaken are left where they are and skipped when their time comes, so that a heartbeat costs nothing here.
struct GroupDeadlines: Sendable {
    private struct Entry: Comparable, Sendable {
        /// Monotonic milliseconds.
        var time: Int64
        var groupID: String

        static func < (left: Entry, right: Entry) -> Bool { (left.time, left.groupID) < (right.time, right.groupID) }
    }

    private var heap = Heap<Entry>()
    /// The entry that counts for each group.
    private var armed: [ExactString: Int64] = [:]

    /// Monotonic milliseconds; nil when nobody waits for anything. May be early, never late.
    var next: Int64? { heap.min?.time }

    /// To be called after every change of a group: `time` is the soonest moment at which it has something to do.
    mutating func arm(_ groupID: String, at time: Int64?) {
        guard let time else { return }
        if let current = armed[groupID], current <= time { return }
        armed[groupID] = time
        heap.insert(Entry(time: time, groupID: groupID))
        if heap.count > 2 * armed.count + 64 { rebuild() }
    }

    mutating func forget(_ groupID: String) { armed[groupID] = nil }

    /// The next group whose time has come, which has to be armed again.
    mutating func popDue(by moment: Int64) -> String? {
        while let entry = heap.min, entry.time <= moment {
            heap.removeMin()
            if armed[entry.groupID] == entry.time {
                armed[entry.groupID] = nil
                return entry.groupID
            }
        }
        return nil
    }

    private mutating func rebuild() { heap = Heap(armed.map { Entry(time: $0.value, groupID: $0.key.text) }) }
}
