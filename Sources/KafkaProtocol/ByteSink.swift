/// Bytes being written, at the end only. An array would check its uniqueness and count at every field.
@safe struct ByteSink: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    /// Bytes written.
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        unsafe base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { unsafe base.deallocate() }

    /// Appends `value` in network order.
    mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        reserve(MemoryLayout<T>.size)
        unsafe base.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
        count &+= MemoryLayout<T>.size
    }

    mutating func append(_ bytes: ArraySlice<UInt8>) {
        reserve(bytes.count)
        unsafe bytes.withUnsafeBytes { unsafe copy($0) }
    }

    /// Appends the text in UTF-8.
    mutating func append(_ text: String) {
        var text = text
        reserve(text.utf8.count)
        text.withUTF8 { unsafe copy(UnsafeRawBufferPointer($0)) }
    }

    /// Takes back what was written from `start` on.
    mutating func removeTail(from start: Int) -> [UInt8] {
        let tail = bytes(from: start)
        count = start
        return tail
    }

    func bytes(from start: Int) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: base + start, count: count - start))
    }

    private mutating func copy(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress else { return }
        unsafe (base + count).copyMemory(from: start, byteCount: source.count)
        count += source.count
    }

    private mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe larger.copyMemory(from: base, byteCount: count)
        unsafe base.deallocate()
        unsafe base = larger
    }
}
