internal import Glibc
internal import LMDB

/// A consistent copy of a live environment into a directory, with progress. It gets its name when all of it is on disk, and not before.
struct HotCopy {
    private let environment: Environment
    private let target: String
    private let compacting: Bool
    /// Nil: as fast as the disk takes it.
    private let bytesPerSecond: Int?
    private var path: String { target + "/data.mdb" }
    /// What an interrupted copy leaves; the next one writes over it.
    private var partialPath: String { path + ".partial" }

    init(_ environment: Environment, to target: String, compacting: Bool, bytesPerSecond: Int?) {
        self.environment = environment
        self.target = target
        self.compacting = compacting
        self.bytesPerSecond = bytesPerSecond
    }

    func run(_ progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void) throws(StoreError) {
        guard mkdir(target, 0o750) == 0 || errno == EEXIST else {
            throw .system("the directory \(target) cannot be made: \(String(cString: strerror(errno)))")
        }
        try checkName()
        let file = try lockedFile()
        defer { close(file) }
        do throws(StoreError) { try fill(file, progress) } catch {
            unlink(partialPath)
            throw error
        }
        try syncPath(target)
        let byteCount = FileGrowth.length(of: path)
        progress(byteCount, byteCount)
    }

    private func checkName() throws(StoreError) {
        guard FileGrowth.length(of: path) < 0 else { throw .system("\(target) holds a data.mdb already; name another directory") }
    }

    /// The file to write, which nobody else writes meanwhile.
    private func lockedFile() throws(StoreError) -> Int32 {
        while true {
            let file = try openFile()
            guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
                close(file)
                throw .system("another copy is being made in \(target)")
            }
            // A copy that ended in between has given it its name.
            if isFile(file, named: partialPath) { return file }
            close(file)
        }
    }

    /// Around the page cache, which is everyone else's, where the file system knows how (not tmpfs).
    private func openFile() throws(StoreError) -> Int32 {
        let flags = O_WRONLY | O_CREAT | O_CLOEXEC
        for flags in [flags | Self.direct, flags] {
            let file = open(partialPath, flags, 0o640)
            if file >= 0 { return file }
            guard errno == EINVAL else { break }
        }
        throw .lastCall("making \(partialPath)")
    }

    /// `O_DIRECT`, which the module of the C library does not show.
    #if arch(arm64)
        private static let direct: Int32 = 0o200000
    #else
        private static let direct: Int32 = 0o40000
    #endif

    private func fill(_ file: Int32, _ progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void) throws(StoreError) {
        try checkName()
        guard ftruncate(file, 0) == 0 else { throw .lastCall("emptying \(partialPath)") }
        let total = environment.information().fileByteCount
        let growth = FileGrowth(partialPath) { progress(min($0, total), total) }
        try withExtendedLifetime(growth) { () throws(StoreError) in try copy(to: file) }
        // LMDB's copy never syncs.
        guard fsync(file) == 0 else { throw .lastCall("syncing \(partialPath)") }
        guard rename(partialPath, path) == 0 else { throw .lastCall("putting \(partialPath) in place") }
    }

    private func copy(to file: Int32) throws(StoreError) {
        if let bytesPerSecond {
            return try PacedFile(descriptor: file, path: partialPath, bytesPerSecond: bytesPerSecond).copy(environment, compacting: compacting)
        }
        do { try environment.copy(to: file, compacting: compacting) } catch { throw .system("copying the store to \(target): \(error)") }
    }
}
