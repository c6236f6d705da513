internal import Glibc
internal import LMDB

/// Notices a snapshot that is held for long: the pages that were freed since then cannot be filled again, and the file grows.
///
/// LMDB's reader table has no times. The watch takes the time at which it first saw the oldest snapshot lag behind, so an age is
/// short by as much as lies between two looks.
struct ReaderWatch {
    /// How old the oldest snapshot may be before it is told, in ns.
    let ageNsMax: UInt64
    private var oldest: ReaderInformation?
    private var sinceNs: UInt64 = 0
    private var isTold = false

    init(ageNsMax: UInt64) { self.ageNsMax = ageNsMax }

    /// How long the oldest snapshot has been seen to lag behind the last commit; 0 where none does.
    func ageNs(_ nowNs: UInt64) -> UInt64 { oldest == nil ? 0 : nowNs - sinceNs }

    /// Looks at the reader table. Returns what is worth a line in the log: once when a snapshot is too old, once when it is gone.
    mutating func look(_ environment: Environment, nowNs: UInt64) -> StoreEvent? {
        let lagging = environment.laggingReader()
        guard lagging != oldest else { return tellOnce(environment, nowNs) }
        let wasTold = isTold ? oldest : nil
        let age = ageNs(nowNs)
        (oldest, sinceNs, isTold) = (lagging, nowNs, false)
        return wasTold.map { reader in
            StoreEvent(
                severity: .info,
                message: "\(name(reader)) has let go of its snapshot after \(age / 1_000_000_000) s; what it held is filled again")
        }
    }

    private mutating func tellOnce(_ environment: Environment, _ nowNs: UInt64) -> StoreEvent? {
        guard let oldest, !isTold, ageNs(nowNs) >= ageNsMax else { return nil }
        isTold = true
        let held = (try? environment.freePages().heldCount) ?? 0
        let megabytes = held * environment.information().pageByteCount >> 20
        return StoreEvent(
            severity: .warning,
            message: "\(name(oldest)) has held one snapshot for \(ageNs(nowNs) / 1_000_000_000) s; it keeps \(held) freed pages "
                + "(\(megabytes) MiB) from being filled again, and the file grows until it ends")
    }

    private func name(_ reader: ReaderInformation) -> String {
        reader.processID == Int(getpid()) ? "this broker (a backup of its own)" : "process \(reader.processID)"
    }
}
