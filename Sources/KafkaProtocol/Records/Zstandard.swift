internal import CZstd

/// Codec 4: Zstandard frames (RFC 8878), also those without a content size that the Java client streams.
enum Zstandard {
    static func compress(_ bytes: UnsafeRawBufferPointer, level: Int?) throws(CompressionError) -> [UInt8] {
        guard let level = Int32(exactly: level ?? Int(ZSTD_CLEVEL_DEFAULT)) else { throw .library(.zstd) }
        var output = GrowingBytes(capacity: ZSTD_compressBound(bytes.count))
        let room = unsafe output.room
        let length = unsafe ZSTD_compress(room.baseAddress, room.count, bytes.baseAddress, bytes.count, level)
        if ZSTD_isError(length) != 0 { throw .library(.zstd) }
        output.count = length
        return output.array
    }

    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard bytes.count > 0 else { throw .corrupt(.zstd) }
        guard let context = unsafe ZSTD_createDCtx() else { throw .library(.zstd) }
        defer { unsafe ZSTD_freeDCtx(context) }
        // A frame may ask for a window of gigabytes. The library takes one of 128 MiB at most, which is the highest level's where the
        // content's size is not told; its memory is touched only as far as records come out.
        var output = BoundedOutput(limit: limit, expecting: CompressionCodec.expectedByteCount(from: bytes.count))
        var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        while true {
            let room = unsafe output.room()
            var piece = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
            let before = unsafe input.pos
            let hint = unsafe ZSTD_decompressStream(context, &piece, &input)
            if ZSTD_isError(hint) != 0 { throw .corrupt(.zstd) }
            try output.wrote(unsafe piece.pos)
            // Zero is the end of a frame, behind which another may begin. No progress is a frame without its end.
            let ended = unsafe input.pos == input.size
            if hint == 0, ended { return output.array }
            if unsafe piece.pos == 0 && input.pos == before { throw .corrupt(.zstd) }
        }
    }
}
