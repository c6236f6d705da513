/// A string as Kafka compares names: byte by byte. To Swift's own `==`, "é" is the same as "e" followed by an accent, and two
/// groups or transactional ids that differ by that would be one.
public struct ExactString: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { text }

    public static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    public static func < (left: Self, right: Self) -> Bool { left.text.utf8.lexicographicallyPrecedes(right.text.utf8) }

    public func hash(into hasher: inout Hasher) {
        // Strings that were decoded from bytes are contiguous; others are made so, here only.
        if unsafe text.utf8.withContiguousStorageIfAvailable({ unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }) != nil { return }
        unsafe Array(text.utf8).withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    }
}

extension Dictionary where Key == ExactString {
    public subscript(text: String) -> Value? {
        get { self[ExactString(text)] }
        _modify { yield &self[ExactString(text)] }
    }

    public subscript(text: String, default value: @autoclosure () -> Value) -> Value {
        get { self[ExactString(text), default: value()] }
        _modify { yield &self[ExactString(text), default: value()] }
    }

    @discardableResult
    public mutating func removeValue(forKey text: String) -> Value? { removeValue(forKey: ExactString(text)) }
}

extension Set where Element == ExactString {
    public init(exact texts: some Sequence<String>) { self.init(texts.map { ExactString($0) }) }

    public func contains(_ text: String) -> Bool { contains(ExactString(text)) }

    /// Returns whether it is new.
    @discardableResult
    public mutating func insert(_ text: String) -> Bool { insert(ExactString(text)).inserted }

    /// Returns whether it was there.
    @discardableResult
    public mutating func remove(_ text: String) -> Bool { remove(ExactString(text)) != nil }
}
