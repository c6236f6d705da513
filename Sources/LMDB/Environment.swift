internal import CLMDB

/// One memory-mapped environment. Snapshots may be taken on any thread; at most one transaction writes at a time.
///
/// Opened with `MDB_NOTLS`, so that a snapshot may move between threads. Every commit is synced: neither `MDB_NOSYNC`
/// nor `MDB_WRITEMAP` is ever used. The kernel reads ahead until `expectScatteredReads` is called.
@safe public final class Environment: @unchecked Sendable {
    // Unchecked: LMDB guards its environment handle with its own locks.
    let handle: OpaquePointer
    public let path: String

    public struct Options: Sendable {
        /// Address space set aside for the map, in bytes; the file grows only as far as it is filled.
        public var mapByteCount: Int
        public var namedDatabasesMax: UInt32
        /// Reader slots, shared by all processes that open the environment.
        public var readersMax: UInt32
        /// Opened by a process that must not write, also beside a live writer.
        public var readOnly: Bool
        /// Without LMDB's lock file (`MDB_NOLOCK`): only to read, and only while nobody can write.
        public var unlocked: Bool

        public init(
            mapByteCount: Int = 1 << 40, namedDatabasesMax: UInt32 = 16, readersMax: UInt32 = 1024, readOnly: Bool = false,
            unlocked: Bool = false
        ) {
            self.mapByteCount = mapByteCount
            self.namedDatabasesMax = namedDatabasesMax
            self.readersMax = readersMax
            self.readOnly = readOnly
            self.unlocked = unlocked
        }
    }

    /// Opens the environment in the directory `path`, creating its files unless `readOnly`.
    public init(path: String, options: Options = Options()) throws(LMDBError) {
        var created: OpaquePointer?
        try unsafe check(mdb_env_create(&created))
        guard let environment = unsafe created else { throw LMDBError(code: MDB_PANIC) }
        unsafe handle = environment
        self.path = path
        try unsafe check(mdb_env_set_mapsize(environment, options.mapByteCount))
        try unsafe check(mdb_env_set_maxdbs(environment, options.namedDatabasesMax))
        try unsafe check(mdb_env_set_maxreaders(environment, options.readersMax))
        var flags = UInt32(MDB_NOTLS)
        if options.readOnly { flags |= UInt32(MDB_RDONLY) }
        if options.unlocked { flags |= UInt32(MDB_NOLOCK) }
        try unsafe check(mdb_env_open(environment, path, flags, 0o644))
    }

    deinit { unsafe mdb_env_close(handle) }

    /// A read-only view of the last committed state.
    public func snapshot() throws(LMDBError) -> Snapshot { try Snapshot(self) }

    /// Begins the write transaction, waiting for another process's to end.
    public func begin() throws(LMDBError) -> Transaction { try Transaction(self) }

    /// Runs `body` in the write transaction and commits it; a throw aborts it.
    public func write<R: ~Copyable>(_ body: (inout Transaction) throws(LMDBError) -> R) throws(LMDBError) -> R {
        var transaction = try begin()
        let result = try body(&transaction)
        try transaction.commit()
        return result
    }

    /// The longest key, in bytes (511 unless LMDB was built otherwise).
    public var keyByteCountMax: Int { Int(unsafe mdb_env_get_maxkeysize(handle)) }
}

/// A named database. A handle is opened once and serves every later transaction and snapshot.
public struct Database: Sendable, Equatable {
    let index: MDB_dbi
}

/// How a database orders and treats its keys.
public enum KeyOrder: Sendable {
    /// Byte strings, compared as `memcmp` does.
    case bytes
    /// Unsigned 64-bit integers in the machine's byte order.
    case integers

    var flags: UInt32 { self == .integers ? UInt32(MDB_INTEGERKEY) : 0 }
}
