/// How many values a commit deletes: as many as the disk can look up without making the commit wait.
///
/// What is deleted has not been read for long, and the first page of each value has to come from the disk. A commit's own
/// writes queue behind the pages that it has asked for, and with them whoever waits for the commit. So the time of the
/// commits that delete, beside the time of those that do not, says how many pages the disk takes: a fast one gives
/// tens of them while a commit is written, one whose operations are rationed a few.
struct DeletionPace {
    /// How many values a commit asks for unless it rests.
    private(set) var valueCount = 1
    /// What a commit takes that has nothing to do with deleting. 0 until there was one.
    private var plainNs: UInt64 = 0
    private var turn = 0

    /// Each value frees at most 64 pages, which the free list takes in as one short run.
    static let valueCountMax = 64
    /// Two commits in so many ask for nothing: the first deletes what was asked for before, the second is timed.
    private static let turnsPerRest = 32
    private static let restLength = 2

    /// How many values the commit being made is to ask for; 0 while resting.
    mutating func nextValueCount() -> Int {
        defer { turn = (turn + 1) % Self.turnsPerRest }
        return turn < Self.restLength ? 0 : valueCount
    }

    /// A commit was written that has put nothing into the log: what it took says something of others.
    mutating func committed(inNs ns: UInt64, askedCount: Int, deletedCount: Int) {
        if plainNs == 0 { plainNs = ns }
        if askedCount > 0 {
            if ns > 2 * plainNs {
                valueCount = max(min(valueCount, askedCount) / 2, 1)
            } else if askedCount >= valueCount {
                valueCount = min(valueCount + 1, Self.valueCountMax)
            }
        } else if deletedCount > 0 {
            return
        } else if ns < plainNs {
            // Who waits for a short commit is harmed most.
            plainNs -= (plainNs - ns) / 2
        } else {
            // A single wait, for the processor or for somebody else's writes, says nothing about the commits to come.
            plainNs += (min(ns, 2 * plainNs) - plainNs) / 8
        }
    }
}
