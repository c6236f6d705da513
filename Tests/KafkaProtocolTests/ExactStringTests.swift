import KafkaProtocol
import Testing

/// Names are their bytes.
@Suite struct ExactStringTests {
    private static let composed = "caf\u{e9}", decomposed = "cafe\u{301}"

    @Test func whatOnlyLooksTheSameIsNot() {
        // To Swift they are, which is why there is another type.
        #expect(Self.composed == Self.decomposed)
        #expect(ExactString(Self.composed) != ExactString(Self.decomposed))
        #expect(ExactString("K") != ExactString("\u{212a}"))
        #expect(ExactString(Self.composed) == ExactString(String(decoding: Array(Self.composed.utf8), as: UTF8.self)))
    }

    @Test func tablesAndSetsTellThemApart() {
        var table: [ExactString: Int] = [:]
        table[Self.composed] = 1
        table[Self.decomposed, default: 1] += 1
        #expect(table[Self.composed] == 1)
        #expect(table[Self.decomposed] == 2)
        table.removeValue(forKey: Self.composed)
        #expect(table.count == 1)

        var set = Set(exact: [Self.composed])
        #expect(!set.contains(Self.decomposed))
        let inserted = [set.insert(Self.decomposed), set.insert(Self.decomposed)]
        #expect(inserted == [true, false])
        let removed = [set.remove(Self.composed), set.remove(Self.composed)]
        #expect(removed == [true, false])
        #expect(set.map(\.text.utf8.count) == [6])
    }

    @Test func theOrderIsThatOfTheBytes() {
        #expect(
            ["b", Self.composed, "a", Self.decomposed].map { ExactString($0) }.sorted().map { Array($0.text.utf8) }
                == [Array("a".utf8), Array("b".utf8), Array(Self.decomposed.utf8), Array(Self.composed.utf8)])
    }
}
