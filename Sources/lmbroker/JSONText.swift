import KafkaProtocol

/// Writes JSON (RFC 8259) straight into bytes.
enum JSONText {
    /// A record as one line: keys, values and headers as text where they are UTF-8, else in base64 under a name of
    /// their own (`value_base64`); null is null.
    static func write(_ record: Record, _ reader: borrowing RecordReader, topic: String, partition: Int32, to out: inout [UInt8]) {
        out.append(contentsOf: "{\"topic\":".utf8)
        string(topic, to: &out)
        out.append(contentsOf: ",\"partition\":\(partition),\"offset\":\(record.offset),\"timestamp\":\(record.timestamp),".utf8)
        field("key", reader, record.key, to: &out)
        out.append(UInt8(ascii: ","))
        field("value", reader, record.value, to: &out)
        if record.headerCount > 0 {
            out.append(contentsOf: ",\"headers\":[".utf8)
            for (index, header) in reader.headers(of: record).enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                out.append(contentsOf: "{\"name\":".utf8)
                string(header.key, to: &out)
                out.append(UInt8(ascii: ","))
                if let value = header.value {
                    value.withUnsafeBytes { field("value", $0, to: &out) }
                } else {
                    out.append(contentsOf: "\"value\":null".utf8)
                }
                out.append(UInt8(ascii: "}"))
            }
            out.append(UInt8(ascii: "]"))
        }
        out.append(contentsOf: "}\n".utf8)
    }

    private static func field(_ name: String, _ reader: borrowing RecordReader, _ slice: FrameSlice?, to out: inout [UInt8]) {
        if let slice {
            reader.bytes(slice).withUnsafeBytes { field(name, $0, to: &out) }
        } else {
            out.append(contentsOf: "\"\(name)\":null".utf8)
        }
    }

    static func field(_ name: String, _ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        if let text = String(validating: bytes, as: UTF8.self) {
            out.append(contentsOf: "\"\(name)\":".utf8)
            string(text, to: &out)
        } else {
            out.append(contentsOf: "\"\(name)_base64\":\"".utf8)
            base64(bytes, to: &out)
            out.append(UInt8(ascii: "\""))
        }
    }

    /// The text, or the base64 of what is not UTF-8.
    static func value(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        if let text = String(validating: bytes, as: UTF8.self) { return string(text, to: &out) }
        out.append(UInt8(ascii: "\""))
        base64(bytes, to: &out)
        out.append(UInt8(ascii: "\""))
    }

    static func optional(_ text: String?, to out: inout [UInt8]) {
        if let text { string(text, to: &out) } else { out += "null".utf8 }
    }

    static func string(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x0a: out.append(contentsOf: "\\n".utf8)
            case 0x0d: out.append(contentsOf: "\\r".utf8)
            case 0x09: out.append(contentsOf: "\\t".utf8)
            case 0..<0x20: out.append(contentsOf: "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8)
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func base64(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        var position = 0
        while position < bytes.count {
            let count = min(3, bytes.count - position)
            var group = UInt32(bytes[position]) << 16
            if count > 1 { group |= UInt32(bytes[position + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[position + 2]) }
            for sextet in 0..<4 {
                out.append(sextet <= count ? alphabet[Int(group >> UInt32(18 - 6 * sextet)) & 0x3f] : UInt8(ascii: "="))
            }
            position += 3
        }
    }
}
