/// Bytes that are appended to, in memory that is neither zeroed first nor checked for sharing.
@safe @usableFromInline struct GrowingBytes: ~Copyable {
    @usableFromInline var base: UnsafeMutableRawPointer
    /// How many bytes have been written.
    @usableFromInline var count = 0
    @usableFromInline var capacity: Int

    @usableFromInline init(capacity: Int) {
        self.capacity = max(capacity, 64)
        unsafe base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { unsafe base.deallocate() }

    /// Makes room for `more` bytes behind those written.
    @inlinable @inline(__always) mutating func reserve(_ more: Int) {
        if capacity &- count < more { grow(more) }
    }

    @usableFromInline @inline(never) mutating func grow(_ more: Int) {
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe larger.copyMemory(from: base, byteCount: count)
        unsafe base.deallocate()
        unsafe base = larger
    }

    /// The unwritten part, to be written and then counted.
    var room: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: base + count, count: capacity - count) }
    var written: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: base, count: count) }

    var array: [UInt8] { unsafe Array(written) }
}

/// What comes out of a decompressor: grows with it, never beyond a limit.
struct BoundedOutput: ~Copyable {
    private var bytes: GrowingBytes
    private let limit: Int

    /// - Parameter expected: a guess at the length in bytes, which costs memory up front.
    init(limit: Int, expecting expected: Int) {
        self.limit = limit
        bytes = GrowingBytes(capacity: min(expected, limit) + 1)
    }

    /// Never empty, and never reaching further than one byte past the limit: a decompressor that writes that byte is a bomb.
    mutating func room() -> UnsafeMutableRawBufferPointer {
        if bytes.count == bytes.capacity { bytes.reserve(1) }
        return unsafe UnsafeMutableRawBufferPointer(rebasing: bytes.room.prefix(max(limit + 1 - bytes.count, 1)))
    }

    /// Room for exactly `count` bytes.
    mutating func room(for count: Int) throws(CompressionError) -> UnsafeMutableRawBufferPointer {
        if count > limit - bytes.count { throw .limitExceeded(limit) }
        bytes.reserve(max(count, 1))
        return unsafe UnsafeMutableRawBufferPointer(rebasing: bytes.room.prefix(count))
    }

    /// Counts what was written into the room.
    mutating func wrote(_ count: Int) throws(CompressionError) {
        bytes.count += count
        if bytes.count > limit { throw .limitExceeded(limit) }
    }

    var array: [UInt8] { bytes.array }
}
