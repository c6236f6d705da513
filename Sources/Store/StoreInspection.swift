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

    /// Looks at the store in `directory`, and changes nothing.
    public init(of directory: String) throws(StoreError) {
        let options = Environment.Options(
            mapByteCount: StoreOptions().mapByteCount, readersMax: StoreOptions().readersMax, readOnly: true)
        let environment = try StoreOpening.openEnvironment(directory, options)
        try StoreOpening.check(environment, directory)
        // Before there is a snapshot of its own among them.
        let all = environment.readers()
        let (pages, found, identity) = try lmdb("looking at the store in \(directory)") { () throws(LMDBError) in
            (try environment.freePages(), try Self.tables(environment), try Self.identity(environment))
        }
        if let identity { (clusterID, format) = try Self.read(identity) }
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
        var found: [(name: String, statistics: DatabaseStatistics)] = []
        for name in Databases.names {
            let order: KeyOrder = name == "journal" ? .integers : .bytes
            do { found.append((name, try snapshot.statistics(of: try snapshot.database(name, order)))) } catch {
                // A store of an older format has fewer.
                guard error == .notFound else { throw error }
            }
        }
        return found
    }

    private static func identity(_ environment: Environment) throws(LMDBError) -> [UInt8]? {
        let snapshot = try environment.snapshot()
        return try snapshot.value("identity", in: snapshot.database("meta"))?.withUnsafeBytes { Array($0) }
    }

    private static func read(_ identity: [UInt8]) throws(StoreError) -> (String, Int32) {
        let row = try IdentityRow(identity.span.bytes, "the store's identity")
        return (row.clusterID, row.storeFormat)
    }
}
