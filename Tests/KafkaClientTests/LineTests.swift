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

    private func cut(_ line: String, key: String? = nil, null: String? = nil) throws -> [String?] {
        try Array(line.utf8).withUnsafeBytes { bytes in
            let (key, value) = try LineCutter(keySeparator: key, nullValue: null).cut(bytes)
            return [key, value].map { $0.map { String(decoding: $0, as: UTF8.self) } }
        }
    }

    @Test func theFirstSeparatorEndsTheKey() throws {
        #expect(try cut("a:b:c", key: ":") == ["a", "b:c"])
        #expect(try cut(":b", key: ":") == ["", "b"])
        #expect(try cut("a:", key: ":") == ["a", ""])
        #expect(try cut("abc", key: ":") == [nil, "abc"])
        #expect(try cut("a=>b=>c", key: "=>") == ["a", "b=>c"])
        #expect(try cut("a==>b", key: "=>") == ["a=", "b"])
        #expect(try cut("a=", key: "=>") == [nil, "a="])
        #expect(try cut("a:b") == [nil, "a:b"])
    }

    @Test func theNullValueStandsForNull() throws {
        #expect(try cut("a:NULL", key: ":", null: "NULL") == ["a", nil])
        #expect(try cut("NULL", null: "NULL") == [nil, nil])
        #expect(try cut("NULLS", null: "NULL") == [nil, "NULLS"])
        #expect(try cut("", null: "") == [nil, nil])
    }

    @Test func separatorAndNullValueHaveEscapes() throws {
        #expect(try cut("a\tb", key: "\\t") == ["a", "b"])
        #expect(try cut("a=b", key: "\\x3d") == ["a", "b"])
        #expect(try cut("a\\b", key: "\\\\") == ["a", "b"])
        #expect(try cut("a:\\N", key: ":", null: "\\\\N") == ["a", nil])
        for escape in ["\\", "\\q", "\\x4", "\\x+4", "\\xzz"] {
            #expect(throws: (any Error).self) { try cut("a", key: escape) }
            #expect(throws: (any Error).self) { try cut("a", null: escape) }
        }
    }
}
