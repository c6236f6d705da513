internal import CLMDB

/// The size of an environment.
public struct EnvironmentInformation: Sendable, Equatable {
    public var mapByteCount: Int
    public var pageByteCount: Int
    /// Pages in use or free within the file: the file's length, in pages.
    public var pageCount: Int
    public var lastTransactionID: Int
    public var readersMax: Int
    /// Reader slots in use.
    public var readersInUse: Int

    public var fileByteCount: Int { pageCount * pageByteCount }
}

/// The size of one database.
public struct DatabaseStatistics: Sendable, Equatable {
    public var entryCount: Int
    public var depth: Int
    public var branchPageCount: Int
    public var leafPageCount: Int
    public var overflowPageCount: Int

    public var pageCount: Int { branchPageCount + leafPageCount + overflowPageCount }
}

/// Pages that deleted data left behind.
public struct FreePages: Sendable, Equatable {
    /// Those that a commit may fill now.
    public var count = 0
    /// Those that a snapshot may still look into.
    public var heldCount = 0
    /// Rows of the free list that all of them stand in.
    public var rowCount = 0
}

/// One reader slot, of this process or another.
public struct ReaderInformation: Sendable, Equatable {
    public var processID: Int
    /// The transaction whose pages it pins; nil while parked.
    public var transactionID: Int?
}

extension Environment {
    public func information() -> EnvironmentInformation {
        var information = unsafe MDB_envinfo()
        var statistics = MDB_stat()
        unsafe mdb_env_info(handle, &information)
        unsafe mdb_env_stat(handle, &statistics)
        return unsafe EnvironmentInformation(
            mapByteCount: information.me_mapsize, pageByteCount: Int(statistics.ms_psize), pageCount: information.me_last_pgno + 1,
            lastTransactionID: information.me_last_txnid, readersMax: Int(information.me_maxreaders),
            readersInUse: Int(information.me_numreaders))
    }

    /// Frees the slots of processes that died; returns how many.
    @discardableResult
    public func clearStaleReaders() throws(LMDBError) -> Int {
        var dead: Int32 = 0
        try unsafe check(mdb_reader_check(handle, &dead))
        return Int(dead)
    }

    /// The reader table, as LMDB lists it.
    public func readers() -> [ReaderInformation] {
        let lines = ReaderLines()
        let context = unsafe Unmanaged.passUnretained(lines).toOpaque()
        _ = unsafe mdb_reader_list(
            handle,
            { message, context in
                guard let message = unsafe message, let context = unsafe context else { return -1 }
                unsafe Unmanaged<ReaderLines>.fromOpaque(context).takeUnretainedValue().texts.append(String(cString: message))
                return 0
            }, context)
        // Each line: process id, thread id, transaction id or "-".
        return lines.texts.compactMap { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\n" })
            guard words.count == 3, let processID = Int(words[0]) else { return nil }
            return ReaderInformation(processID: processID, transactionID: Int(words[2]))
        }
    }

    /// The reader of the oldest snapshot, where that is behind the last commit.
    public func laggingReader() -> ReaderInformation? {
        let last = information().lastTransactionID
        let lagging = readers().filter { reader in reader.transactionID.map { $0 < last } ?? false }
        return lagging.min { ($0.transactionID ?? 0) < ($1.transactionID ?? 0) }
    }

    /// Pages that deleted data left behind, and those of them that wait for the oldest reader. Reads the whole free list.
    public func freePages() throws(LMDBError) -> FreePages {
        let oldest = laggingReader()?.transactionID
        let snapshot = try snapshot()
        var cursor = try unsafe Cursor(snapshot.handle, .freeList)
        var pages = FreePages()
        while try cursor.move(.next) {
            pages.rowCount += 1
            if let oldest, cursor.freedBy >= oldest { pages.heldCount += cursor.freedPageCount } else { pages.count += cursor.freedPageCount }
        }
        return pages
    }

    /// A consistent copy of the last committed state, written to an open file or socket, while others read and write.
    /// `compacting` leaves free pages out; it takes longer, and the file grows by what is written meanwhile. Not synced.
    public func copy(to descriptor: Int32, compacting: Bool = false) throws(LMDBError) {
        try unsafe check(mdb_env_copyfd2(handle, descriptor, compacting ? UInt32(MDB_CP_COMPACT) : 0))
    }
}

private final class ReaderLines { var texts: [String] = [] }

func databaseStatistics(_ transaction: OpaquePointer, _ database: Database) throws(LMDBError) -> DatabaseStatistics {
    var statistics = MDB_stat()
    try unsafe check(mdb_stat(transaction, database.index, &statistics))
    return DatabaseStatistics(
        entryCount: statistics.ms_entries, depth: Int(statistics.ms_depth), branchPageCount: statistics.ms_branch_pages,
        leafPageCount: statistics.ms_leaf_pages, overflowPageCount: statistics.ms_overflow_pages)
}
