/// A written message: its own bytes, and the places where foreign bytes (record batches) belong between them.
public struct Encoded: Sendable {
    public var bytes: [UInt8]
    /// In ascending order of `at`, the index into `bytes` before which `slice` goes.
    public var insertions: [(at: Int, slice: FrameSlice)]

    /// Length on the wire.
    public var byteCount: Int { insertions.reduce(bytes.count) { $0 + $1.slice.length } }
}

/// Copies fields out of a message.
public struct Writer: WireFormat, ~Copyable {
    private var out: [UInt8] = []
    private var insertions: [(at: Int, slice: FrameSlice)] = []
    /// Tagged fields of the structure being written, held back until `tags()` knows their number.
    private var pending = (count: UInt32(0), bytes: [UInt8]())
    public let version: Int16
    public let flexible: Bool

    public init(version: Int16, flexible: Bool, capacity: Int = 256) {
        self.version = version
        self.flexible = flexible
        out.reserveCapacity(capacity)
    }

    public var exhausted: Bool { false }

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        unsafe withUnsafeBytes(of: value.bigEndian) { unsafe out.append(contentsOf: $0) }
    }

    mutating func unsignedVarint(_ value: UInt32) {
        var value = value
        while value >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        out.append(UInt8(value))
    }

    private mutating func shortLength(_ length: Int) {
        if flexible { unsignedVarint(UInt32(length &+ 1)) } else { put(Int16(length)) }
    }

    private mutating func length(_ length: Int) {
        if flexible { unsignedVarint(UInt32(length &+ 1)) } else { put(Int32(length)) }
    }

    public mutating func bool(_ value: inout Bool) { out.append(value ? 1 : 0) }
    public mutating func int8(_ value: inout Int8) { put(value) }
    public mutating func int16(_ value: inout Int16) { put(value) }
    public mutating func uint16(_ value: inout UInt16) { put(value) }
    public mutating func int32(_ value: inout Int32) { put(value) }
    public mutating func int64(_ value: inout Int64) { put(value) }
    public mutating func uuid(_ value: inout Uuid) {
        put(value.high)
        put(value.low)
    }

    @inline(never)
    public mutating func string(_ value: inout String) {
        shortLength(value.utf8.count)
        out.append(contentsOf: value.utf8)
    }

    @inline(never)
    public mutating func string(_ value: inout String?) {
        guard let value else { return shortLength(-1) }
        shortLength(value.utf8.count)
        out.append(contentsOf: value.utf8)
    }

    @inline(never)
    public mutating func slice(_ value: inout FrameSlice?) {
        guard let value else { return length(-1) }
        length(value.length)
        if value.length > 0 { insertions.append((at: out.count, slice: value)) }
    }

    @inline(never)
    public mutating func bytes(_ value: inout [UInt8]) {
        length(value.count)
        out.append(contentsOf: value)
    }

    @inline(never)
    public mutating func bytes(_ value: inout [UInt8]?) {
        guard let value else { return length(-1) }
        length(value.count)
        out.append(contentsOf: value)
    }

    public mutating func count(_ count: Int?) -> Int? {
        length(count ?? -1)
        return count
    }

    public mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M) {
        guard flexible, value != M() else { return }
        let outer = (out, pending)
        out = []
        pending = (0, [])
        value.fields(&self)
        let field = out
        (out, pending) = outer
        swap(&out, &pending.bytes)
        unsignedVarint(tag)
        unsignedVarint(UInt32(field.count))
        out += field
        swap(&out, &pending.bytes)
        pending.count += 1
    }

    @inline(never)
    public mutating func tags() {
        guard flexible else { return }
        unsignedVarint(pending.count)
        out += pending.bytes
        pending = (0, [])
    }

    public consuming func finish() -> Encoded { Encoded(bytes: out, insertions: insertions) }
}
