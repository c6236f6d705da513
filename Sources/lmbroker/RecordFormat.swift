import KafkaProtocol

/// How a record is written out: text with places for its parts, as kcat's `-f` has them.
struct RecordFormat: Equatable {
    enum Part: Equatable {
        case literal([UInt8])
        case topic, partition, offset, timestamp, key, value, keyLength, valueLength, headers
    }

    var parts: [Part]

    /// The value and a newline.
    static let lines = RecordFormat(parts: [.value, .literal([0x0a])])

    /// Why a text is no format.
    struct Mistake: Error, CustomStringConvertible {
        var description: String
    }

    /// Parses `%t`, `%p`, `%o`, `%k`, `%s`, `%T`, `%h`, `%K`, `%S`, `%%` and `\n`, `\t`, `\r`, `\0`, `\xHH`, `\\`.
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
                    parts.append(try Self.part(letter))
                }
            case UInt8(ascii: "\\"): literal.append(try Self.escape(&bytes))
            default: literal.append(byte)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
    }

    init(parts: [Part]) { self.parts = parts }

    private static func part(_ letter: UInt8) throws -> Part {
        switch letter {
        case UInt8(ascii: "t"): .topic
        case UInt8(ascii: "p"): .partition
        case UInt8(ascii: "o"): .offset
        case UInt8(ascii: "T"): .timestamp
        case UInt8(ascii: "k"): .key
        case UInt8(ascii: "s"): .value
        case UInt8(ascii: "K"): .keyLength
        case UInt8(ascii: "S"): .valueLength
        case UInt8(ascii: "h"): .headers
        default: throw Mistake(description: "%\(Character(Unicode.Scalar(letter))) is none of %t %p %o %k %s %T %h %K %S %%")
        }
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
            guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else {
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
            case .value: if let value = record.value { reader.bytes(value).withUnsafeBytes { out.append(contentsOf: $0) } }
            case .key: if let key = record.key { reader.bytes(key).withUnsafeBytes { out.append(contentsOf: $0) } }
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
