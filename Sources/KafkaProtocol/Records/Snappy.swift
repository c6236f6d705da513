internal import CSnappy

/// Codec 2: snappy blocks in the framing of the Java library (xerial), which Kafka inherited.
///
///     byte 0  0x82 "SNAPPY" 0x00
///          8  version                    Int32  1
///         12  compatible from version    Int32  1
///         16  blocks, each: byte count   Int32, then one raw snappy block of 32 KiB of data at most
///
/// librdkafka and others also send one raw block without any framing, which is read too.
enum Snappy {
    private static let magic: [UInt8] = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]
    private static let frameHeader: [UInt8] = magic + [0, 0, 0, 1, 0, 0, 0, 1]
    private static let blockByteCount = 32 << 10
    /// A copy of three bytes makes 64 at the most: what claims to unpack to more is a lie, seen before memory is taken for it.
    private static let greatestRatio = 22

    static func compress(_ bytes: UnsafeRawBufferPointer) throws(CompressionError) -> [UInt8] {
        let blocks = (bytes.count + blockByteCount - 1) / blockByteCount
        var output = GrowingBytes(capacity: frameHeader.count + blocks * (4 + snappy_max_compressed_length(blockByteCount)))
        unsafe output.room.copyBytes(from: frameHeader)
        output.count = frameHeader.count
        var position = 0
        while position < bytes.count {
            let block = unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<min(position + blockByteCount, bytes.count)])
            var length = snappy_max_compressed_length(block.count)
            output.reserve(4 + length)
            let room = unsafe UnsafeMutableRawBufferPointer(rebasing: output.room[4...])
            let status = unsafe snappy_compress(
                block.baseAddress?.assumingMemoryBound(to: CChar.self), block.count,
                room.baseAddress?.assumingMemoryBound(to: CChar.self), &length)
            guard status == SNAPPY_OK else { throw .library(.snappy) }
            unsafe output.room.storeBytes(of: Int32(length).bigEndian, as: Int32.self)
            output.count += 4 + length
            position += block.count
        }
        return output.array
    }

    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard bytes.count > 0 else { throw .corrupt(.snappy) }
        var output = BoundedOutput(limit: limit, expecting: CompressionCodec.expectedByteCount(from: bytes.count))
        guard unsafe isFrameHeader(bytes, at: 0) else {
            unsafe try block(bytes, into: &output)
            return output.array
        }
        var position = frameHeader.count
        while position < bytes.count {
            if unsafe isFrameHeader(bytes, at: position) {
                position += frameHeader.count
                continue
            }
            guard bytes.count - position >= 4 else { throw .corrupt(.snappy) }
            let length = unsafe Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: Int32.self)))
            position += 4
            guard length > 0, length <= bytes.count - position else { throw .corrupt(.snappy) }
            unsafe try block(UnsafeRawBufferPointer(rebasing: bytes[position..<(position + length)]), into: &output)
            position += length
        }
        return output.array
    }

    private static func isFrameHeader(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Bool {
        unsafe bytes.count - position >= frameHeader.count && bytes[position..<(position + magic.count)].elementsEqual(magic)
    }

    private static func block(_ bytes: UnsafeRawBufferPointer, into output: inout BoundedOutput) throws(CompressionError) {
        let data = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        var length = 0
        guard unsafe snappy_uncompressed_length(data, bytes.count, &length) == SNAPPY_OK, length <= bytes.count * greatestRatio else {
            throw .corrupt(.snappy)
        }
        let room = unsafe try output.room(for: length)
        let target = unsafe room.baseAddress?.assumingMemoryBound(to: CChar.self)
        guard unsafe snappy_uncompress(data, bytes.count, target, &length) == SNAPPY_OK else { throw .corrupt(.snappy) }
        try output.wrote(length)
    }
}
