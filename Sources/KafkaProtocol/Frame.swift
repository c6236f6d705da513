/// The bytes of one request or response as they came off a socket: written once, then only read.
///
/// Slices of a frame (`FrameSlice`) are cheap and keep no reference; whoever holds a slice beyond the
/// request holds the frame too.
@safe public final class Frame: @unchecked Sendable {
    // Unchecked: the bytes are written by the one owner before the frame is shared, and never after.
    @usableFromInline let base: UnsafeMutableRawPointer
    /// Length in bytes.
    public let byteCount: Int

    /// A frame of `byteCount` uninitialised bytes, to be filled through `withUnsafeMutableBytes`.
    public init(byteCount: Int) {
        unsafe base = .allocate(byteCount: max(byteCount, 1), alignment: 16)
        self.byteCount = byteCount
    }

    public convenience init(_ bytes: [UInt8]) {
        self.init(byteCount: bytes.count)
        unsafe bytes.withUnsafeBytes { unsafe base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: $0.count) }
    }

    deinit { unsafe base.deallocate() }

    /// The whole frame, borrowed.
    @inlinable public var span: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: byteCount)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    @inlinable public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: byteCount))
    }

    /// For the one who fills the frame, before anyone else sees it.
    @inlinable public func withUnsafeMutableBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
    }
}

/// A run of bytes within a frame.
public struct FrameSlice: Sendable, Equatable {
    /// Position of the first byte in the frame.
    public var offset: Int
    /// Length in bytes.
    public var length: Int

    @inlinable public init(offset: Int, length: Int) {
        self.offset = offset
        self.length = length
    }
}
