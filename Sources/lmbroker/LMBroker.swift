import ArgumentParser
import Glibc
import Store
import Synchronization

@main
enum Program {
    /// On the main thread: the allocator is told before there is another, each of which would have memory of its own from then on.
    @MainActor static func main() async {
        holdStandardDescriptors()
        let first = CommandLine.arguments.dropFirst().first
        if first == nil || first == "serve" || first?.hasPrefix("-") == true { Heap.tighten() }
        await LMBroker.main()
        if let failure = lineFailure.withLock({ $0 }) { LMBroker.exit(withError: complaint("\(failure)")) }
    }

    /// Has something stand in for each standard stream that came closed: the next file opened would get its number, the store's perhaps, and
    /// be written into by whoever complains. Who needs a stream still finds that it does not work.
    private static func holdStandardDescriptors() {
        for (number, mode) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDWR)] where fcntl(number, F_GETFD) < 0 {
            _ = open("/dev/null", mode)
        }
    }
}

/// The command. Each subcommand is a file of its own.
struct LMBroker: AsyncParsableCommand {
    /// Of the command, and of the stores that it writes.
    static let version = "0.1.0, store format \(Store.format)"

    static let configuration = CommandConfiguration(
        commandName: "lmbroker",
        abstract: "An event-streaming broker that speaks Kafka's protocol and keeps everything in LMDB.",
        discussion: """
            A first round, with a broker running on this machine:

              lmbroker topic create greetings --partitions 4
              echo hello | lmbroker produce greetings
              lmbroker consume greetings --until-end

            The client commands work with any Kafka-compatible broker: say which with --broker. \
            `lmbroker --generate-completion-script bash` (or zsh, or fish) writes what lets the shell complete them.

            Exit status: 0 done; 1 refused or not all done, with a sentence on standard error; \
            64 the command line makes no sense; 69 no broker can be reached; 130 interrupted.
            """,
        version: version,
        subcommands: [
            ServeCommand.self, ProduceCommand.self, ConsumeCommand.self, TopicCommand.self, GroupCommand.self, TransactionCommand.self,
            ConfigCommand.self, ClusterCommand.self, BackupCommand.self, VerifyCommand.self, StatCommand.self, CompactCommand.self, BenchCommand.self,
        ],
        defaultSubcommand: ServeCommand.self
    )
}
