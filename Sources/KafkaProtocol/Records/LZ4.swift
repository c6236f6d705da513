internal import CLZ4

/// Codec 3: LZ4 frames. Format 2 batches carry the frame format's own header checksum; Kafka's wrong one went with format 0.
enum LZ4 {
    static func compress(_ bytes: UnsafeRawBufferPointer, level: Int?) throws(CompressionError) -> [UInt8] {
        var preferences = LZ4F_preferences_t()
        // Java's reader refuses blocks that refer to earlier ones, and Kafka writes blocks of 64 KiB.
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        guard let level = Int32(exactly: level ?? 0) else { throw .library(.lz4) }
        preferences.compressionLevel = level
        var output = GrowingBytes(capacity: unsafe LZ4F_compressFrameBound(bytes.count, &preferences))
        let room = unsafe output.room
        let length = unsafe LZ4F_compressFrame(room.baseAddress, room.count, bytes.baseAddress, bytes.count, &preferences)
        if LZ4F_isError(length) != 0 { throw .library(.lz4) }
        output.count = length
        return output.array
    }

    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard let base = bytes.baseAddress, bytes.count > 0 else { throw .corrupt(.lz4) }
        var context: OpaquePointer?
        guard unsafe LZ4F_isError(LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))) == 0 else { throw .library(.lz4) }
        defer { unsafe LZ4F_freeDecompressionContext(context) }
        var output = BoundedOutput(limit: limit, expecting: CompressionCodec.expectedByteCount(from: bytes.count))
        var position = 0
        while true {
            let room = unsafe output.room()
            var produced = room.count
            var consumed = bytes.count - position
            let hint = unsafe LZ4F_decompress(context, room.baseAddress, &produced, base + position, &consumed, nil)
            if LZ4F_isError(hint) != 0 { throw .corrupt(.lz4) }
            try output.wrote(produced)
            position += consumed
            // Zero is the end of a frame, behind which another may begin. No progress is a frame without its end.
            if hint == 0, position == bytes.count { return output.array }
            if produced == 0, consumed == 0 { throw .corrupt(.lz4) }
        }
    }
}
