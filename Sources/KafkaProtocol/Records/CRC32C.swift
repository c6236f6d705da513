internal import CISAL

/// CRC-32C (Castagnoli, RFC 3720 section B.4), the checksum of record batches, by ISA-L's vector code.
///
/// Fed in one piece or in several: the value depends only on the bytes.
public struct CRC32C: Sendable, Equatable {
    private var register: UInt32 = 0xFFFF_FFFF

    /// The checksum of no bytes yet.
    public init() {}

    /// The checksum of all bytes so far.
    public var value: UInt32 { ~register }

    /// Goes on with `bytes`.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        var position = 0
        // ISA-L counts in C int, and what is longer goes in pieces. It reads only, though it asks for a mutable pointer.
        while position < bytes.count {
            let length = min(bytes.count - position, Self.longestPiece)
            let piece = unsafe UnsafeMutableRawPointer(mutating: base + position).assumingMemoryBound(to: UInt8.self)
            register = unsafe crc32_iscsi(piece, Int32(length), register)
            position += length
        }
    }

    /// Goes on with `bytes`.
    public mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe update($0) }
    }

    /// The checksum of `bytes`.
    public static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var crc = CRC32C()
        unsafe crc.update(bytes)
        return crc.value
    }

    private static let longestPiece = 1 << 30
}
