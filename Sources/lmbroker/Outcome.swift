import ArgumentParser
import Glibc
import KafkaClient

/// How a client command ends (the numbers are in `lmbroker --help`).
enum Outcome {
    static let refused = ExitCode(1)
    static let unreachable = ExitCode(69)
    static let interrupted = ExitCode(130)

    /// Does the work of a command; what goes wrong becomes a sentence on standard error and an exit status.
    static func of(_ work: () async throws -> Void) async throws {
        // A reader that goes away shows as a failed write, which ends the command quietly.
        signal(SIGPIPE, SIG_IGN)
        do {
            try await work()
        } catch let error as ClientError {
            complain(advice(error))
            throw status(error)
        } catch let error as StreamError {
            complain("\(error)")
            throw refused
        } catch is StandardOutput.ReaderGone {
            // Whoever read has seen enough.
        }
    }

    /// Does the same with each of several things. One that is refused does not keep the others from it; it is complained of, and the status is 1.
    static func each(_ names: [String], _ work: (String) async throws -> Void) async throws {
        var isAllDone = true
        for name in names {
            do { try await work(name) } catch let error as ClientError where status(error) == refused {
                complain(advice(error))
                isAllDone = false
            }
        }
        if !isAllDone { throw refused }
    }

    static func complain(_ sentence: String) {
        let line = "lmbroker: \(sentence)\n"
        _ = line.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func status(_ error: ClientError) -> ExitCode {
        switch error {
        case .cannotConnect, .connectionLost, .timedOut: unreachable
        default: refused
        }
    }

    private static func advice(_ error: ClientError) -> String {
        switch error {
        case .cannotConnect: "\(error); is a broker running there? `lmbroker serve` starts one, --broker names another"
        case .invalid(let sentence) where sentence.hasPrefix("there is no topic "):
            "\(sentence); `lmbroker topic list` shows those there are, `lmbroker topic create` makes one"
        default: "\(error)"
        }
    }
}
