import Testing

@testable import Store

/// How many values a commit deletes, on disks that look pages up quickly and slowly.
@Suite struct DeletionPaceTests {
    private var pace = DeletionPace()
    private var askedBefore = 0

    /// What commits took, in microseconds: `plain`, and `each` longer for every page that they ask for or, where the disk writes
    /// before it reads, that they delete, which is what the one before asked for.
    @discardableResult
    private mutating func sweep(_ commitCount: Int, plain: UInt64, each: UInt64, isWritingFirst: Bool = false) -> [UInt64] {
        (0..<commitCount).map { _ in
            let asked = pace.nextValueCount()
            let taken = plain + each * UInt64(isWritingFirst ? askedBefore : asked)
            pace.committed(inNs: taken * 1_000, askedCount: asked, deletedCount: askedBefore)
            askedBefore = asked
            return taken
        }
    }

    private mutating func produce(_ commitCount: Int, each: UInt64) {
        for _ in 0..<commitCount { pace.committed(inNs: each * 1_000, askedCount: 0, deletedCount: 0) }
    }

    @Test mutating func aDiskThatIsFastIsAskedForAsMuchAsTheFreeListTakes() {
        produce(1, each: 400)
        sweep(200, plain: 400, each: 3)
        #expect(pace.valueCount == DeletionPace.valueCountMax)
    }

    @Test mutating func onASlowOneACommitTakesAtMostAboutTwiceItsTime() {
        produce(1, each: 400)
        let taken = sweep(500, plain: 400, each: 100)
        #expect(taken.max() == 900, "one page more than twice its time is what tells")
        #expect(taken.count { $0 == 900 } < 200)
        #expect(taken.reduce(0, +) / 500 > 500, "and it is made use of")
    }

    @Test mutating func aCommitThatWaitsForThePagesInsteadIsMadeShorterAsWell() {
        produce(1, each: 400)
        let taken = sweep(500, plain: 400, each: 100, isWritingFirst: true)
        #expect(taken.suffix(300).reduce(0, +) / 300 < 900)
        #expect(taken.suffix(300).max() ?? 0 <= 1_000)
    }

    @Test mutating func onTheSlowestSomethingIsDeletedAllTheSame() {
        produce(1, each: 400)
        let taken = sweep(320, plain: 400, each: 20_000)
        #expect(taken.count { $0 == 20_400 } == 300)
        #expect(taken.count { $0 == 400 } == 20)
    }

    @Test mutating func itIsSeenWhenCommitsBecomeLongerWithoutTheSweep() {
        produce(1, each: 400)
        sweep(200, plain: 400, each: 100)
        #expect(pace.valueCount < 8)
        sweep(2_000, plain: 8_000, each: 100)
        #expect(pace.valueCount == DeletionPace.valueCountMax)
        let taken = sweep(500, plain: 400, each: 100)
        #expect(taken.suffix(200).max() == 900, "and when they are short again")
    }

    @Test mutating func oneLongCommitSaysLittleOfTheNext() {
        produce(20, each: 400)
        produce(1, each: 100_000)
        #expect(sweep(100, plain: 400, each: 100).max() ?? 0 <= 1_000)
    }

    @Test mutating func fewerThanMayBeAskedForSayNothingOfMore() {
        produce(1, each: 400)
        for _ in 0..<200 { pace.committed(inNs: 450_000, askedCount: 2, deletedCount: 2) }
        #expect(pace.valueCount == 3)
    }

    @Test mutating func whereNobodyWritesTheSweepTellsByItself() {
        // A commit that neither deletes nor asks has nothing to write then.
        for _ in 0..<200 {
            let asked = pace.nextValueCount()
            if asked > 0 || askedBefore > 0 { pace.committed(inNs: (400 + 3 * UInt64(asked)) * 1_000, askedCount: asked, deletedCount: askedBefore) }
            askedBefore = asked
        }
        #expect(pace.valueCount == DeletionPace.valueCountMax)
    }
}
