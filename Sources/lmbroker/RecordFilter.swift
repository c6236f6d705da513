import ArgumentParser
import KafkaProtocol

/// Which records are wanted: all that it asks for must hold.
struct RecordFilter {
    /// Of the key; a null key matches no pattern.
    var key: BytePattern?
    /// Each of these must be among a record's headers.
    var headers: [HeaderPattern] = []

    func takes(_ record: Record, _ reader: borrowing RecordReader) -> Bool {
        if let key {
            guard let slice = record.key, reader.bytes(slice).withUnsafeBytes({ key.matches($0) }) else { return false }
        }
        if headers.isEmpty { return true }
        let found = reader.headers(of: record)
        return headers.allSatisfy { wanted in found.contains { wanted.matches($0) } }
    }
}

/// `NAME`, any header of that name, or `NAME=PATTERN`, one whose value matches.
struct HeaderPattern: ExpressibleByArgument {
    var name: String
    var value: BytePattern?

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty else { return nil }
        name = String(first)
        if parts.count > 1 { value = BytePattern(argument: String(parts[1])) }
    }

    func matches(_ header: RecordHeader) -> Bool {
        guard header.key.utf8.elementsEqual(name.utf8) else { return false }
        guard let value else { return true }
        return header.value?.withUnsafeBytes { value.matches($0) } ?? false
    }
}

/// A pattern for bytes, as a shell has them for names: `*` stands for any bytes or none, `?` for one byte, and what
/// follows `\` for itself.
struct BytePattern: ExpressibleByArgument {
    private enum Element: Equatable {
        case byte(UInt8), one, any
    }
    private var elements: [Element] = []

    init(argument: String) {
        var bytes = argument.utf8.makeIterator()
        while let byte = bytes.next() {
            switch byte {
            case UInt8(ascii: "*"): elements.append(.any)
            case UInt8(ascii: "?"): elements.append(.one)
            case UInt8(ascii: "\\"): elements.append(.byte(bytes.next() ?? byte))
            default: elements.append(.byte(byte))
            }
        }
    }

    /// Takes at most the product of both lengths in steps, and no memory.
    func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var element = 0
        var position = 0
        // Where to try again with one byte more for the last star.
        var retry: (element: Int, position: Int)?
        while position < bytes.count {
            if element < elements.count, elements[element] == .any {
                element += 1
                retry = (element, position)
            } else if element < elements.count, elements[element] == .one || elements[element] == .byte(bytes[position]) {
                element += 1
                position += 1
            } else if let last = retry {
                element = last.element
                position = last.position + 1
                retry?.position = position
            } else {
                return false
            }
        }
        return elements[element...].allSatisfy { $0 == .any }
    }
}
