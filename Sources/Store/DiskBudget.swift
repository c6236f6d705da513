internal import Glibc
internal import LMDB

/// How much more the store may take in: bounded by the operator's limit, else by what the file system can spare.
///
/// Records are refused before the disk is really full, so that deleting, retention and offset commits still find the
/// pages that a copy-on-write tree needs for them.
struct DiskBudget {
    /// As the system wants it: it is asked once for each commit.
    private let directory: [CChar]
    private let maxBytes: Int?
    /// How large the file may grow, in bytes, as last seen.
    private(set) var limit: Int
    private var freeByteCount = 0
    private var freeCountedNs: UInt64 = 0
    private var admittedSinceCount = 0
    /// Bytes admitted for the commit being made, which no count of free pages knows of.
    private var admittedInCommit = 0
    /// The limit and the file's size are looked up once for each commit: nothing of it is in the file before its end.
    private var isCurrent = false
    private var available = 0
    private var isRefusing = false
    private var fileByteCount = 0

    /// Growth that is granted without counting the free pages first.
    private static let ampleByteCount = 64 << 20

    init(directory: String, maxBytes: Int?, fileByteCount: Int) {
        self.directory = Array(directory.utf8CString)
        self.maxBytes = maxBytes
        limit = maxBytes ?? .max
        self.fileByteCount = fileByteCount
        _ = refreshLimit(fileByteCount: fileByteCount)
    }

    mutating func beginCommit() {
        admittedInCommit = 0
        isCurrent = false
    }

    /// Whether `byteCount` more bytes of records may be written now.
    mutating func admits(_ byteCount: Int, _ environment: Environment) -> Bool {
        if !isCurrent {
            fileByteCount = environment.information().fileByteCount
            guard refreshLimit(fileByteCount: fileByteCount) else { return true }
            isCurrent = true
        }
        let growth = limit - fileByteCount
        // Twice the bytes: once for the journal, once for the extent; and a margin for the tree's own pages.
        let needed = 2 * byteCount
        if growth > Self.ampleByteCount + needed {
            isRefusing = false
            admittedInCommit += needed
            return true
        }
        countFree(environment)
        // Once something was refused, more must be free than was missing, or the store would be full and not full by turns.
        isRefusing = growth + freeByteCount - admittedSinceCount - needed <= (isRefusing ? 2 * margin : margin)
        if isRefusing { return false }
        admittedSinceCount += needed
        admittedInCommit += needed
        return true
    }

    var sentence: String {
        let megabytes = { (bytes: Int) in "\(bytes >> 20) MiB" }
        if limit == maxBytes {
            return
                "lmbroker.store.max.bytes is \(megabytes(limit)) and the file holds \(megabytes(max(fileByteCount - freeByteCount, 0))); "
                + "delete topics or records, shorten retention, or raise the limit"
        }
        return "the file system has \(megabytes(available)) left and the store keeps a reserve; free space on it, delete topics or records"
    }

    private var margin: Int { min(max(limit / 32, 1 << 20), 64 << 20) }

    /// False where the file system cannot be asked.
    private mutating func refreshLimit(fileByteCount: Int) -> Bool {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return maxBytes != nil }
        available = Int(status.f_bavail) * Int(status.f_frsize)
        let total = Int(status.f_blocks) * Int(status.f_frsize)
        let reserve = min(max(total / 20, 4 << 20), 1 << 30)
        let spared = fileByteCount + available - reserve
        limit = max(min(maxBytes ?? .max, spared), 0)
        return true
    }

    /// Walks the free list, at most ten times a second while the room lasts.
    private mutating func countFree(_ environment: Environment) {
        let now = monotonicNs()
        guard now - freeCountedNs > 100_000_000 || freeCountedNs == 0 else { return }
        guard let pages = try? environment.freePages() else { return }
        // What a copy or a slow reader still looks into is no room: a commit would have to make the file grow instead.
        freeByteCount = pages.count * environment.information().pageByteCount
        freeCountedNs = now
        admittedSinceCount = admittedInCommit
    }

    /// Whether an I/O error can be laid to a file system without room: LMDB reports a short write as EIO.
    func looksFull(needing byteCount: Int) -> Bool {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return false }
        return Int(status.f_bavail) * Int(status.f_frsize) < max(byteCount, 1 << 20)
    }
}
