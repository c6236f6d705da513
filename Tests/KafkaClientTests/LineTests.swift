import Testing

@testable import lmbroker

struct LineTests {
    /// All lines of `text` when it is read in pieces of `size` bytes.
    private func lines(_ text: String, by size: Int, buffer: Int = 4) -> [String] {
        let lines = LineBuffer(byteCount: buffer)
        var left = Array(text.utf8)[...]
        var found: [String] = []
        while true {
            let piece = left.prefix(size)
            left = left.dropFirst(size)
            let count = lines.fill { room in
                let taken = piece.prefix(room.count)
                room.copyBytes(from: taken)
                left = piece.dropFirst(taken.count) + left
                return taken.count
            }
            while let line = lines.next() { found.append(String(decoding: line, as: UTF8.self)) }
            if count == 0 { break }
        }
        if let line = lines.rest() { found.append(String(decoding: line, as: UTF8.self)) }
        return found
    }

    @Test(arguments: [1, 2, 3, 5, 64])
    func linesAreTheSameHoweverTheyArrive(size: Int) {
        #expect(lines("one\n\ntwo three\nlast", by: size) == ["one", "", "two three", "last"])
        #expect(lines("one\n", by: size) == ["one"])
        #expect(lines("\n\n", by: size) == ["", ""])
        #expect(lines("", by: size) == [])
        #expect(lines("carriage\r\nreturn\0zero\n", by: size) == ["carriage\r", "return\0zero"])
    }

    @Test func aLineLongerThanTheBufferIsWhole() {
        let long = String(repeating: "x", count: 100_000)
        #expect(lines("a\n\(long)\nb", by: 977) == ["a", long, "b"])
    }

    private func cut(_ line: String, key: String? = nil, null: String? = nil) -> [String?] {
        Array(line.utf8).withUnsafeBytes { bytes in
            let (key, value) = LineCutter(keySeparator: key, nullValue: null).cut(bytes)
            return [key, value].map { $0.map { String(decoding: $0, as: UTF8.self) } }
        }
    }

    @Test func theFirstSeparatorEndsTheKey() {
        #expect(cut("a:b:c", key: ":") == ["a", "b:c"])
        #expect(cut(":b", key: ":") == ["", "b"])
        #expect(cut("a:", key: ":") == ["a", ""])
        #expect(cut("abc", key: ":") == [nil, "abc"])
        #expect(cut("a=>b=>c", key: "=>") == ["a", "b=>c"])
        #expect(cut("a==>b", key: "=>") == ["a=", "b"])
        #expect(cut("a=", key: "=>") == [nil, "a="])
        #expect(cut("a:b") == [nil, "a:b"])
    }

    @Test func theNullValueStandsForNull() {
        #expect(cut("a:NULL", key: ":", null: "NULL") == ["a", nil])
        #expect(cut("NULL", null: "NULL") == [nil, nil])
        #expect(cut("NULLS", null: "NULL") == [nil, "NULLS"])
        #expect(cut("", null: "") == [nil, nil])
    }
}
