/// A written message: its own bytes, and the places where foreign bytes (record batches) belong between them.
public struct Encoded: Sendable {
    public var bytes: [UInt8]
    /// In ascending order of `at`, the index into `bytes` before which `slice` goes.
    public var insertions: [(at: Int, slice: FrameSlice)]

    /// Length on the wire.
    public var byteCount: Int { insertions.reduce(bytes.count) { $0 + $1.slice.length } }

    /// The whole message in one piece, its slices taken from `source`.
    public func joined(with source: RawSpan) -> [UInt8] {
        var whole: [UInt8] = []
        whole.reserveCapacity(byteCount)
        var copied = 0
        for (at, slice) in insertions {
            whole += bytes[copied..<at]
            copied = at
            unsafe source.extracting(slice.offset..<(slice.offset + slice.length)).withUnsafeBytes { unsafe whole.append(contentsOf: $0) }
        }
        return whole + bytes[copied...]
    }
}

/// Copies fields out of a message.
public struct Writer: WireFormat, ~Copyable {
    private var out: ByteSink
    private var insertions: [(at: Int, slice: FrameSlice)] = []
    /// Tagged fields of the structure being written, held back until `tags()` knows their number.
    private var pending = (count: UInt32(0), bytes: [UInt8]())
    public let version: Int16
    public let flexible: Bool

    /// `capacity` is a guess at the message's length in bytes; a good one saves copying.
    public init(version: Int16, flexible: Bool, capacity: Int = 256) {
        self.version = version
        self.flexible = flexible
        out = ByteSink(capacity: capacity)
    }

    mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) { out.put(value) }

    mutating func unsignedVarint(_ value: UInt32) {
        var value = value
        while value >= 0x80 {
            out.put(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        out.put(UInt8(truncatingIfNeeded: value))
    }

    private mutating func shortLength(_ length: Int) {
        if flexible { unsignedVarint(UInt32(length &+ 1)) } else { put(Int16(length)) }
    }

    private mutating func length(_ length: Int) {
        if flexible { unsignedVarint(UInt32(length &+ 1)) } else { put(Int32(length)) }
    }

    public mutating func bool(_ value: inout Bool) { put(UInt8(value ? 1 : 0)) }
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
    public mutating func string(_ value: inout String) { text(value) }

    @inline(never)
    public mutating func string(_ value: inout String?) {
        if let value { text(value) } else { shortLength(-1) }
    }

    private mutating func text(_ value: String) {
        let length = value.utf8.count
        // A fixed length has 16 bits: what is longer leaves shortened.
        guard flexible || length <= Int(Int16.max) else {
            let octets = Array(value.utf8)
            var end = Int(Int16.max)
            while end > 0, octets[end] & 0xc0 == 0x80 { end -= 1 }
            shortLength(end)
            return out.append(octets[..<end])
        }
        shortLength(length)
        out.append(value)
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
        out.append(value[...])
    }

    @inline(never)
    public mutating func bytes(_ value: inout [UInt8]?) {
        guard let value else { return length(-1) }
        length(value.count)
        out.append(value[...])
    }

    public mutating func error(_ value: inout ErrorCode) { put(value.rawValue) }

    public mutating func array<E: Fields>(_ value: inout [E]) {
        length(value.count)
        for index in value.indices { value[index].fields(&self) }
    }

    public mutating func array<E: Fields>(_ value: inout [E]?) {
        guard value != nil else { return length(-1) }
        array(&value!)
    }

    public mutating func optional<M: Fields>(_ value: inout M?) {
        put(Int8(value == nil ? -1 : 1))
        value?.fields(&self)
    }

    public mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M, default: M) {
        guard flexible, value != `default` else { return }
        // Written where it does not belong, then moved behind its tag and length, which is known only now.
        let start = out.count
        let outer = pending
        pending = (0, [])
        value.fields(&self)
        let field = out.removeTail(from: start)
        pending = outer
        unsignedVarint(tag)
        unsignedVarint(UInt32(field.count))
        pending.bytes += out.removeTail(from: start)
        pending.bytes += field
        pending.count += 1
    }

    @inline(never)
    public mutating func tags() {
        guard flexible else { return }
        guard pending.count > 0 else { return put(UInt8(0)) }
        unsignedVarint(pending.count)
        out.append(pending.bytes[...])
        pending = (0, [])
    }

    /// For a message whose first four bytes were left for its size: the bytes that follow them, insertions included. Of a message that
    /// is too long for a frame, the size says nothing.
    consuming func finishSized() -> Encoded {
        var encoded = Encoded(bytes: out.bytes(from: 0), insertions: insertions)
        let size = UInt32(truncatingIfNeeded: encoded.byteCount - 4)
        for index in 0..<4 { encoded.bytes[index] = UInt8(truncatingIfNeeded: size >> (24 - 8 * UInt32(index))) }
        return encoded
    }

    public consuming func finish() -> Encoded { Encoded(bytes: out.bytes(from: 0), insertions: insertions) }
}
