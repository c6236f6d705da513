internal import LMDB
internal import Synchronization

/// Parked readers, each with its slot in LMDB's reader table.
final class ReaderPool: Sendable {
    private struct Parked: @unchecked Sendable {
        // Unchecked: a reader in the pool is used by nobody, and one that is lent is not in it.
        var readers: [LogReader] = []
    }

    /// What readers look into once the environment of the store has failed.
    private struct Refuge: Sendable {
        let environment: Environment
        let databases: Databases
    }

    private let parked = Mutex(Parked())
    private let loanCount = Atomic(0)
    /// Of LMDB's reader slots, the most are for those who read and let go at once.
    private static let loanCountMax = 64
    private let refuge = Mutex<Refuge?>(nil)

    /// A reader with a fresh snapshot. A meta page that could not be written makes LMDB refuse even readers
    /// (`MDB_PANIC`); from then on they look into a second, unlocked view of the file, which nobody writes any more.
    func take(_ environment: Environment, _ databases: Databases) throws(LMDBError) -> LogReader {
        do { return try takeParked(environment, databases) } catch {
            guard error == .panic else { throw error }
        }
        clear()
        let refuge = try openRefuge(environment.path)
        return try takeParked(refuge.environment, refuge.databases)
    }

    private func openRefuge(_ path: String) throws(LMDBError) -> Refuge {
        try refuge.withLock { refuge throws(LMDBError) in
            if let refuge { return refuge }
            let environment = try Environment(path: path, options: Environment.Options(readOnly: true, unlocked: true))
            let snapshot = try environment.snapshot()
            let databases = try Databases(existingIn: snapshot)
            try snapshot.commit()
            let opened = Refuge(environment: environment, databases: databases)
            refuge = opened
            return opened
        }
    }

    private func takeParked(_ environment: Environment, _ databases: Databases) throws(LMDBError) -> LogReader {
        guard let reader = parked.withLock({ UncheckedReader(reader: $0.readers.popLast()) }).reader else {
            return try LogReader(environment, databases)
        }
        try reader.snapshot.renew()
        return reader
    }

    func putBack(_ reader: LogReader) {
        reader.snapshot.park()
        let reader = UncheckedReader(reader: reader)
        parked.withLock { parked in
            if let reader = reader.reader { parked.readers.append(reader) }
        }
    }

    /// A reader for longer than a call; nil when as many are lent as may be.
    func lend(_ environment: Environment, _ databases: Databases) throws(LMDBError) -> ReaderLoan? {
        guard loanCount.wrappingAdd(1, ordering: .relaxed).newValue <= Self.loanCountMax else {
            loanCount.wrappingSubtract(1, ordering: .relaxed)
            return nil
        }
        do { return ReaderLoan(try take(environment, databases), of: self) } catch {
            loanCount.wrappingSubtract(1, ordering: .relaxed)
            throw error
        }
    }

    /// The end of a loan.
    func takeBack(_ reader: LogReader) {
        putBack(reader)
        loanCount.wrappingSubtract(1, ordering: .relaxed)
    }

    func clear() { parked.withLock { $0.readers.removeAll() } }

    /// Carries a reader over the lock's boundary.
    private struct UncheckedReader: @unchecked Sendable { let reader: LogReader? }
}
