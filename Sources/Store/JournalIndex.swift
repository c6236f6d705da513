internal import DequeModule

/// What stands in the journal, oldest first.
struct JournalIndex: Sendable {
    struct Entry: Sendable {
        var sequence: UInt64
        var byteCount: Int
        var operationCount: Int
        var touched: [StateKey]

        /// What a replay has to do for it: an operation may change many things.
        var changeCount: Int { max(operationCount, touched.count) }
    }

    private(set) var entries: Deque<Entry> = []
    private(set) var byteCount = 0
    private(set) var changeCount = 0
    /// Sequence of the next entry; the first one ever is 1.
    private(set) var nextSequence: UInt64 = 1
    /// How many of the front entry's `touched` have been settled already.
    var frontSettled = 0

    var lastSequence: UInt64 { nextSequence - 1 }

    mutating func append(_ entry: Entry) {
        precondition(entry.sequence == nextSequence, "journal sequences are consecutive")
        entries.append(entry)
        byteCount += entry.byteCount
        changeCount += entry.changeCount
        nextSequence += 1
    }

    mutating func removeFirst() {
        let entry = entries.removeFirst()
        byteCount -= entry.byteCount
        changeCount -= entry.changeCount
        frontSettled = 0
    }

    /// Where the journal goes on: behind what was trimmed at the last shutdown, or at its first entry.
    mutating func start(at sequence: UInt64) {
        precondition(entries.isEmpty, "only an empty index can be told where to start")
        nextSequence = sequence
    }
}
