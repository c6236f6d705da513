extension String {
    /// Whether there are nowhere more combining marks in a row than the Stream-Safe Text Format allows (UAX #15, 13), which no language
    /// comes near.
    ///
    /// Swift hashes and compares strings in their normal form, and for that sorts each such row by insertion: a name of 32 KB, which
    /// takes a client no effort, would keep a thread busy for a good part of a second each time that it is looked up.
    var isStreamSafe: Bool {
        if utf8.allSatisfy({ $0 < 0x80 }) { return true }
        var count = 0
        for scalar in unicodeScalars {
            count = scalar.properties.canonicalCombiningClass == .notReordered ? 0 : count + 1
            if count > Self.combiningMarksMax { return false }
        }
        return true
    }

    private static var combiningMarksMax: Int { 30 }
}
