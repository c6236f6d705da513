extension CompressionCodec {
    /// The records of a batch as this codec writes them.
    ///
    /// - Parameter level: as `compression.gzip.level` (1–9), `compression.lz4.level` (1–17) and
    ///   `compression.zstd.level` (−131072–22). Nil for the codec's default; the others have none.
    public func compress(_ bytes: UnsafeRawBufferPointer, level: Int? = nil) throws(CompressionError) -> [UInt8] {
        switch self {
        case .none: unsafe Array(bytes)
        case .gzip: unsafe try Gzip.compress(bytes, level: level)
        case .snappy: unsafe try Snappy.compress(bytes)
        case .lz4: unsafe try LZ4.compress(bytes, level: level)
        case .zstd: unsafe try Zstandard.compress(bytes, level: level)
        }
    }

    /// The records of a batch, of which at most `limit` bytes come out: a bomb throws `limitExceeded` before it has
    /// taken more memory than about twice that. Several gzip members, LZ4 or Zstandard frames in a row are joined.
    public func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        switch self {
        case .none:
            if bytes.count > limit { throw .limitExceeded(limit) }
            return unsafe Array(bytes)
        case .gzip: return unsafe try Gzip.decompress(bytes, limit: limit)
        case .snappy: return unsafe try Snappy.decompress(bytes, limit: limit)
        case .lz4: return unsafe try LZ4.decompress(bytes, limit: limit)
        case .zstd: return unsafe try Zstandard.decompress(bytes, limit: limit)
        }
    }

    /// A first guess at what comes out of `byteCount` compressed bytes.
    static func expectedByteCount(from byteCount: Int) -> Int { min(byteCount, 1 << 30) * 4 }
}
