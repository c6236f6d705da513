internal import Glibc
internal import LMDB

/// What `Store.compact` did, in bytes.
public struct CompactionOutcome: Sendable, Equatable {
    public var byteCountBefore = 0
    public var byteCountAfter = 0
}

/// Writes a store that nobody serves anew without its free pages, and puts the new file in the old one's place in one step. Whenever
/// it is interrupted, the directory holds the one or the other, whole.
struct OfflineCompaction {
    private let directory: String
    private var path: String { directory + "/data.mdb" }
    /// What an interrupted compaction leaves; the next one writes over it.
    private var newPath: String { path + ".compact" }

    init(_ directory: String) { self.directory = directory }

    func run(_ progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void) throws(StoreError) -> CompactionOutcome {
        // Locking makes the file where it is missing, and a directory without one is none of ours.
        guard access(path, F_OK) == 0 else { throw .cannotOpen("\(directory) is not a store: it holds no data.mdb") }
        let lock = try DirectoryLock(directory)
        defer { lock.release() }
        let others = try OtherProcesses(excludedFrom: directory)
        defer { others.release() }
        let (environment, _) = try StoreOpening.openToRead(directory, unlocked: true)
        let liveByteCount = try Self.liveByteCount(environment)
        try checkRoom(for: liveByteCount)
        let outcome = CompactionOutcome(
            byteCountBefore: environment.information().fileByteCount, byteCountAfter: try write(environment, liveByteCount, progress))
        try swap()
        return outcome
    }

    private static func liveByteCount(_ environment: Environment) throws(StoreError) -> Int {
        try lmdb("counting free pages") { () throws(LMDBError) in
            let information = environment.information()
            let free = try environment.freePages()
            return (information.pageCount - free.count - free.heldCount) * information.pageByteCount
        }
    }

    private func checkRoom(for byteCount: Int) throws(StoreError) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return }
        let available = spaceInBytes(UInt64(status.f_bavail), of: UInt64(status.f_frsize))
        guard available >= byteCount else {
            throw .full(
                "the compacted file takes \(byteCount >> 20) MiB beside the old one, and the file system has \(available >> 20) MiB left; "
                    + "`lmbroker backup --compact` can write it elsewhere")
        }
    }

    private func write(
        _ environment: Environment, _ total: Int, _ progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void
    ) throws(StoreError) -> Int {
        var old = stat()
        guard stat(path, &old) == 0 else { throw .lastCall("looking at \(path)") }
        let descriptor = open(newPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, old.st_mode & 0o777)
        guard descriptor >= 0 else { throw .lastCall("making \(newPath)") }
        defer { close(descriptor) }
        var isWritten = false
        defer { if !isWritten { unlink(newPath) } }
        // Only root may give a file away; for anybody else the owner is right already.
        _ = fchown(descriptor, old.st_uid, old.st_gid)
        let growth = FileGrowth(newPath) { progress(min($0, total), total) }
        do { try withExtendedLifetime(growth) { () throws(LMDBError) in try environment.copy(to: descriptor, compacting: true) } } catch {
            throw .system("writing \(newPath): \(error)")
        }
        guard fsync(descriptor) == 0 else { throw .lastCall("syncing \(newPath)") }
        isWritten = true
        let byteCount = FileGrowth.length(of: newPath)
        progress(byteCount, byteCount)
        return byteCount
    }

    /// The lock file goes first: it counts transactions of the old file, which begin anew in the new one, and the next process makes its own.
    private func swap() throws(StoreError) {
        unlink(directory + "/lock.mdb")
        guard rename(newPath, path) == 0 else { throw .lastCall("putting \(newPath) in place") }
        try syncPath(directory)
    }
}

/// Keeps other processes from opening the environment, whatever tool they are: each holds a shared lock of LMDB's on the first byte
/// of `lock.mdb` while it has it open.
private struct OtherProcesses: ~Copyable {
    private let descriptor: Int32

    init(excludedFrom directory: String) throws(StoreError) {
        let path = directory + "/lock.mdb"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw .cannotOpen("\(path) cannot be opened: \(String(cString: strerror(errno)))") }
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_len = 1
        guard fcntl(descriptor, F_SETLK, &lock) == 0 else {
            Glibc.close(descriptor)
            throw .cannotOpen("another process has the store in \(directory) open (a backup, or a tool of LMDB's); compact it when that has ended")
        }
    }

    func release() { Glibc.close(descriptor) }
}
