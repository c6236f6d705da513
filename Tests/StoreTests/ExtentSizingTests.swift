import KafkaProtocol
import Testing

@testable import Store

/// How long values are made, by what becomes of the file.
@Suite struct ExtentSizingTests {
    private static let second: UInt64 = 1_000_000_000
    private var sizing = ExtentSizing(filePages: 100_000, nowNs: 0)

    private var pages: Int { (sizing.byteCountMax + 16) / 4096 }

    /// A commit after which the file has so many pages more than before the test.
    private mutating func commit(grown: Int, at seconds: Double, free: Int) -> Int {
        var counts = 0
        sizing.committed(filePages: 100_000 + grown, nowNs: UInt64(seconds * Double(Self.second))) {
            counts += 1
            return free
        }
        return counts
    }

    @Test mutating func valuesGetShorterWhereTheFileGrowsThoughThereIsRoom() {
        #expect(pages == 64)
        _ = commit(grown: 10, at: 1, free: 50_000)
        #expect(pages == 32)
        _ = commit(grown: 20, at: 2, free: 50_000)
        #expect(pages == 16)
        #expect(commit(grown: 30, at: 3, free: 50_000) == 0, "they get no shorter, so nobody asks")
        #expect(pages == 16)
    }

    @Test mutating func aFileThatIsFullMayGrow() {
        for number in 1...10 { _ = commit(grown: number, at: Double(number), free: 1_000) }
        #expect(pages == 64)
    }

    /// A walk of the free list for each commit would cost what it is to save.
    @Test mutating func freePagesAreCountedTenTimesASecondAtMost() {
        let counts = (1...100).map { commit(grown: $0, at: 1 + Double($0) / 100, free: 0) }.reduce(0, +)
        #expect((9...11).contains(counts))
        #expect(commit(grown: 100, at: 3, free: 0) == 0, "the file has not grown")
    }

    @Test mutating func longerOnesAreTriedAgainAndLessOftenWhereTheyFail() {
        _ = commit(grown: 10, at: 1, free: 50_000)
        _ = commit(grown: 10, at: 20, free: 50_000)
        #expect(pages == 32)
        _ = commit(grown: 10, at: 21, free: 50_000)
        #expect(pages == 64, "twenty seconds without growth")
        _ = commit(grown: 20, at: 22, free: 50_000)
        _ = commit(grown: 20, at: 61, free: 50_000)
        #expect(pages == 32, "and now it takes forty")
        _ = commit(grown: 20, at: 62, free: 50_000)
        #expect(pages == 64)
        // All went well for as long.
        _ = commit(grown: 20, at: 103, free: 50_000)
        _ = commit(grown: 30, at: 104, free: 50_000)
        _ = commit(grown: 30, at: 124, free: 50_000)
        #expect(pages == 64)
    }
}
