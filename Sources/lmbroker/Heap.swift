import CMalloc

/// The C library's allocator, held to what the broker needs: frames come and go by the megabyte, and a moment in which many requests
/// wait takes many of them.
enum Heap {
    /// Left alone, the allocator keeps what it was given by all threads at their peak.
    static func tighten() {
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
    }

    /// Gives back what such a moment has left free, now and then, until the task is cancelled. Below the limit that would be memory
    /// that the next requests take.
    static func keepTrimmed() async {
        while (try? await Task.sleep(for: .seconds(10))) != nil {
            if mallinfo2().fordblks > keptByteCount { malloc_trim(keptByteCount) }
        }
    }

    private static let keptByteCount = 16 << 20
}
