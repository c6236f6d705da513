#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The time of day, as records are stamped with it.
enum WallClock {
    /// Milliseconds since 1970.
    static var nowMs: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
