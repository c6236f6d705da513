import Glibc

/// A line on standard error that is written over again while long work goes on; for callbacks on any thread. Silent where
/// standard error is no terminal.
struct StatusLine: Sendable {
    private let isWanted: Bool

    init(isWanted: Bool) { self.isWanted = isWanted && isatty(STDERR_FILENO) == 1 }

    func show(_ text: String) {
        if isWanted { putError("\r\(text)\u{1B}[K") }
    }

    /// Leaves the line clean for what follows.
    func clear() {
        if isWanted { putError("\r\u{1B}[K") }
    }
}
