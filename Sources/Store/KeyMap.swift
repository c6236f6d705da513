/// The latest offset of each key of a stretch of a log, as compaction builds it: keys are known by 16 bytes of a keyed hash, so that an
/// entry takes 24 bytes however long its key is, as in Kafka's OffsetMap.
///
/// Open addressing in one piece of memory, which grows with what is put into it and never beyond the limit, the old piece
/// while it is moved included.
struct KeyMap: ~Copyable {
    private struct Slot {
        var low: UInt64
        var high: UInt64
        /// −1: the slot is free.
        var offset: Int64
    }

    static let entryByteCount = MemoryLayout<Slot>.stride
    private static let slotCountLeast = 1_024

    private var slots: UnsafeMutableBufferPointer<Slot>
    private(set) var count = 0
    private let slotCountMax: Int
    private let hash: KeyHash

    /// - Parameter byteCountMax: `log.cleaner.dedupe.buffer.size`; some entries fit however small it is.
    init(byteCountMax: Int, hash: KeyHash = KeyHash()) {
        slotCountMax = max(byteCountMax / Self.entryByteCount, 16)
        slots = Self.allocate(min(Self.slotCountLeast, slotCountMax))
        self.hash = hash
    }

    deinit { slots.deallocate() }

    private static func allocate(_ count: Int) -> UnsafeMutableBufferPointer<Slot> {
        let slots = UnsafeMutableBufferPointer<Slot>.allocate(capacity: count)
        slots.initialize(repeating: Slot(low: 0, high: 0, offset: -1))
        return slots
    }

    /// Memory in use, in bytes.
    var byteCount: Int { slots.count * Self.entryByteCount }

    /// Notes that `key` stands at `offset`, which is beyond all that was put before. False where it is new and there is no room for it.
    mutating func put(_ key: UnsafeRawBufferPointer, at offset: Int64) -> Bool {
        let hashed = hash.of(key)
        var index = place(of: hashed)
        if slots[index].offset < 0 {
            // Fuller than nine tenths, searches become long.
            if (count + 1) * 10 > slots.count * 9 {
                guard grow() else { return false }
                index = place(of: hashed)
            }
            count += 1
        }
        slots[index] = Slot(low: hashed.low, high: hashed.high, offset: offset)
        return true
    }

    /// The latest offset that was put for `key`; −1 where none was.
    func offset(of key: UnsafeRawBufferPointer) -> Int64 { count == 0 ? -1 : slots[place(of: hash.of(key))].offset }

    /// The slot that holds the key, or the free one where it would be.
    private func place(of hashed: (low: UInt64, high: UInt64)) -> Int {
        var index = Int(truncatingIfNeeded: (hashed.low.multipliedFullWidth(by: UInt64(slots.count))).high)
        while slots[index].offset >= 0, slots[index].low != hashed.low || slots[index].high != hashed.high {
            index += 1
            if index == slots.count { index = 0 }
        }
        return index
    }

    private mutating func grow() -> Bool {
        // Both pieces are there while the entries move.
        let larger = min(slots.count * 2, slotCountMax - slots.count)
        guard larger > slots.count + slots.count / 4 else { return false }
        let before = slots
        slots = Self.allocate(larger)
        for slot in before where slot.offset >= 0 { slots[place(of: (slot.low, slot.high))] = slot }
        before.deallocate()
        return true
    }
}

/// SipHash-2-4 with 128 bits of result (Aumasson and Bernstein 2012) under a key of chance: nobody can make up keys that are taken for
/// each other, which would lose a record.
struct KeyHash: Sendable {
    private let key: (UInt64, UInt64)

    init() { self.init(key: (.random(in: 0...(.max)), .random(in: 0...(.max)))) }
    init(key: (UInt64, UInt64)) { self.key = key }

    func of(_ bytes: UnsafeRawBufferPointer) -> (low: UInt64, high: UInt64) {
        var state = SipState(key)
        let whole = bytes.count & ~7
        var at = 0
        while at < whole {
            state.take(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            at += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for index in whole..<bytes.count { last |= UInt64(bytes[index]) << UInt64(8 * (index - whole)) }
        state.take(last)
        return state.finish()
    }
}

private struct SipState {
    private var v0: UInt64, v1: UInt64, v2: UInt64, v3: UInt64

    @inline(__always) init(_ key: (UInt64, UInt64)) {
        v0 = key.0 ^ 0x736f_6d65_7073_6575
        v1 = key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee
        v2 = key.0 ^ 0x6c79_6765_6e65_7261
        v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    @inline(__always) mutating func take(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    @inline(__always) mutating func finish() -> (low: UInt64, high: UInt64) {
        v2 ^= 0xee
        for _ in 0..<4 { round() }
        let low = v0 ^ v1 ^ v2 ^ v3
        v1 ^= 0xdd
        for _ in 0..<4 { round() }
        return (low, v0 ^ v1 ^ v2 ^ v3)
    }

    @inline(__always) private mutating func round() {
        v0 = v0 &+ v1
        v1 = rotated(v1, 13) ^ v0
        v0 = rotated(v0, 32)
        v2 = v2 &+ v3
        v3 = rotated(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = rotated(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = rotated(v1, 17) ^ v2
        v2 = rotated(v2, 32)
    }

    @inline(__always) private func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 { value &<< count | value &>> (64 &- count) }
}
