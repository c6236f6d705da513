import ArgumentParser
import Store

/// `lmbroker backup DIR`: a hot copy of a store, made beside the broker that serves it.
struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy a store while its broker serves.",
        discussion: """
            The copy is one point in time of records, offsets and everything else; a broker started on it serves it as it is:

              lmbroker backup /backup/monday --data /var/lib/lmbroker
              lmbroker serve --data /backup/monday

            At full speed a copy takes the disk from producers, who then wait longer for their acknowledgements; --rate 100 leaves \
            them some. While it runs, what the broker writes over cannot be used again, so a slower copy costs more space.

            It is LMDB's own copy: mdb_copy does the same. Where the broker runs in a container of its own, send it SIGUSR1 \
            instead (lmbroker.backup.dir): processes that share a store must see each other's process ids.

            Exit status: 0 copied and synced; 1 not.
            """)

    @Argument(help: ArgumentHelp("Where to: a directory, made where it is missing, that holds no copy yet.", valueName: "directory"), completion: .directory)
    var target: String

    @Option(help: ArgumentHelp("The data directory of the broker.", valueName: "directory"), completion: .directory)
    var data = "./data"

    @Flag(help: "Leave free pages out. Slower, and meanwhile the broker's file grows by what it writes.")
    var compact = false

    @Option(help: ArgumentHelp("Write no more than this, so that producers' syncs need not wait behind the copy.", valueName: "mb/s"))
    var rate: Double?

    @Flag(help: "Say nothing unless it fails.")
    var quiet = false

    func validate() throws {
        if let rate, !(rate >= 1e-6 && rate < 1e9) { throw ValidationError("--rate is in megabytes a second, 0.000001 at least.") }
    }

    func run() throws {
        let line = StatusLine(isWanted: !quiet)
        do {
            try Store.backup(of: data, to: target, compacting: compact, bytesPerSecond: rate.map { Int($0 * 1e6) }) { done, total in
                line.show("\(Figures.bytes(Double(done))) of \(Figures.bytes(Double(total))) copied")
            }
        } catch {
            line.clear()
            throw complaint("\(error)")
        }
        line.clear()
        if !quiet { putLine("The copy is in \(target); `lmbroker verify \(target)` checks it.") }
    }
}
