internal import Glibc

/// Waits until a file, or the entries of a directory, are on disk.
func syncPath(_ path: String) throws(StoreError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .lastCall("opening \(path)") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .lastCall("syncing \(path)") }
}

/// Whether the open file is the one that has this name now.
func isFile(_ descriptor: Int32, named path: String) -> Bool {
    var opened = stat()
    var named = stat()
    return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev
}

/// What a file system states in blocks, in bytes: as many as a number holds where it states more.
func spaceInBytes(_ blockCount: UInt64, of blockByteCount: UInt64) -> Int {
    let (byteCount, isMore) = blockCount.multipliedReportingOverflow(by: blockByteCount)
    return isMore ? .max : Int(clamping: byteCount)
}

extension StoreError {
    /// Why the system call that has just failed did (`errno`).
    static func lastCall(_ doing: String) -> StoreError { .system("\(doing): \(String(cString: strerror(errno)))") }
}
