/// Reads the parts of records. The first read that falls short fails the cursor and moves it to its end, so that
/// later ones read nothing; whoever reads looks at `failed` once per record.
@safe @usableFromInline struct RecordCursor {
    @usableFromInline let base: UnsafeRawPointer
    /// The next byte to read, counted from `base`.
    @usableFromInline var position: Int
    /// The byte to stop before.
    @usableFromInline var end: Int
    @usableFromInline var failed = false

    @inlinable @inline(__always) init(_ base: UnsafeRawPointer, from position: Int, to end: Int) {
        unsafe self.base = unsafe base
        self.position = position
        self.end = end
    }

    @inlinable @inline(__always) func byte(at position: Int) -> UInt64 {
        unsafe UInt64(base.load(fromByteOffset: position, as: UInt8.self))
    }

    @inlinable @inline(__always) mutating func fail() {
        failed = true
        position = end
    }

    /// A zigzag number of at most 64 bits.
    @inlinable @inline(__always) mutating func varlong() -> Int64 {
        if position < end {
            let first = byte(at: position)
            if first < 0x80 {
                position &+= 1
                return Self.zigzag(first)
            }
            if position &+ 1 < end {
                let second = byte(at: position &+ 1)
                if second < 0x80 {
                    position &+= 2
                    return Self.zigzag(first & 0x7f | second &<< 7)
                }
            }
        }
        return Self.zigzag(long(limit: 10))
    }

    /// A zigzag number of at most 32 bits. Kafka drops what the fifth byte holds beyond them.
    @inlinable @inline(__always) mutating func varint() -> Int {
        if position < end {
            let first = byte(at: position)
            if first < 0x80 {
                position &+= 1
                return Int(Self.zigzag(first))
            }
            if position &+ 1 < end {
                let second = byte(at: position &+ 1)
                if second < 0x80 {
                    position &+= 2
                    return Int(Self.zigzag(first & 0x7f | second &<< 7))
                }
            }
        }
        return Int(Self.zigzag(UInt64(UInt32(truncatingIfNeeded: long(limit: 5)))))
    }

    @inlinable @inline(__always) static func zigzag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value &>> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// A number of one or two bytes, not yet zigzag, from the two bytes at `position` that must be there. Leaves a bit in
    /// `long` if it is a longer one.
    @inlinable @inline(__always) func short(_ position: inout Int, _ long: inout UInt64) -> UInt64 {
        let two = unsafe UInt64(UInt16(littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt16.self)))
        if two & 0x80 == 0 {
            position &+= 1
            return two & 0x7f
        }
        position &+= 2
        long |= two & 0x8000
        return two & 0x7f | two &>> 1 & 0x3f80
    }

    /// The rare number of three bytes or more. A copy goes there and back, so that the cursor itself can live in registers.
    @inlinable @inline(__always) mutating func long(limit: Int) -> UInt64 {
        let (value, next) = unsafe Self.long(base, from: position, to: end, limit: limit)
        if next < 0 { fail() } else { position = next }
        return value
    }

    /// The number at `position` and the position behind it, which is −1 if the number has no end.
    @usableFromInline @inline(never)
    static func long(_ base: UnsafeRawPointer, from position: Int, to end: Int, limit: Int) -> (value: UInt64, next: Int) {
        var result: UInt64 = 0
        var position = position
        for index in 0..<limit {
            guard position < end else { break }
            let next = unsafe UInt64(base.load(fromByteOffset: position, as: UInt8.self))
            position &+= 1
            result |= (next & 0x7f) &<< UInt64(7 &* index)
            if next < 0x80 { return (result, position) }
        }
        return (0, -1)
    }

    /// Passes a length and as many bytes, and returns the length: −1 for null.
    @inlinable @inline(__always) mutating func skipBytes() -> Int {
        let length = varint()
        if length >= 0 {
            if length <= end &- position { position &+= length } else { fail() }
        } else if length < -1 {
            fail()
        }
        return length
    }

    /// Passes `count` headers: a key that is never null and a value that may be.
    @inlinable @inline(__always) mutating func skipHeaders(_ count: Int) {
        guard count != 0 else { return }
        var copy = self
        copy.skipSomeHeaders(count)
        self = copy
    }

    @usableFromInline @inline(never) mutating func skipSomeHeaders(_ count: Int) {
        // A header takes two bytes at the least, so a count beyond that is a lie.
        guard count >= 0, count &* 2 <= end &- position else { return fail() }
        for _ in 0..<count {
            if skipBytes() < 0 { return fail() }
            _ = skipBytes()
            if failed { return }
        }
    }
}
