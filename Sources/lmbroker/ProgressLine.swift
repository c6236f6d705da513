import Glibc

/// A line on standard error that tells how far long work has come. Silent where standard error is no terminal, and in
/// the first second.
struct ProgressLine {
    private let isWanted: Bool
    private let started = ContinuousClock.now
    private var shown: ContinuousClock.Instant?

    init(isWanted: Bool = true) { self.isWanted = isWanted && isatty(STDERR_FILENO) == 1 }

    /// Shows how much is done, twice a second at the most.
    mutating func show(records: Int, bytes: Int) {
        guard isWanted else { return }
        let now = ContinuousClock.now
        guard now - (shown ?? started) > (shown == nil ? .seconds(1) : .milliseconds(500)) else { return }
        shown = now
        let rate = Double(bytes) / max((now - started) / .seconds(1), 0.001)
        put("\r\(Figures.count(records)) records, \(Figures.bytes(Double(bytes))), \(Figures.bytes(rate))/s\u{1B}[K")
    }

    /// Leaves the line clean for what follows.
    mutating func clear() {
        if shown != nil { put("\r\u{1B}[K") }
        shown = nil
    }

    private func put(_ text: String) {
        _ = text.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// Numbers as people read them.
enum Figures {
    /// `1,234,567`.
    static func count(_ number: Int) -> String {
        var digits = Array(String(abs(number)))
        var position = digits.count - 3
        while position > 0 {
            digits.insert(",", at: position)
            position -= 3
        }
        return (number < 0 ? "-" : "") + String(digits)
    }

    /// `12.3 MB`, in powers of ten.
    static func bytes(_ number: Double) -> String {
        var number = number
        for unit in ["B", "kB", "MB", "GB"] {
            if number < 1000 { return unit == "B" ? "\(Int(number)) B" : "\(Double(Int(number * 10)) / 10) \(unit)" }
            number /= 1000
        }
        return "\(Double(Int(number * 10)) / 10) TB"
    }
}
