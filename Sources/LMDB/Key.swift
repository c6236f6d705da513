/// Something that can stand as a key: it lends its bytes for the length of a call.
public protocol Key {
    func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R
}

/// A key of an integer-keyed database, in the machine's byte order as LMDB wants it.
extension UInt64: Key {
    @inlinable public func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        unsafe withUnsafeBytes(of: self) { unsafe body($0) }
    }
}

extension [UInt8]: Key {
    @inlinable public func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        unsafe withUnsafeBytes { unsafe body($0) }
    }
}

extension String: Key {
    public func withKeyBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var copy = self
        return copy.withUTF8 { unsafe body(UnsafeRawBufferPointer($0)) }
    }
}
