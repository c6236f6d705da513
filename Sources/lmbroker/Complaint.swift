import ArgumentParser
import Glibc

/// Writes to standard error, unbuffered.
func putError(_ text: String) {
    var text = text
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// Says on standard error why a command ends, and gives the exit status to end with.
func complaint(_ sentence: String) -> ExitCode {
    putError("lmbroker: \(sentence)\n")
    return ExitCode(1)
}
