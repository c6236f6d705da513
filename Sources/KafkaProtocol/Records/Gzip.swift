internal import CZlib

/// Codec 1: gzip members (RFC 1952), as Java's GZIPOutputStream writes and GZIPInputStream reads them.
enum Gzip {
    /// zlib's largest window, and 16 for gzip's wrapper instead of zlib's own.
    private static let windowBits: Int32 = 15 + 16

    static func compress(_ bytes: UnsafeRawBufferPointer, level: Int?) throws(CompressionError) -> [UInt8] {
        guard let length = UInt32(exactly: bytes.count), let level = Int32(exactly: level ?? Int(Z_DEFAULT_COMPRESSION)) else {
            throw .library(.gzip)
        }
        var stream = unsafe z_stream()
        let streamSize = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe deflateInit2_(&stream, level, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, streamSize) == Z_OK else {
            throw .library(.gzip)
        }
        defer { unsafe deflateEnd(&stream) }
        var output = GrowingBytes(capacity: unsafe Int(deflateBound(&stream, uLong(length))))
        let room = unsafe output.room
        unsafe stream.next_in = unsafe input(bytes)
        unsafe stream.avail_in = length
        unsafe stream.next_out = unsafe room.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.avail_out = UInt32(clamping: room.count)
        guard unsafe deflate(&stream, Z_FINISH) == Z_STREAM_END else { throw .library(.gzip) }
        output.count = unsafe Int(stream.total_out)
        return output.array
    }

    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard let length = UInt32(exactly: bytes.count), length > 0 else { throw .corrupt(.gzip) }
        var stream = unsafe z_stream()
        guard unsafe inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .library(.gzip)
        }
        defer { unsafe inflateEnd(&stream) }
        var output = BoundedOutput(limit: limit, expecting: CompressionCodec.expectedByteCount(from: bytes.count))
        unsafe stream.next_in = unsafe input(bytes)
        unsafe stream.avail_in = length
        while true {
            let room = unsafe output.room()
            let roomLength = UInt32(clamping: room.count)
            unsafe stream.next_out = unsafe room.baseAddress?.assumingMemoryBound(to: UInt8.self)
            unsafe stream.avail_out = roomLength
            let status = unsafe inflate(&stream, Z_NO_FLUSH)
            try unsafe output.wrote(Int(roomLength - stream.avail_out))
            switch status {
            case Z_OK: continue
            case Z_STREAM_END:
                if unsafe stream.avail_in == 0 { return output.array }
                // Another member follows.
                guard unsafe inflateReset(&stream) == Z_OK else { throw .library(.gzip) }
            case Z_MEM_ERROR: throw .library(.gzip)
            default: throw .corrupt(.gzip)  // Among them Z_BUF_ERROR: all is read and the member has no end.
            }
        }
    }

    /// zlib reads only, though it asks for a mutable pointer.
    private static func input(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
        unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.assumingMemoryBound(to: UInt8.self)
    }
}
