internal import Glibc

/// What the kernel is told of a part of the map.
public enum MapAdvice {
    /// It will be read soon.
    case willNeed
    /// It is to be in memory on return, read from the disk if it must be.
    case populate

    /// Tells it of `bytes`, which are of a map. False where the kernel does not know this advice, or could not follow it.
    @discardableResult
    public func give(of bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress else { return true }
        // madvise takes whole pages.
        let lead = Int(bitPattern: start) & 4095
        return unsafe madvise(UnsafeMutableRawPointer(mutating: start - lead), bytes.count + lead, code) == 0
    }

    private var code: Int32 {
        switch self {
        case .willNeed: MADV_WILLNEED
        case .populate: MADV_POPULATE_READ
        }
    }
}
