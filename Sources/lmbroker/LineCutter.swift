import Glibc

/// Tells the key and the value in a line.
struct LineCutter {
    private let separator: [UInt8]
    private let nullValue: [UInt8]?

    /// - Throws: where an escape in one of them is none.
    init(keySeparator: String?, nullValue: String?) throws {
        separator = try RecordFormat.unescaped(keySeparator ?? "")
        self.nullValue = try nullValue.map { try RecordFormat.unescaped($0) }
    }

    /// How much longer than its record a line may be.
    var surplusByteCountMax: Int { separator.count + (nullValue?.count ?? 0) }

    /// The parts point into the line. Nil stands for null.
    func cut(_ line: UnsafeRawBufferPointer) -> (key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?) {
        guard !separator.isEmpty, let position = position(in: line) else { return (nil, value(line)) }
        let key = UnsafeRawBufferPointer(rebasing: line[..<position])
        return (key, value(UnsafeRawBufferPointer(rebasing: line[(position + separator.count)...])))
    }

    private func position(in line: UnsafeRawBufferPointer) -> Int? {
        guard let base = line.baseAddress, let first = separator.first else { return nil }
        var searched = 0
        while let found = memchr(base + searched, Int32(first), line.count - searched) {
            let position = base.distance(to: UnsafeRawPointer(found))
            guard position + separator.count <= line.count else { return nil }
            if line[position..<(position + separator.count)].elementsEqual(separator) { return position }
            searched = position + 1
        }
        return nil
    }

    private func value(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let nullValue, bytes.count == nullValue.count, bytes.elementsEqual(nullValue) else { return bytes }
        return nil
    }
}
