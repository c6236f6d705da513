import CMalloc
import Glibc

/// The C library's allocator, held to what the broker needs: frames come and go by the megabyte, and a moment in which many requests
/// wait takes many of them.
enum Heap {
    /// Left alone, the allocator keeps what it was given by all threads at their peak, and gives nothing back of what is not the first's.
    static func tighten() {
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
    }

    /// Gives back what such a moment has left free, until the task is cancelled.
    static func keepTrimmed() async {
        while (try? await Task.sleep(for: .seconds(10))) != nil {
            // Asked of the kernel: the allocator counts as free what it has given back, too.
            if anonymousByteCount - Int(mallinfo2().uordblks) > freeByteCountMax { malloc_trim(0) }
        }
    }

    private static let freeByteCountMax = 16 << 20

    /// What the process has in memory beside files, 0 if the kernel does not say.
    private static var anonymousByteCount: Int {
        let file = open("/proc/self/statm", O_RDONLY)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        let text = withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { buffer in
            String(decoding: buffer[..<max(read(file, buffer.baseAddress, buffer.count), 0)], as: UTF8.self)
        }
        // Pages: of the whole, in memory, of these of files or shared.
        let pages = text.split(separator: " ").prefix(3).compactMap { Int($0) }
        return pages.count == 3 ? (pages[1] - pages[2]) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
