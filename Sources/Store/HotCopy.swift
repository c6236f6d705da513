internal import Glibc
internal import LMDB
internal import Synchronization

/// A consistent copy of a live environment into a directory, with progress.
struct HotCopy {
    private let environment: Environment
    private let target: String
    private let compacting: Bool
    /// Nil: as fast as the disk takes it.
    private let bytesPerSecond: Int?

    init(_ environment: Environment, to target: String, compacting: Bool, bytesPerSecond: Int?) {
        self.environment = environment
        self.target = target
        self.compacting = compacting
        self.bytesPerSecond = bytesPerSecond
    }

    func run(_ progress: @Sendable @escaping (_ doneBytes: Int, _ totalBytes: Int) -> Void) throws(StoreError) {
        try prepare()
        let total = environment.information().fileByteCount
        let path = target + "/data.mdb"
        let growth = FileGrowth(path) { progress(min($0, total), total) }
        do throws(StoreError) { try withExtendedLifetime(growth) { () throws(StoreError) in try copy(to: path) } } catch {
            unlink(path)
            throw error
        }
        // LMDB's copy writes with O_DIRECT or through the cache, and never syncs.
        try syncPath(path)
        try syncPath(target)
        let done = FileGrowth.length(of: path)
        progress(done, done)
    }

    private func copy(to path: String) throws(StoreError) {
        if let bytesPerSecond {
            return try PacedFile(path: path, bytesPerSecond: bytesPerSecond).copy(environment, compacting: compacting)
        }
        do { try environment.copy(to: target, compacting: compacting) } catch { throw .system("copying the store to \(target): \(error)") }
    }

    private func prepare() throws(StoreError) {
        guard mkdir(target, 0o750) != 0 else { return }
        guard errno == EEXIST else { throw .system("the directory \(target) cannot be made: \(String(cString: strerror(errno)))") }
        guard FileGrowth.length(of: target + "/data.mdb") < 0 else {
            throw .system("\(target) holds a data.mdb already; name an empty or new directory")
        }
    }
}
