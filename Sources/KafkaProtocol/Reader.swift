/// Why a frame cannot be read.
public enum WireError: Error, Equatable {
    /// The frame ends before its message does, its counts and lengths lie, its arrays are beyond `Reader.elementBytesMax`, or a string
    /// is longer than a request's may be, or not stream-safe.
    case truncated
    /// The request is in a version that this code does not speak.
    case unsupportedVersion
}

/// Reads fields from a frame. The first short read poisons it: later reads yield zeros, and `finish()` throws once.
public struct Reader: WireFormat, ~Copyable, ~Escapable {
    @usableFromInline let span: RawSpan
    /// Position of the next byte to read.
    public private(set) var position: Int
    private var poisoned = false
    private var tagsLeft: UInt32?
    /// Bytes of memory that the elements of arrays may still take. The smallest element takes 16 times its length on
    /// the wire, so that a frame of nothing but empty strings would cost gigabytes.
    private var elementBytesLeft = Self.elementBytesMax
    private let stringBytesMax: Int
    public let version: Int16
    public let flexible: Bool

    /// How much memory the array elements of one message may take, in bytes: some 500,000 partitions of metadata.
    public static var elementBytesMax: Int { 64 << 20 }

    /// The longest string of a request, in bytes: what a fixed length can say, and Kafka takes through a compact one.
    public static var requestStringBytesMax: Int { Int(Int16.max) }

    /// - Parameter stringBytesMax: The longest string that is read, in bytes. Where it is given, strings are also not to be a burden to
    ///   whoever compares them: see `isStreamSafe`.
    @_lifetime(copy span)
    public init(_ span: RawSpan, at position: Int = 0, version: Int16, flexible: Bool, stringBytesMax: Int = .max) {
        self.span = span
        self.position = position
        self.stringBytesMax = stringBytesMax
        self.version = version
        self.flexible = flexible
    }

    /// Bytes not read yet.
    public var remaining: Int { span.byteCount - position }

    @_lifetime(self: copy self)
    mutating func take<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else {
            poison()
            return 0
        }
        let value = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: T.self)
        position &+= size
        return T(bigEndian: value)
    }

    @_lifetime(self: copy self)
    mutating func poison() {
        poisoned = true
        position = span.byteCount
    }

    @_lifetime(self: copy self)
    mutating func unsignedVarint() -> UInt32 {
        var result: UInt32 = 0
        var shift: UInt32 = 0
        while shift < 35 {
            let byte = take(UInt8.self)
            result |= UInt32(byte & 0x7f) &<< shift
            if byte < 0x80 { return result }
            shift &+= 7
        }
        poison()
        return 0
    }

    /// −1 for null.
    @_lifetime(self: copy self)
    private mutating func shortLength() -> Int { flexible ? Int(unsignedVarint()) &- 1 : Int(take(Int16.self)) }
    @_lifetime(self: copy self)
    private mutating func length() -> Int { flexible ? Int(unsignedVarint()) &- 1 : Int(take(Int32.self)) }

    @_lifetime(self: copy self)
    private mutating func text(_ byteCount: Int) -> String {
        guard byteCount >= 0, remaining >= byteCount, byteCount <= stringBytesMax else {
            poison()
            return ""
        }
        let text = unsafe span.extracting(position..<(position &+ byteCount)).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        position &+= byteCount
        guard stringBytesMax == .max || text.isStreamSafe else {
            poison()
            return ""
        }
        return text
    }

    @_lifetime(self: copy self)
    private mutating func octets(_ byteCount: Int) -> [UInt8] {
        guard byteCount >= 0, remaining >= byteCount else {
            poison()
            return []
        }
        defer { position &+= byteCount }
        return unsafe span.extracting(position..<(position &+ byteCount)).withUnsafeBytes { unsafe Array($0) }
    }

    @_lifetime(self: copy self)
    public mutating func bool(_ value: inout Bool) { value = take(Int8.self) != 0 }
    @_lifetime(self: copy self)
    public mutating func int8(_ value: inout Int8) { value = take(Int8.self) }
    @_lifetime(self: copy self)
    public mutating func int16(_ value: inout Int16) { value = take(Int16.self) }
    @_lifetime(self: copy self)
    public mutating func uint16(_ value: inout UInt16) { value = take(UInt16.self) }
    @_lifetime(self: copy self)
    public mutating func int32(_ value: inout Int32) { value = take(Int32.self) }
    @_lifetime(self: copy self)
    public mutating func int64(_ value: inout Int64) { value = take(Int64.self) }
    @_lifetime(self: copy self)
    public mutating func uuid(_ value: inout Uuid) { value = Uuid(high: take(UInt64.self), low: take(UInt64.self)) }

    @inline(never) @_lifetime(self: copy self)
    public mutating func string(_ value: inout String) { value = text(shortLength()) }

    @inline(never) @_lifetime(self: copy self)
    public mutating func string(_ value: inout String?) {
        let byteCount = shortLength()
        value = byteCount < 0 ? nil : text(byteCount)
    }

    @inline(never) @_lifetime(self: copy self)
    public mutating func slice(_ value: inout FrameSlice?) {
        let byteCount = length()
        guard byteCount >= 0 else { return value = nil }
        guard remaining >= byteCount else {
            poison()
            return value = nil
        }
        value = FrameSlice(offset: position, length: byteCount)
        position &+= byteCount
    }

    @inline(never) @_lifetime(self: copy self)
    public mutating func bytes(_ value: inout [UInt8]) { value = octets(length()) }

    @inline(never) @_lifetime(self: copy self)
    public mutating func bytes(_ value: inout [UInt8]?) {
        let byteCount = length()
        value = byteCount < 0 ? nil : octets(byteCount)
    }

    @_lifetime(self: copy self)
    public mutating func error(_ value: inout ErrorCode) { value = ErrorCode(rawValue: take(Int16.self)) }

    /// A null array where the version knows none is taken for an empty one.
    @_lifetime(self: copy self)
    public mutating func array<E: Fields>(_ value: inout [E]) { value = elements(length()) }

    @_lifetime(self: copy self)
    public mutating func array<E: Fields>(_ value: inout [E]?) {
        let count = length()
        value = count < 0 ? nil : elements(count)
    }

    @_lifetime(self: copy self)
    private mutating func elements<E: Fields>(_ count: Int) -> [E] {
        guard count > 0 else { return [] }
        // No Kafka element is smaller than a byte, so a count beyond what is left is a lie.
        guard count <= remaining, count &* MemoryLayout<E>.stride <= elementBytesLeft else {
            poison()
            return []
        }
        elementBytesLeft -= count &* MemoryLayout<E>.stride
        var elements: [E] = []
        // A lie that is believable costs no memory up front: growth follows the bytes that are really there.
        elements.reserveCapacity(min(count, 1024, remaining / MemoryLayout<E>.stride + 8))
        for _ in 0..<count {
            var element = E()
            element.fields(&self)
            if poisoned { break }
            elements.append(element)
        }
        return elements
    }

    @_lifetime(self: copy self)
    public mutating func optional<M: Fields>(_ value: inout M?) {
        guard take(Int8.self) >= 0, !poisoned else { return value = nil }
        var present = M()
        present.fields(&self)
        value = present
    }

    @_lifetime(self: copy self)
    public mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M, default: M) {
        guard flexible, openTags() else { return }
        while let left = tagsLeft, left > 0, !poisoned {
            let start = position
            let found = unsignedVarint()
            if found > tag {
                position = start
                return
            }
            let size = Int(unsignedVarint())
            guard remaining >= size else { return poison() }
            tagsLeft = left &- 1
            guard found == tag else {
                position &+= size
                continue
            }
            let end = position &+ size
            // The value may be a structure with tags of its own.
            tagsLeft = nil
            value.fields(&self)
            tagsLeft = left &- 1
            if !poisoned, position != end { poison() }
            return
        }
    }

    @_lifetime(self: copy self)
    private mutating func openTags() -> Bool {
        if tagsLeft == nil { tagsLeft = unsignedVarint() }
        return !poisoned
    }

    @inline(never) @_lifetime(self: copy self)
    public mutating func tags() {
        guard flexible, openTags() else { return }
        while let left = tagsLeft, left > 0, !poisoned {
            _ = unsignedVarint()
            let size = Int(unsignedVarint())
            if remaining >= size { position &+= size } else { poison() }
            tagsLeft = left &- 1
        }
        tagsLeft = nil
    }

    /// Throws if any read fell short.
    public consuming func finish() throws(WireError) {
        if poisoned { throw .truncated }
    }
}
