import KafkaClient

/// The next record of a benchmark, in a place that is used again for each.
struct BenchRecord {
    /// In front of a value that has room for it: when the record was offered, in ns of the monotonic clock.
    static let stampByteCount = 8

    /// Values are taken out of one run of letters, each from behind the one before. What comes again lies that far back: farther than
    /// any codec looks at its usual level.
    private static let runByteCount = 4 << 20

    private let letters: [UInt8]
    private let size: Int
    private let keyCount: Int
    private var value: [UInt8]
    private var key: [UInt8] = []
    private var number = 0
    /// Where the next value begins in the run.
    private var from = 0

    /// A run that has values of `size` bytes begin anywhere in it.
    static func letters(forValuesOf size: Int) -> [UInt8] {
        var state = UInt64.random(in: 1 ... .max)
        return (0..<(runByteCount + size)).map { _ in
            // xorshift64: millions are wanted, and any codec takes them for chance.
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return 65 + UInt8((state >> 32) % 26)
        }
    }

    /// - Parameter letters: Of `letters(forValuesOf:)`, for the size in `options`.
    init(_ letters: [UInt8], _ options: BenchLoadOptions) {
        self.letters = letters
        size = options.size
        keyCount = options.keys
        value = Array(letters.prefix(options.size))
        advance()
    }

    mutating func advance() {
        number += 1
        if keyCount > 0 { key = Array("\(number % keyCount)".utf8) }
        guard size > 0 else { return }
        let next = from..<(from + size)
        value.withUnsafeMutableBytes { place in
            letters.withUnsafeBytes { place.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[next])) }
        }
        from = next.upperBound % Self.runByteCount
    }

    mutating func withBytes<R>(
        stamp: ContinuousClock.Instant, _ body: (_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer) throws(ClientError) -> R
    ) throws(ClientError) -> R {
        if size >= Self.stampByteCount {
            value.withUnsafeMutableBytes { $0.storeBytes(of: Self.nanoseconds(stamp), as: Int64.self) }
        }
        return try key.span.bytes.withUnsafeBytes { (key) throws(ClientError) in
            try value.span.bytes.withUnsafeBytes { (value) throws(ClientError) in try body(keyCount > 0 ? key : nil, value) }
        }
    }

    /// When the record was offered, as its value says.
    static func stamp(_ value: RawSpan) -> ContinuousClock.Instant? {
        guard value.byteCount >= stampByteCount else { return nil }
        return origin + .nanoseconds(value.unsafeLoadUnaligned(as: Int64.self))
    }

    /// Of this process: stamps mean nothing to others.
    private static let origin = ContinuousClock.now
    private static func nanoseconds(_ instant: ContinuousClock.Instant) -> Int64 { Int64((instant - origin) / .nanoseconds(1)) }
}
