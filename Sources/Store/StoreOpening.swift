internal import Glibc
internal import KafkaProtocol
internal import LMDB

/// Everything that must hold before a directory is served: it is ours alone, it is a store, we know its format.
struct StoreOpening {
    let lock: DirectoryLock
    let environment: Environment
    let databases: Databases
    let identity: IdentityRow
    /// The older format that the store had until now.
    let raisedFrom: Int32?

    init(_ directory: String, _ options: StoreOptions) throws(StoreError) {
        try Self.prepare(directory)
        lock = try DirectoryLock(directory)
        do {
            environment = try Self.openEnvironment(
                directory, Environment.Options(mapByteCount: options.mapByteCount, readersMax: options.readersMax))
            (databases, identity, raisedFrom) = try Self.identify(environment, directory)
        } catch {
            lock.release()
            throw error
        }
    }

    /// Makes the directory, or refuses one that holds other things.
    private static func prepare(_ directory: String) throws(StoreError) {
        if mkdir(directory, 0o750) == 0 { return }
        guard errno == EEXIST else {
            throw .cannotOpen("the data directory \(directory) cannot be made: \(String(cString: strerror(errno)))")
        }
        guard let listing = opendir(directory) else {
            throw .cannotOpen("the data directory \(directory) cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { closedir(listing) }
        var others: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name == "data.mdb" { return }
            if ![".", "..", "lost+found", "lock.mdb"].contains(name) { others.append(name) }
        }
        if others.contains("data.mdb.partial") {
            throw .cannotOpen("\(directory) is not a store: it holds what an interrupted copy has left (data.mdb.partial); make the copy again")
        }
        if let other = others.min() {
            throw .cannotOpen(
                "\(directory) is not a store: it holds no data.mdb but other files (\(other)…); name an empty or new directory with --data")
        }
    }

    /// Opens what is whole. Everything that is read later may be looked for in the map without fear.
    private static func openEnvironment(_ directory: String, _ options: Environment.Options) throws(StoreError) -> Environment {
        let environment = try openFile(directory, options)
        let missing = try lmdb("opening the store in \(directory)") { () throws(LMDBError) in try environment.missingPageCount() }
        guard missing == 0 else {
            throw .cannotOpen(
                "\(directory)/data.mdb is cut off: \(missing) of its \(environment.information().pageCount) pages are missing, as when a copy was interrupted; "
                    + "make the copy again, or use another one")
        }
        return environment
    }

    private static func openFile(_ directory: String, _ options: Environment.Options) throws(StoreError) -> Environment {
        do { return try Environment(path: directory, options: options) } catch {
            switch error {
            case .invalid: throw .cannotOpen("\(directory)/data.mdb is not an LMDB environment, so \(directory) is not a store")
            case .versionMismatch:
                throw .cannotOpen("\(directory)/data.mdb was written by another version of LMDB than this one, whose format it cannot read")
            default:
                let lockFile = lockFile(of: directory)
                guard error.code == EACCES, access(lockFile, F_OK) == 0, access(lockFile, R_OK | W_OK) != 0 else {
                    throw .cannotOpen("the store in \(directory) cannot be opened: \(error)")
                }
                throw .cannotOpen(
                    "the store in \(directory) cannot be opened: this user may not write \(lockFile). Give it the owner of data.mdb, or delete it while nothing has the store open"
                )
            }
        }
    }

    /// Makes the databases that are missing, and in the same commit says so: the format is that of what is there.
    private static func identify(
        _ environment: Environment, _ directory: String
    ) throws(StoreError) -> (Databases, IdentityRow, raisedFrom: Int32?) {
        try check(environment, directory)
        return try lmdb("opening the store in \(directory)") { () throws(LMDBError) in
            var transaction = try environment.begin()
            let databases = try Databases(creatingIn: &transaction)
            var identity = IdentityRow()
            var raisedFrom: Int32?
            var stored: [UInt8]?
            if let row = try transaction.value("identity", in: databases.meta) { stored = row.withUnsafeBytes { Array($0) } }
            if let stored {
                // `check` has read it already.
                identity = (try? IdentityRow(stored.span.bytes, "the store's identity")) ?? identity
                if identity.storeFormat < Databases.format {
                    raisedFrom = identity.storeFormat
                    identity.storeFormat = Databases.format
                    try transaction.put("identity", identity.encoded(), in: databases.meta)
                }
            } else {
                identity.clusterID = Uuid.random().description
                identity.storeID = .random()
                identity.createdMs = wallClockMs()
                try transaction.put("identity", identity.encoded(), in: databases.meta)
            }
            try transaction.commit()
            return (databases, identity, raisedFrom)
        }
    }

    /// Opens a store to look at it, also one that is being served; only its lock file is made where there is none. Or `unlocked` where the caller keeps everyone else out.
    static func openToRead(
        _ directory: String, mapByteCount: Int = StoreOptions().mapByteCount, unlocked: Bool = false
    ) throws(StoreError) -> (environment: Environment, identity: IdentityRow?) {
        let isLockFileNew = !unlocked && access(lockFile(of: directory), F_OK) != 0
        let environment = try openEnvironment(
            directory,
            Environment.Options(mapByteCount: mapByteCount, readersMax: StoreOptions().readersMax, readOnly: true, unlocked: unlocked))
        if isLockFileNew { giveLockFile(of: directory) }
        return (environment, try check(environment, directory))
    }

    private static func lockFile(of directory: String) -> String { directory + "/lock.mdb" }

    /// Gives it to the owner of the store, for whom it is to be writable when he serves it. Only root may give a file away; for anybody else
    /// the owner is right already, or cannot be made so.
    private static func giveLockFile(of directory: String) {
        var data = stat()
        if stat(directory + "/data.mdb", &data) == 0 { _ = chown(lockFile(of: directory), data.st_uid, data.st_gid) }
    }

    /// Refuses what is no store, one of a newer format, and one that is not whole, before anything is written to it.
    /// - Returns: what the store says it is; nil in a fresh environment.
    @discardableResult
    static func check(_ environment: Environment, _ directory: String) throws(StoreError) -> IdentityRow? {
        let snapshot = try lmdb("opening the store in \(directory)") { () throws(LMDBError) in try environment.snapshot() }
        // A fresh environment has written nothing yet.
        if snapshot.transactionID == 0 { return nil }
        guard let meta = try? snapshot.database("meta") else {
            throw .cannotOpen("\(directory)/data.mdb is an LMDB environment but not a store of lmbroker")
        }
        let row = try lmdb("opening the store in \(directory)") { () throws(LMDBError) in
            guard let bytes = try snapshot.value("identity", in: meta) else { return nil as [UInt8]? }
            return bytes.withUnsafeBytes { Array($0) }
        }
        guard let row else {
            throw .cannotOpen("\(directory)/data.mdb is an LMDB environment but not a store of lmbroker")
        }
        let identity = try IdentityRow(row.span.bytes, "the store's identity")
        guard identity.storeFormat <= Databases.format else {
            throw .cannotOpen(
                "the store in \(directory) has format \(identity.storeFormat); this lmbroker reads up to \(Databases.format). Use the version that wrote it, or a later one"
            )
        }
        for name in Databases.names(inFormat: identity.storeFormat) where (try? snapshot.database(name)) == nil {
            throw .cannotOpen("the store in \(directory) has no database '\(name)', and one of format \(identity.storeFormat) has; use a whole copy")
        }
        return identity
    }
}

/// Keeps a second broker out of a data directory. Copies and tools that only read do not need it.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// The lock is on `data.mdb` itself, made empty where it is missing (LMDB takes an empty file for a new one), so that the
    /// directory holds nothing but the environment.
    init(_ directory: String) throws(StoreError) {
        let path = directory + "/data.mdb"
        while true {
            let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
            guard descriptor >= 0 else { throw .cannotOpen("\(path) cannot be opened: \(String(cString: strerror(errno)))") }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                Glibc.close(descriptor)
                throw .cannotOpen("the data directory \(directory) is in use by another broker")
            }
            // A compaction that ended in between has put another file in its place.
            if isFile(descriptor, named: path) {
                self.descriptor = descriptor
                return
            }
            Glibc.close(descriptor)
        }
    }

    /// Called once.
    func release() { Glibc.close(descriptor) }
}
