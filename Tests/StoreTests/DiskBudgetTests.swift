import Glibc
import LMDB
import Synchronization
import Testing

@testable import Store

@Suite struct DiskBudgetTests {
    private let directory: TemporaryDirectory
    private let environment: Environment

    init() throws {
        directory = try TemporaryDirectory()
        environment = try Environment(path: directory.path, options: .init(mapByteCount: 1 << 26))
    }

    private func budget(maxBytes: Int? = nil, mapByteCount: Int) -> DiskBudget {
        DiskBudget(directory: directory.path, maxBytes: maxBytes, mapByteCount: mapByteCount, fileByteCount: 0)
    }

    /// A quota shows in no count of free blocks: what LMDB was refused is not asked for again with the next commit.
    @Test func whatFoundNoRoomIsNotTriedAgainAtOnce() throws {
        var budget = budget(mapByteCount: 1 << 40)
        var isAdmitted = budget.admits(1_000, environment)
        #expect(isAdmitted)
        budget.commitFailed(LMDBError(code: EDQUOT), needing: 1_000, environment)
        for _ in 0..<3 {
            budget.beginCommit()
            isAdmitted = budget.admits(1_000, environment)
            #expect(!isAdmitted)
        }
        #expect(budget.sentence.contains("is there a quota?"))
    }

    /// A commit that was too large for the map says nothing of smaller ones.
    @Test func theEndOfTheMapIsNoQuota() throws {
        var budget = budget(mapByteCount: 1 << 23)
        var isAdmitted = budget.admits(9 << 20, environment)
        #expect(!isAdmitted)
        budget.commitFailed(.mapFull, needing: 9 << 20, environment)
        budget.beginCommit()
        isAdmitted = budget.admits(1_000, environment)
        #expect(isAdmitted)
    }

    /// Half of what records leave is for offsets and groups, the other half for what deletes. Once they were refused, more must be free.
    @Test func stateGoesOnWhereRecordsAreRefusedUntilHalfOfTheReserveIsLeft() throws {
        let limit = 1 << 23
        func isAdmitted(leaving left: Int, for purpose: DiskBudget.Purpose, after refusals: [Int] = []) -> Bool {
            var budget = budget(mapByteCount: limit)
            let free = limit - environment.information().fileByteCount
            for refused in refusals {
                let isAdmitted = budget.admits((free - refused) / 2, for: purpose, environment)
                #expect(!isAdmitted)
            }
            return budget.admits((free - left) / 2, for: purpose, environment)
        }
        #expect(isAdmitted(leaving: 1_100 << 10, for: .records) && isAdmitted(leaving: 1_100 << 10, for: .state))
        #expect(!isAdmitted(leaving: 700 << 10, for: .records) && isAdmitted(leaving: 700 << 10, for: .state))
        #expect(!isAdmitted(leaving: 400 << 10, for: .state))
        #expect(!isAdmitted(leaving: 700 << 10, for: .state, after: [400 << 10]))
        #expect(isAdmitted(leaving: 1_100 << 10, for: .state, after: [400 << 10]))
    }

    private final class TestClock: Sendable {
        let ns = Atomic<UInt64>(1_000_000_000_000)
    }

    /// Where there is room for far more than a commit needs, what the system said is good for ten milliseconds.
    @Test func theSystemIsAskedWhenItMatters() throws {
        let clock = TestClock()
        func asksOf(_ budget: inout DiskBudget, for byteCount: Int, after ns: UInt64) -> Bool {
            clock.ns.add(ns, ordering: .relaxed)
            let before = budget.lookedUpNs
            budget.beginCommit()
            _ = budget.admits(byteCount, environment)
            return budget.lookedUpNs != before
        }
        func budget(maxBytes: Int?) -> DiskBudget {
            DiskBudget(directory: directory.path, maxBytes: maxBytes, mapByteCount: 1 << 40, fileByteCount: 0) { clock.ns.load(ordering: .relaxed) }
        }
        var roomy = budget(maxBytes: 1 << 30)
        let asked = [9_000_000, 900_000, 200_000, 9_000_000].map { asksOf(&roomy, for: 1_000, after: $0) }
        #expect(asked == [false, false, true, false])
        #expect(asksOf(&roomy, for: 450 << 20, after: 1), "so much leaves little")
        var tight = budget(maxBytes: 120 << 20)
        #expect(asksOf(&tight, for: 1_000, after: 1))
    }

    @Test func theLeastOfAllLimitsHolds() {
        #expect(budget(mapByteCount: 1 << 23).limit == 1 << 23)
        #expect(budget(maxBytes: 1 << 22, mapByteCount: 1 << 23).limit == 1 << 22)
        #expect(budget(maxBytes: 1 << 24, mapByteCount: 1 << 23).limit == 1 << 23)
    }

    @Test func sizesThatNoNumberHoldsAreTheLargest() {
        #expect(spaceInBytes(3, of: 4_096) == 12_288)
        #expect(spaceInBytes(1 << 60, of: 4_096) == .max)
        #expect(spaceInBytes(1 << 51, of: 4_096) == .max)
    }
}
