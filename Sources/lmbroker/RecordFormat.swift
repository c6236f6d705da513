import KafkaProtocol

/// How a record is written out: text with places for its parts, as kcat's `-f` has them.
struct RecordFormat: Equatable {
    enum Part: Equatable {
        case literal([UInt8])
        case topic, partition, offset, timestamp, keyLength, valueLength, headers
        case key(Spelling), value(Spelling)
    }

    /// How the bytes of a key or value are written.
    enum Spelling: String, CaseIterable {
        case plain, hex, base64
        /// As a string of JSON if it is UTF-8, else its base64 as one; null is null.
        case json
    }

    var parts: [Part]

    /// The value and a newline.
    static let lines = RecordFormat(parts: [.value(.plain), .literal([0x0a])])
    /// The key, a tab, the value and a newline.
    static let keys = RecordFormat(parts: [.key(.plain), .literal([0x09]), .value(.plain), .literal([0x0a])])

    /// Why a text is no format.
    struct Mistake: Error, CustomStringConvertible {
        var description: String
    }

    /// Parses `%t`, `%p`, `%o`, `%k`, `%s`, `%T`, `%h`, `%K`, `%S`, `%%` and `\n`, `\t`, `\r`, `\0`, `\xHH`, `\\`; behind
    /// `%k` and `%s` may be `{hex}`, `{base64}` or `{json}`.
    init(parsing text: String) throws {
        parts = []
        var bytes = Array(text.utf8)[...]
        var literal: [UInt8] = []
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let letter = bytes.popFirst() else {
                    throw Mistake(description: "a format cannot end in a single %; %% stands for it")
                }
                if letter == UInt8(ascii: "%") {
                    literal.append(letter)
                } else {
                    if !literal.isEmpty { parts.append(.literal(literal)) }
                    literal = []
                    parts.append(try Self.part(letter, &bytes))
                }
            case UInt8(ascii: "\\"): literal.append(try Self.escape(&bytes))
            default: literal.append(byte)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
    }

    init(parts: [Part]) { self.parts = parts }

    private static func part(_ letter: UInt8, _ rest: inout ArraySlice<UInt8>) throws -> Part {
        switch letter {
        case UInt8(ascii: "t"): .topic
        case UInt8(ascii: "p"): .partition
        case UInt8(ascii: "o"): .offset
        case UInt8(ascii: "T"): .timestamp
        case UInt8(ascii: "k"): .key(try spelling(&rest))
        case UInt8(ascii: "s"): .value(try spelling(&rest))
        case UInt8(ascii: "K"): .keyLength
        case UInt8(ascii: "S"): .valueLength
        case UInt8(ascii: "h"): .headers
        default: throw Mistake(description: "%\(Character(Unicode.Scalar(letter))) is none of %t %p %o %k %s %T %h %K %S %%")
        }
    }

    private static func spelling(_ rest: inout ArraySlice<UInt8>) throws -> Spelling {
        guard rest.first == UInt8(ascii: "{") else { return .plain }
        guard let end = rest.firstIndex(of: UInt8(ascii: "}")),
            let spelling = Spelling(rawValue: String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self))
        else { throw Mistake(description: "in {} comes hex, base64, json or plain; \\x7b is a brace that means itself") }
        rest = rest[(end + 1)...]
        return spelling
    }

    /// The bytes of a text in which only the escapes mean something else.
    static func unescaped(_ text: String) throws -> [UInt8] {
        var (bytes, plain) = (Array(text.utf8)[...], [UInt8]())
        while let byte = bytes.popFirst() { plain.append(byte == UInt8(ascii: "\\") ? try escape(&bytes) : byte) }
        return plain
    }

    private static func escape(_ bytes: inout ArraySlice<UInt8>) throws -> UInt8 {
        switch bytes.popFirst() {
        case UInt8(ascii: "n"): return 0x0a
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "r"): return 0x0d
        case UInt8(ascii: "0"): return 0
        case UInt8(ascii: "\\"): return UInt8(ascii: "\\")
        case UInt8(ascii: "x"):
            let digits = String(decoding: bytes.prefix(2), as: UTF8.self)
            // A sign is no digit.
            guard digits.utf8.count == 2, digits.first?.isHexDigit == true, let value = UInt8(digits, radix: 16) else {
                throw Mistake(description: "\\x needs two hexadecimal digits")
            }
            bytes = bytes.dropFirst(2)
            return value
        default: throw Mistake(description: "after \\ comes n, t, r, 0, xHH or \\")
        }
    }

    /// Appends the record. A null key or value leaves no bytes; its length is −1.
    func write(_ record: Record, _ reader: borrowing RecordReader, topic: String, partition: Int32, to out: inout [UInt8]) {
        for part in parts {
            switch part {
            case .literal(let bytes): out.append(contentsOf: bytes)
            case .value(let spelling): Self.write(record.value, reader, spelling, to: &out)
            case .key(let spelling): Self.write(record.key, reader, spelling, to: &out)
            case .topic: out.append(contentsOf: topic.utf8)
            case .partition: out.append(contentsOf: String(partition).utf8)
            case .offset: out.append(contentsOf: String(record.offset).utf8)
            case .timestamp: out.append(contentsOf: String(record.timestamp).utf8)
            case .keyLength: out.append(contentsOf: String(record.key?.length ?? -1).utf8)
            case .valueLength: out.append(contentsOf: String(record.value?.length ?? -1).utf8)
            case .headers: Self.write(reader.headers(of: record), to: &out)
            }
        }
    }

    private static func write(_ slice: FrameSlice?, _ reader: borrowing RecordReader, _ spelling: Spelling, to out: inout [UInt8]) {
        guard let slice else {
            if spelling == .json { out += "null".utf8 }
            return
        }
        reader.bytes(slice).withUnsafeBytes { bytes in
            switch spelling {
            case .plain: out.append(contentsOf: bytes)
            case .hex: for byte in bytes { HexDump.hex(byte, to: &out) }
            case .base64: JSONText.base64(bytes, to: &out)
            case .json: JSONText.value(bytes, to: &out)
            }
        }
    }

    /// `name=value,name=value`; a null value as `NULL`, as kcat has it.
    private static func write(_ headers: [RecordHeader], to out: inout [UInt8]) {
        for (index, header) in headers.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            out.append(contentsOf: header.key.utf8)
            out.append(UInt8(ascii: "="))
            out.append(contentsOf: header.value ?? Array("NULL".utf8))
        }
    }
}
