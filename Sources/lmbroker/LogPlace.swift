import ArgumentParser
import FoundationEssentials
import KafkaClient

/// A place in a partition's log: `beginning`, `end`, an offset, or `@` and a time.
struct LogPlace: ExpressibleByArgument {
    var place: PartitionPlace

    init(_ place: PartitionPlace) { self.place = place }

    init?(argument: String) {
        switch argument {
        case "beginning", "earliest": place = .earliest
        case "end", "latest": place = .latest
        default:
            if argument.first == "@" {
                guard let time = Timestamp.milliseconds(argument.dropFirst()) else { return nil }
                place = .timestamp(time)
            } else {
                guard let offset = Int64(argument), offset >= 0 else { return nil }
                place = .offset(offset)
            }
        }
    }

    var defaultValueDescription: String { "beginning" }
}

/// Times as people write them.
enum Timestamp {
    /// Milliseconds since 1970 of `1732291200000` or `2026-11-22[T16:00[:05[.250]][Z|+01:00]]`, which is UTC when it
    /// does not say otherwise (ISO 8601). Nil for anything else.
    static func milliseconds(_ text: some StringProtocol) -> Int64? {
        if let number = Int64(text) { return number >= 0 ? number : nil }
        var scanner = Scanner(text: Array(text.utf8)[...])
        guard let year = scanner.number(4), scanner.skip("-"), let month = scanner.number(2), scanner.skip("-"),
            let day = scanner.number(2), (1...12).contains(month), day >= 1, days(year, month, day) < days(year, month + 1, 1)
        else { return nil }
        var result = days(year, month, day) * 86_400_000
        if scanner.skip("T") || scanner.skip(" ") {
            guard let time = scanner.time(), let zone = scanner.zone() else { return nil }
            result += time - zone
        }
        return scanner.text.isEmpty ? result : nil
    }

    /// `2026-11-22T16:00:05.250Z`; a time that no calendar has, as its milliseconds.
    static func spelled(_ milliseconds: Int64) -> String {
        guard everydayTimes.contains(milliseconds) else { return "\(milliseconds)" }
        // Foundation cuts off the third digit of what a Double holds, so it is given seconds only.
        let rest = (milliseconds % 1000 + 1000) % 1000
        let seconds = (milliseconds - rest) / 1000
        let digits = String(rest + 1000).dropFirst()
        return "\(Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601).dropLast()).\(digits)Z"
    }

    /// Of the years 1 to 9999.
    private static let everydayTimes: Range<Int64> = -62_135_596_800_000..<253_402_300_800_000

    /// Days since 1970 of a date of the Gregorian calendar.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        // Years begin in March here, so that the leap day is a year's last.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private struct Scanner {
        var text: ArraySlice<UInt8>

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard text.first == UInt8(ascii: character) else { return false }
            text = text.dropFirst()
            return true
        }

        mutating func number(_ digits: Int) -> Int64? {
            guard text.count >= digits, text.prefix(digits).allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            defer { text = text.dropFirst(digits) }
            return text.prefix(digits).reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }

        /// Milliseconds of `16:00[:05[.250]]`.
        mutating func time() -> Int64? {
            guard let hour = number(2), skip(":"), let minute = number(2), hour < 24, minute < 60 else { return nil }
            var result = (hour * 60 + minute) * 60_000
            guard skip(":") else { return result }
            guard let second = number(2), second < 60 else { return nil }
            result += second * 1000
            guard skip(".") else { return result }
            var unit: Int64 = 100
            guard let first = number(1) else { return nil }
            result += first * unit
            while let digit = number(1) {
                unit /= 10
                result += digit * unit
            }
            return result
        }

        /// Milliseconds that the local time is ahead of UTC.
        mutating func zone() -> Int64? {
            if text.isEmpty || skip("Z") { return 0 }
            let isAhead = skip("+")
            guard isAhead || skip("-"), let hours = number(2) else { return nil }
            _ = skip(":")
            guard let minutes = text.isEmpty ? 0 : number(2), hours < 24, minutes < 60 else { return nil }
            return (hours * 60 + minutes) * 60_000 * (isAhead ? 1 : -1)
        }
    }
}
