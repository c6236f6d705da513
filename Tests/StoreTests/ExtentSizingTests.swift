import Testing

@testable import Store

/// How long values are made, by how long LMDB takes to find room for them.
@Suite struct ExtentSizingTests {
    private var sizing = ExtentSizing(nowNs: 0)

    private mutating func commit(_ valueCount: Int, eachMicroseconds us: UInt64, atSecond second: Double) {
        for _ in 0..<valueCount { sizing.placed(inNs: us * 1_000) }
        sizing.committed(nowNs: UInt64(second * 1e9))
    }

    @Test mutating func valuesGetShorterWhileRoomIsHardToFind() {
        commit(100, eachMicroseconds: 10, atSecond: 0.5)
        #expect(sizing.pages == 64)
        for (number, pages) in [32, 16, 8, 8].enumerated() {
            commit(10, eachMicroseconds: 1_500, atSecond: 1 + Double(number) / 10)
            #expect(sizing.pages == pages)
        }
        #expect(sizing.byteCountMax == 8 * 4096 - 16)
    }

    @Test mutating func oneLongWaitIsNoSearch() {
        commit(1, eachMicroseconds: 50_000, atSecond: 1)
        commit(20, eachMicroseconds: 10, atSecond: 2)
        commit(1, eachMicroseconds: 50_000, atSecond: 3)
        #expect(sizing.pages == 64)
    }

    @Test mutating func afterTheFreeListWasJoinedItIsSeenAnewWhetherRoomIsHardToFind() {
        for _ in 0..<10 { sizing.placed(inNs: 1_500_000) }
        #expect(sizing.isSearchLong)
        sizing.freeListWasJoined()
        commit(10, eachMicroseconds: 10, atSecond: 1)
        #expect(!sizing.isSearchLong && sizing.pages == 64)
        commit(10, eachMicroseconds: 1_500, atSecond: 2)
        #expect(sizing.pages == 32)
    }

    @Test mutating func longerOnesAreTriedAgainAndLessOftenWhereTheyFailAtOnce() {
        commit(10, eachMicroseconds: 500, atSecond: 1)
        commit(10, eachMicroseconds: 10, atSecond: 10)
        #expect(sizing.pages == 32)
        commit(10, eachMicroseconds: 10, atSecond: 11)
        #expect(sizing.pages == 64)
        commit(10, eachMicroseconds: 500, atSecond: 12)
        commit(10, eachMicroseconds: 10, atSecond: 31)
        #expect(sizing.pages == 32, "twenty seconds now")
        commit(10, eachMicroseconds: 10, atSecond: 32)
        #expect(sizing.pages == 64)
        // It went well for as long, so the next time is like the first.
        commit(10, eachMicroseconds: 500, atSecond: 50)
        commit(10, eachMicroseconds: 10, atSecond: 60)
        #expect(sizing.pages == 64)
    }
}
