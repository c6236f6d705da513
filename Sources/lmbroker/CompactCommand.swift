import ArgumentParser
import Glibc
import Store

/// `lmbroker compact DIR`: gives a stopped store's free pages back to the file system.
struct CompactCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Give a stopped broker's free pages back to the file system.",
        discussion: """
            The file of a store never shrinks by itself: what is deleted makes room for new records. This writes it anew without the \
            room, beside the old one, and then puts it in the old one's place. Interrupted, the store is what it was. The broker \
            must be stopped, and the live bytes must fit beside the old file:

              systemctl stop lmbroker
              lmbroker compact /var/lib/lmbroker
              systemctl start lmbroker

            With --min-free 50 it does nothing while less than half of the file is free, or where the directory holds no store yet, so \
            that it can stand before every start; let the start go on where it is refused, and give it time (systemd: ExecStartPre=- and \
            TimeoutStartSec=infinity). `lmbroker stat` says how much is free.

            This is not the compaction of topics with cleanup.policy=compact, which the broker does while it serves.

            Exit status: 0 done, or not needed; 1 refused or failed, and the store is what it was.
            """)

    @Argument(help: ArgumentHelp("The data directory.", valueName: "directory"), completion: .directory)
    var directory: String

    @Option(help: ArgumentHelp("Leave the file alone unless at least this share of it is free, in percent.", valueName: "percent"))
    var minFree = 0

    @Flag(help: "Say nothing unless it fails.")
    var quiet = false

    func validate() throws {
        guard (0...100).contains(minFree) else { throw ValidationError("--min-free is a percentage, from 0 to 100.") }
    }

    func run() throws {
        let line = StatusLine(isWanted: !quiet)
        let outcome: CompactionOutcome
        do {
            if minFree > 0 {
                if isUnwritten {
                    if !quiet { putLine("\(directory) holds no store yet: nothing to do.") }
                    return
                }
                let store = try StoreInspection(of: directory)
                let free = store.fileByteCount - store.usedByteCount
                guard free * 100 >= store.fileByteCount * minFree else {
                    if !quiet { putLine("\(Figures.bytes(Double(free))) of \(Figures.bytes(Double(store.fileByteCount))) are free: left alone.") }
                    return
                }
            }
            outcome = try Store.compact(directory) { done, total in
                line.show("\(Figures.bytes(Double(done))) of \(Figures.bytes(Double(total))) written")
            }
        } catch {
            line.clear()
            throw complaint("\(error)")
        }
        line.clear()
        if !quiet {
            putLine("\(directory): \(Figures.bytes(Double(outcome.byteCountAfter))), from \(Figures.bytes(Double(outcome.byteCountBefore)))")
        }
    }

    /// What a broker's first start finds: a directory without a file, or with an empty one where a start was cut short.
    private var isUnwritten: Bool {
        var file = stat()
        if stat(directory + "/data.mdb", &file) == 0 { return file.st_size == 0 }
        return errno == ENOENT && stat(directory, &file) == 0
    }
}
