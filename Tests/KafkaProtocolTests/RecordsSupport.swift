import KafkaProtocol

extension [UInt8] {
    /// `#expect` cannot look into calls that take a span.
    func header(at offset: Int = 0) -> RecordBatchHeader? { RecordBatchHeader(span.bytes, at: offset) }
    func head() -> RecordBatchHeader? { RecordBatchHeader(headOf: span.bytes) }

    /// The same bytes with a big-endian number at `position`.
    func with<T: FixedWidthInteger>(_ value: T, at position: Int) -> [UInt8] {
        var copy = self
        for index in 0..<(T.bitWidth / 8) { copy[position + index] = UInt8(truncatingIfNeeded: value >> (T.bitWidth - 8 - 8 * index)) }
        return copy
    }

    /// The batch with the checksum it ought to have.
    func signed() -> [UInt8] {
        with(withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) }, at: 17)
    }

    func signed<T: FixedWidthInteger>(_ value: T, at position: Int) -> [UInt8] { with(value, at: position).signed() }
}

/// SplitMix64: the same numbers from the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
