import Glibc

/// A line on standard error that tells how far long work has come. Silent where standard error is no terminal, and in
/// the first second.
struct ProgressLine {
    private let isWanted: Bool
    /// How much there will be in all, where that is known.
    private let total: Int?
    private let started = ContinuousClock.now
    private var shown: ContinuousClock.Instant?

    init(isWanted: Bool = true, of total: Int? = nil) {
        self.isWanted = isWanted && isatty(STDERR_FILENO) == 1
        self.total = total
    }

    /// Shows how much is done, twice a second at the most.
    mutating func show(records: Int, bytes: Int) {
        guard isWanted else { return }
        let now = ContinuousClock.now
        guard now - (shown ?? started) > (shown == nil ? .seconds(1) : .milliseconds(500)) else { return }
        shown = now
        let rate = Double(bytes) / max((now - started) / .seconds(1), 0.001)
        put("\r\(Figures.count(records)) records, \(Figures.bytes(Double(bytes))), \(Figures.bytes(rate))/s\(rest(bytes, rate))\u{1B}[K")
    }

    private func rest(_ bytes: Int, _ rate: Double) -> String {
        guard let total, total > 0, rate > 0 else { return "" }
        return ", \(min(bytes * 100 / total, 100)) %, \(Figures.duration(Double(max(total - bytes, 0)) / rate)) left"
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

    /// `1234.50`, rounded to so many digits behind the point.
    static func decimal(_ number: Double, digits: Int) -> String {
        let unit = (0..<digits).reduce(1) { unit, _ in unit * 10 }
        let units = Int((abs(number) * Double(unit)).rounded())
        let fraction = digits > 0 ? "." + String(units % unit + unit).dropFirst() : ""
        return (number < 0 && units > 0 ? "-" : "") + "\(units / unit)" + fraction
    }

    /// `42 s`, `3 min 20 s`, `2 h 5 min`.
    static func duration(_ seconds: Double) -> String {
        let seconds = Int(seconds.rounded(.up))
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
        return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
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
