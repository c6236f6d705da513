import KafkaProtocol
import Testing

@testable import lmbroker

struct RecordFilterTests {
    @Test(
        arguments: [
            ("", ""), ("a", "a"), ("*", ""), ("*", "anything"), ("a*", "a"), ("a*c", "abc"), ("a*c", "abcc"), ("*b*", "abc"), ("a?c", "abc"),
            ("a*b*c", "a-b-b-c"), ("**", "x"), (#"\*"#, "*"), (#"a\?"#, "a?"), (#"\\"#, #"\"#), ("*.?", "a.b.c"), (#"\"#, #"\"#),
        ])
    func whatMatches(pattern: String, text: String) {
        #expect(matches(pattern, text))
    }

    @Test(
        arguments: [
            ("", "a"), ("a", ""), ("a", "ab"), ("a*", "ba"), ("a*c", "ab"), ("?", ""), ("?", "ab"), ("a?c", "ac"), (#"\*"#, "a"), ("a*b*c", "a-c-b"),
            ("A", "a"),
        ])
    func whatDoesNot(pattern: String, text: String) {
        #expect(!matches(pattern, text))
    }

    @Test func aStarStandsForAnyBytes() {
        let isMatch = [UInt8](arrayLiteral: 1, 0, 0xff, 2).withUnsafeBytes { BytePattern(argument: "\u{1}*\u{2}").matches($0) }
        #expect(isMatch)
    }

    @Test func manyStarsDoNotTakeForEver() {
        #expect(!matches(String(repeating: "a*", count: 50) + "b", String(repeating: "a", count: 20_000)))
    }

    @Test func allThatIsAskedForMustHold() throws {
        let headers = [
            RecordHeader(key: "source", value: Array("web".utf8)), RecordHeader(key: "source", value: Array("app".utf8)),
            RecordHeader(key: "null", value: nil),
        ]
        for (key, wanted, isTaken) in [
            ("k*", [], true), ("x", [], false), (nil, ["source"], true), (nil, ["source=app"], true), (nil, ["source=a*", "null"], true),
            (nil, ["null=*"], false), (nil, ["Source"], false), ("k1", ["source=w", "null"], false), (nil, ["source="], false),
        ] as [(String?, [String], Bool)] {
            let filter = RecordFilter(key: key.map(BytePattern.init(argument:)), headers: wanted.compactMap(HeaderPattern.init(argument:)))
            let found = try takes(filter, key: Array("k1".utf8), headers)
            #expect(found == isTaken, "\(key ?? "any key") \(wanted)")
        }
        let isNullTaken = try takes(RecordFilter(key: BytePattern(argument: "*")), key: nil, [])
        #expect(!isNullTaken)
    }

    @Test func aHeaderNeedsAName() {
        #expect(HeaderPattern(argument: "=value") == nil)
        #expect(HeaderPattern(argument: "") == nil)
        #expect(HeaderPattern(argument: "a=b=c")?.name == "a")
    }

    private func matches(_ pattern: String, _ text: String) -> Bool {
        Array(text.utf8).withUnsafeBytes { BytePattern(argument: pattern).matches($0) }
    }

    private func takes(_ filter: RecordFilter, key: [UInt8]?, _ headers: [RecordHeader]) throws -> Bool {
        var builder = RecordBatchBuilder()
        builder.append(key: key, value: nil, headers: headers, timestamp: 0)
        let bytes = try builder.finish()
        let batch = try DecodedBatch(bytes.span.bytes, limit: 1 << 20)
        var reader = batch.reader
        guard let record = try reader.next() else { return false }
        return filter.takes(record, reader)
    }
}
