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
    /// The newest of them.
    private(set) var tail = JournalTail()
    /// How many of the front entry's `touched` have been settled already.
    var frontSettled = 0

    var lastSequence: UInt64 { nextSequence - 1 }

    /// - Parameter inTail: Whether it stands in the tail, and not behind the journal's others, which the tail must then be empty for.
    mutating func append(_ entry: Entry, inTail: Bool) {
        precondition(inTail || tail.isEmpty, "what stands in the tail is newer than what does not")
        precondition(entry.sequence == nextSequence, "journal sequences are consecutive")
        entries.append(entry)
        byteCount += entry.byteCount
        changeCount += entry.changeCount
        nextSequence += 1
        if inTail { tail.add(byteCount: entry.byteCount) }
    }

    /// Sequences of what stands in the tail.
    var tailSequences: Range<UInt64> { nextSequence - UInt64(tail.entryCount)..<nextSequence }
    var isFirstInTail: Bool { entries.count == tail.entryCount }

    /// They stand behind the others now.
    mutating func emptyTail() { tail = JournalTail() }

    mutating func removeFirst() {
        if isFirstInTail, let first = entries.first { tail.remove(byteCount: first.byteCount) }
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
