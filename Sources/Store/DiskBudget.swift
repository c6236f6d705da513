internal import Glibc
internal import LMDB

/// How much more the store may take in: bounded by the operator's limit, by what the file system can spare, and by the map.
///
/// Records are refused before the disk is really full, so that offset commits, groups and transactions go on; those are refused at
/// half of what records leave, so that deleting and retention still find the pages that a copy-on-write tree needs for them.
struct DiskBudget {
    /// What room is asked for. What makes the store smaller does not ask.
    enum Purpose {
        case records
        /// Committed offsets, groups and the steps of transactions.
        case state
    }

    /// As the system wants it.
    private let directory: [CChar]
    private let nowNs: @Sendable () -> UInt64
    private let maxBytes: Int?
    /// The file cannot grow beyond it.
    private let mapByteCount: Int
    /// How large the file may grow, in bytes, as last seen.
    private(set) var limit: Int
    private var freeByteCount = 0
    private var freeCountedNs: UInt64 = 0
    private var admittedSinceCount = 0
    /// Bytes admitted for the commit being made, which no count of free pages knows of.
    private var admittedInCommit = 0
    /// The limit and the file's size are looked up once at most for each commit that has records: nothing of it is in the file before its end.
    private var isCurrent = false
    private(set) var lookedUpNs: UInt64 = 0
    private var available = 0
    /// What was refused when it was last asked for.
    private var refused: Set<Purpose> = []
    private var fileByteCount = 0
    /// Since a commit found no room: what the file is believed to grow to at most, what the file system said to have left then, and
    /// until when.
    private var doubt: (limit: Int, available: Int, untilNs: UInt64)?

    /// How long what the system said is good enough for what is no records, in ns. The file's own growth is known without asking.
    private static let knowledgeNs: UInt64 = 1_000_000_000
    /// How long it is for records where there is ample room twice: half of it is more than others write in that time.
    private static let ampleKnowledgeNs: UInt64 = 10_000_000
    /// Growth that is granted without counting the free pages first.
    private static let ampleByteCount = 64 << 20
    /// How long the same words of the file system are doubted after a commit that found no room, in ns.
    private static let doubtNs: UInt64 = 60_000_000_000
    /// `O_TMPFILE`, which Swift does not see.
    private static let unnamed: Int32 = 0o20_000_000 | O_DIRECTORY

    init(directory: String, maxBytes: Int?, mapByteCount: Int, fileByteCount: Int, nowNs: @escaping @Sendable () -> UInt64 = monotonicNs) {
        self.nowNs = nowNs
        self.directory = Array(directory.utf8CString)
        self.maxBytes = maxBytes
        self.mapByteCount = mapByteCount
        limit = min(maxBytes ?? .max, mapByteCount)
        self.fileByteCount = fileByteCount
        refreshLimit()
    }

    mutating func beginCommit() {
        admittedInCommit = 0
        isCurrent = false
    }

    /// Whether `byteCount` more bytes may be written now.
    mutating func admits(_ byteCount: Int, for purpose: Purpose = .records, _ environment: Environment) -> Bool {
        // Twice the bytes: once for the journal, once for the extent or the row; and a margin for the tree's own pages.
        let needed = 2 * byteCount
        lookUp(needed, for: purpose, environment)
        let growth = limit - fileByteCount
        let isAmple = growth > Self.ampleByteCount + needed
        if !isAmple { countFree(environment) }
        let left = growth + freeByteCount - admittedSinceCount - needed
        let reserve = purpose == .records ? margin : margin / 2
        // Once something was refused, more must be free than was missing, or the store would be full and not full by turns.
        if !isAmple, left <= (refused.contains(purpose) ? 2 * reserve : reserve) {
            refused.insert(purpose)
            return false
        }
        refused.remove(purpose)
        if !isAmple { admittedSinceCount += needed }
        admittedInCommit += needed
        return true
    }

    private mutating func lookUp(_ needed: Int, for purpose: Purpose, _ environment: Environment) {
        guard !isCurrent else { return }
        fileByteCount = environment.information().fileByteCount
        let isAmple = limit - fileByteCount > 2 * Self.ampleByteCount + needed
        let knowledgeNs = purpose == .state ? Self.knowledgeNs : isAmple ? Self.ampleKnowledgeNs : 0
        // A small commit asks the system for nothing most of the time.
        guard nowNs() - lookedUpNs > knowledgeNs else { return }
        refreshLimit()
        isCurrent = true
    }

    /// A commit with `byteCount` bytes of records found no room where there seemed to be some, as under a quota that the system does
    /// not tell of. For a while the file is not believed to grow so far, or the store would be full and not full by turns. The end of
    /// the map is known.
    mutating func commitFailed(_ error: LMDBError, needing byteCount: Int, _ environment: Environment) {
        fileByteCount = environment.information().fileByteCount
        refused = [.records, .state]
        refreshLimit()
        guard error != .mapFull else { return }
        let reached = fileByteCount + 2 * byteCount
        doubt = (reached, available, nowNs() + Self.doubtNs)
        limit = min(limit, reached)
    }

    var sentence: String {
        let megabytes = { (bytes: Int) in "\(bytes >> 20) MiB" }
        let held = megabytes(max(fileByteCount - freeByteCount, 0))
        if limit == maxBytes {
            return "lmbroker.store.max.bytes is \(megabytes(limit)) and the file holds \(held); "
                + "delete topics or records, shorten retention, or raise the limit"
        }
        if limit == mapByteCount {
            return "the file cannot grow beyond \(megabytes(limit)) and holds \(held); delete topics or records, or shorten retention"
        }
        if limit == doubt?.limit {
            return "the file could not grow though the file system says that it has \(megabytes(available)) left; "
                + "is there a quota? Raise it, delete topics or records"
        }
        return "the file system has \(megabytes(available)) left and the store keeps a reserve; free space on it, delete topics or records"
    }

    private var margin: Int { min(max(limit / 32, 1 << 20), 64 << 20) }

    private mutating func refreshLimit() {
        lookedUpNs = nowNs()
        limit = min(maxBytes ?? .max, mapByteCount)
        var status = statvfs()
        // Where the file system cannot be asked, LMDB will say when it is full.
        guard statvfs(directory, &status) == 0 else { return }
        available = spaceInBytes(UInt64(status.f_bavail), of: UInt64(status.f_frsize))
        let total = spaceInBytes(UInt64(status.f_blocks), of: UInt64(status.f_frsize))
        let reserve = min(max(total / 20, 4 << 20), 1 << 30)
        limit = max(min(limit, fileByteCount + min(available - reserve, mapByteCount)), 0)
        guard let doubt else { return }
        // Where others have let go of something, or much time has passed, it is tried.
        if available - doubt.available > 2 * margin || lookedUpNs >= doubt.untilNs {
            self.doubt = nil
        } else {
            limit = min(limit, doubt.limit)
        }
    }

    /// Walks the free list, at most ten times a second while the room lasts.
    private mutating func countFree(_ environment: Environment) {
        let now = nowNs()
        guard now - freeCountedNs > 100_000_000 || freeCountedNs == 0 else { return }
        guard let pages = try? environment.freePages() else { return }
        // What a copy or a slow reader still looks into is no room: a commit would have to make the file grow instead.
        freeByteCount = pages.count * environment.information().pageByteCount
        freeCountedNs = now
        admittedSinceCount = admittedInCommit
    }

    /// Whether an I/O error can be laid to a file system without room, or a quota that is used up: LMDB reports a short write as EIO.
    func looksFull(needing byteCount: Int) -> Bool {
        let byteCount = max(byteCount, 1 << 20)
        var status = statvfs()
        if statvfs(directory, &status) == 0, spaceInBytes(UInt64(status.f_bavail), of: UInt64(status.f_frsize)) < byteCount { return true }
        // Of a quota the system does not tell; it shows when room is asked for.
        let file = open(directory, Self.unnamed | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else { return false }
        defer { close(file) }
        return [ENOSPC, EDQUOT].contains(posix_fallocate(file, 0, byteCount))
    }
}
