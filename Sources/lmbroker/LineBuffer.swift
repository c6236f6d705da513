import Glibc

/// Cuts a stream of bytes into lines. What is between newlines is opaque: any bytes, of any length, also none.
final class LineBuffer {
    private var storage: UnsafeMutableRawBufferPointer
    /// The bytes not handed out yet.
    private var start = 0
    private var end = 0
    /// Where to go on looking for a newline.
    private var searched = 0

    /// Bytes of a line whose end has not come yet, once `next` has nothing more.
    var unfinishedByteCount: Int { end - start }

    /// - Parameter byteCount: how much to read at a time.
    init(byteCount: Int = 1 << 20) { storage = .allocate(byteCount: byteCount, alignment: 16) }

    deinit { storage.deallocate() }

    /// The next line without its newline, or nil when more must be read first. Valid until `fill`.
    func next() -> UnsafeRawBufferPointer? {
        guard searched < end, let base = storage.baseAddress, let newline = memchr(base + searched, 0x0a, end - searched) else {
            searched = end
            return nil
        }
        let position = base.distance(to: newline)
        let line = UnsafeRawBufferPointer(rebasing: storage[start..<position])
        start = position + 1
        searched = start
        return line
    }

    /// What follows the last newline, when there is anything and all has been read.
    func rest() -> UnsafeRawBufferPointer? {
        defer { (start, searched) = (end, end) }
        return start < end ? UnsafeRawBufferPointer(rebasing: storage[start..<end]) : nil
    }

    /// Makes room, and has `read` put bytes there; it returns how many.
    func fill(_ read: (UnsafeMutableRawBufferPointer) throws -> Int) rethrows -> Int {
        makeRoom()
        let count = try read(UnsafeMutableRawBufferPointer(rebasing: storage[end...]))
        end += count
        return count
    }

    /// The unfinished line goes to the front; one that fills everything gets twice the room.
    private func makeRoom() {
        let left = end - start
        if start > 0, let base = storage.baseAddress {
            memmove(base, base + start, left)
            searched -= start
            (start, end) = (0, left)
        }
        guard end == storage.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: storage.count * 2, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(storage))
        storage.deallocate()
        storage = larger
    }
}
