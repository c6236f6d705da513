import KafkaProtocol
import Testing

@testable import lmbroker

struct FormatTests {
    private func write(_ format: RecordFormat, key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = []) throws -> String {
        try write(.format(format), key: key, value: value, headers: headers)
    }

    private func write(
        _ view: RecordView, key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = []
    ) throws -> String {
        var builder = RecordBatchBuilder()
        builder.append(key: key, value: value, headers: headers, timestamp: 1_700_000_000_123)
        let bytes = try builder.finish()
        return String(decoding: try written(DecodedBatch(bytes.span.bytes, limit: 1 << 20), view), as: UTF8.self)
    }

    private func written(_ batch: DecodedBatch, _ view: RecordView) throws -> [UInt8] {
        var out: [UInt8] = []
        var reader = batch.reader
        guard let record = try reader.next() else { return out }
        view.write(record, reader, topic: "topic", partition: 3, to: &out)
        return out
    }

    @Test func everyPartOfARecordCanBeWritten() throws {
        let format = try RecordFormat(parsing: #"%t %p %o %T [%k]=%s %K/%S %h%%\t\x41\\\n"#)
        let headers = [RecordHeader(key: "a", value: Array("1".utf8)), RecordHeader(key: "b", value: nil)]
        let text = try write(format, key: Array("key".utf8), value: Array("value".utf8), headers: headers)
        #expect(text == "topic 3 0 1700000000123 [key]=value 3/5 a=1,b=NULL%\tA\\\n")
    }

    @Test func nullIsToldFromEmptyByItsLength() throws {
        let format = try RecordFormat(parsing: "%k|%K|%s|%S")
        let null = try write(format, key: nil, value: nil)
        let empty = try write(format, key: [], value: [])
        #expect(null == "|-1||-1")
        #expect(empty == "|0||0")
    }

    @Test func keysAndValuesCanBeSpelledInOtherWays() throws {
        let format = try RecordFormat(parsing: "%k{hex} %s{base64} %s{json} %k{json} %s{plain}")
        let spelled = try write(format, key: [0xff, 0x0a], value: Array("a\"b".utf8))
        let null = try write(format, key: nil, value: nil)
        #expect(spelled == #"ff0a YSJi "a\"b" "/wo=" a"b"#)
        #expect(null == "  null null ")
    }

    @Test func hexShowsAllOfARecord() throws {
        let headers = [RecordHeader(key: "a", value: Array("1".utf8)), RecordHeader(key: "b", value: nil)]
        let dump = try write(.hex, key: nil, value: Array("seventeen bytes\u{1}!".utf8), headers: headers)
        #expect(
            dump == """
                topic-3 offset 0 at 2023-11-14T22:13:20.123Z
                  key null
                  header a 1 byte
                    00000000  31                                                |1|
                  header b null
                  value 17 bytes
                    00000000  73 65 76 65 6e 74 65 65  6e 20 62 79 74 65 73 01  |seventeen bytes.|
                    00000010  21                                                |!|

                """)
    }

    @Test(arguments: ["%k{", "%k{}", "%s{octal}", "%", "%x", #"\q"#, #"\"#, #"\x4"#, #"\xzz"#])
    func whatIsNoFormatIsRefused(text: String) {
        var isRefused = false
        do { _ = try RecordFormat(parsing: text) } catch { isRefused = true }
        #expect(isRefused == true)
    }

    @Test func jsonKeepsEveryByte() throws {
        let escaped = try write(.json, key: nil, value: Array("\u{1}\"\n\u{e9}".utf8))
        #expect(
            escaped == #"{"topic":"topic","partition":3,"offset":0,"timestamp":1700000000123,"key":null,"value":"\u0001\"\n"#
                + "\u{e9}\"}\n")
        let binary = try write(.json, key: [0xff, 0xfe], value: [0xff], headers: [RecordHeader(key: "h", value: [0xff, 1, 2])])
        #expect(
            binary == #"{"topic":"topic","partition":3,"offset":0,"timestamp":1700000000123,"key_base64":"//4=","value_base64":"/w==","#
                + #""headers":[{"name":"h","value_base64":"/wEC"}]}"# + "\n")
    }
}
