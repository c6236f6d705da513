internal import LMDB

/// What can be seen of a store from outside, also while a broker serves it: how its file is used, and who looks into it.
public struct StoreInspection: Sendable {
    public struct Table: Sendable {
        public var name: String
        public var entryCount: Int
        public var byteCount: Int
    }

    /// A process with a slot in LMDB's table of readers.
    public struct Reader: Sendable {
        public var processID: Int
        /// Commits made since the snapshot that it holds; nil where it holds none now.
        public var commitsBehind: Int?
    }

    public var clusterID = ""
    public var format: Int32 = 0
    /// Commits ever made in this file.
    public var commitCount = 0
    public var fileByteCount = 0
    /// Of pages that deleted data left behind: what the next commits fill, and what waits for the oldest snapshot to end.
    public var freeByteCount = 0
    public var heldByteCount = 0
    /// The databases, those of other programs left out.
    public var tables: [Table] = []
    public var readers: [Reader] = []

    public var usedByteCount: Int { fileByteCount - freeByteCount - heldByteCount }

    /// Looks at the store in `directory`, and changes nothing in it; `lock.mdb` is made where it is missing.
    public init(of directory: String) throws(StoreError) {
        let (environment, identity) = try StoreOpening.openToRead(directory)
        // Before there is a snapshot of its own among them.
        let all = environment.readers()
        let (pages, found) = try lmdb("looking at the store in \(directory)") { () throws(LMDBError) in
            (try environment.freePages(), try Self.tables(environment))
        }
        if let identity { (clusterID, format) = (identity.clusterID, identity.storeFormat) }
        let information = environment.information()
        commitCount = information.lastTransactionID
        fileByteCount = information.fileByteCount
        freeByteCount = pages.count * information.pageByteCount
        heldByteCount = pages.heldCount * information.pageByteCount
        tables = found.map { Table(name: $0.name, entryCount: $0.statistics.entryCount, byteCount: $0.statistics.pageCount * information.pageByteCount) }
        readers = all.map { reader in
            Reader(processID: reader.processID, commitsBehind: reader.transactionID.map { max(information.lastTransactionID - $0, 0) })
        }
    }

    private static func tables(_ environment: Environment) throws(LMDBError) -> [(name: String, statistics: DatabaseStatistics)] {
        let snapshot = try environment.snapshot()
        if snapshot.transactionID == 0 { return [] }
        var found: [(name: String, statistics: DatabaseStatistics)] = []
        for (name, database) in try Databases(existingIn: snapshot).named { found.append((name, try snapshot.statistics(of: database))) }
        return found
    }
}
