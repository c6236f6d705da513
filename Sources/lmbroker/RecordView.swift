import KafkaProtocol

/// How records are shown.
enum RecordView {
    case format(RecordFormat)
    case json
    case hex

    func write(_ record: Record, _ reader: borrowing RecordReader, topic: String, partition: Int32, to out: inout [UInt8]) {
        switch self {
        case .format(let format): format.write(record, reader, topic: topic, partition: partition, to: &out)
        case .json: JSONText.write(record, reader, topic: topic, partition: partition, to: &out)
        case .hex: HexDump.write(record, reader, topic: topic, partition: partition, to: &out)
        }
    }
}

/// Bytes as `hexdump -C` shows them.
enum HexDump {
    private static let rowByteCount = 16
    private static let digits = Array("0123456789abcdef".utf8)

    /// A line that says which record it is, then its key, headers and value.
    static func write(_ record: Record, _ reader: borrowing RecordReader, topic: String, partition: Int32, to out: inout [UInt8]) {
        out += "\(topic)-\(partition) offset \(record.offset) at \(Timestamp.spelled(record.timestamp))\n".utf8
        write("key", reader, record.key, to: &out)
        for header in reader.headers(of: record) {
            let name = "header \(header.key)"
            if let value = header.value { value.withUnsafeBytes { write(name, $0, to: &out) } } else { write(name, to: &out) }
        }
        write("value", reader, record.value, to: &out)
    }

    private static func write(_ name: String, _ reader: borrowing RecordReader, _ slice: FrameSlice?, to out: inout [UInt8]) {
        if let slice { reader.bytes(slice).withUnsafeBytes { write(name, $0, to: &out) } } else { write(name, to: &out) }
    }

    private static func write(_ nullName: String, to out: inout [UInt8]) { out += "  \(nullName) null\n".utf8 }

    private static func write(_ name: String, _ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        out += "  \(name) \(bytes.count) \(bytes.count == 1 ? "byte" : "bytes")\n".utf8
        for start in stride(from: 0, to: bytes.count, by: rowByteCount) {
            row(start, UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + rowByteCount, bytes.count)]), to: &out)
        }
    }

    private static func row(_ start: Int, _ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        out += "    ".utf8
        for shift in stride(from: 28, through: 0, by: -4) { out.append(digits[start >> shift & 0xf]) }
        for place in 0..<rowByteCount {
            out += (place % (rowByteCount / 2) == 0 ? "  " : " ").utf8
            if place < bytes.count { hex(bytes[place], to: &out) } else { out += "  ".utf8 }
        }
        out += "  |".utf8
        for byte in bytes { out.append((0x20..<0x7f).contains(byte) ? byte : UInt8(ascii: ".")) }
        out += "|\n".utf8
    }

    /// Two digits.
    static func hex(_ byte: UInt8, to out: inout [UInt8]) {
        out.append(digits[Int(byte >> 4)])
        out.append(digits[Int(byte & 0xf)])
    }
}
