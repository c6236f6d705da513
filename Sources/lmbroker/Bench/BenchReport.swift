/// What a benchmark has found, for people or for programs.
struct BenchReport {
    /// Of one direction: what was written, or what was read.
    struct Flow {
        var name: String
        var records: Int
        var recordsPerSecond: Double
        var bytesPerSecond: Double

        init(_ name: String, from begin: BenchMeter.Mark, to end: BenchMeter.Mark) {
            self.name = name
            records = end.records - begin.records
            (recordsPerSecond, bytesPerSecond) = end.rates(since: begin)
        }
    }

    /// What was asked for.
    enum Setting {
        case text(String)
        case count(Int)
        case rate(Double)
    }

    var workload: String
    /// In the order in which they are told.
    var settings: [(name: String, value: Setting)]
    var seconds: Double
    var flows: [Flow]
    /// Of single records; empty where none were timed.
    var latencies: [(name: String, summary: LatencySummary)] = []
    /// Records that the broker refused or did not answer in time.
    var failed = 0
    /// Of a run by the clock: records that were due by the end and not offered. Their waits until then are among the latencies.
    var late: Int?
    /// Where what is written is read: records that were delivered and not read.
    var unread: Int?

    func print(json: Bool) {
        putLine(json ? jsonText : text)
    }

    private var text: String {
        var lines: [String] = []
        for flow in flows {
            let rate = "\(Figures.count(Int(flow.recordsPerSecond.rounded()))) records/s, \(Figures.bytes(flow.bytesPerSecond))/s"
            lines.append("\(flow.name)  \(rate)  (\(Figures.count(flow.records)) records in \(Self.number(seconds, 1)) s)")
        }
        for (name, summary) in latencies where summary.count > 0 {
            let percentiles = summary.percentiles.map { "\($0.name) \(Self.milliseconds($0.ms))" }.joined(separator: ", ")
            lines.append("\(name)  \(percentiles), max \(Self.milliseconds(summary.maxMs)) ms  (\(Figures.count(summary.count)) records)")
        }
        if failed > 0 { lines.append("failed  \(Figures.count(failed)) records") }
        if let late, late > 0 { lines.append("late  \(Figures.count(late)) records were due and not offered: the rate was not held") }
        if let unread, unread > 0 { lines.append("unread  \(Figures.count(unread)) records") }
        return lines.joined(separator: "\n")
    }

    /// As many digits as the value deserves.
    private static func milliseconds(_ value: Double) -> String { number(value, value < 10 ? 2 : value < 100 ? 1 : 0) }
    private static func number(_ value: Double, _ digits: Int) -> String { Figures.decimal(value, digits: digits) }

    private var jsonText: String {
        var out = Array("{\"workload\":".utf8)
        JSONText.string(workload, to: &out)
        for (name, value) in settings {
            out += ",\"\(name)\":".utf8
            switch value {
            case .text(let text): JSONText.string(text, to: &out)
            case .count(let number): out += "\(number)".utf8
            case .rate(let number): out += "\(number)".utf8
            }
        }
        out += ",\"measured_seconds\":\(Self.number(seconds, 3)),\"failed\":\(failed)".utf8
        if let late { out += ",\"late\":\(late)".utf8 }
        if let unread { out += ",\"unread\":\(unread)".utf8 }
        for flow in flows {
            out += ",\"\(flow.name)\":{\"records\":\(flow.records),\"records_per_s\":\(Self.number(flow.recordsPerSecond, 1)),".utf8
            out += "\"mb_per_s\":\(Self.number(flow.bytesPerSecond / 1e6, 3))}".utf8
        }
        for (name, summary) in latencies {
            let values = summary.percentiles.map { "\"\($0.name)\":\(Self.number($0.ms, 3))" } + ["\"max\":\(Self.number(summary.maxMs, 3))"]
            out += ",\"\(name.replacing(" ", with: "_"))_ms\":{\"records\":\(summary.count),\(values.joined(separator: ","))}".utf8
        }
        out.append(UInt8(ascii: "}"))
        return String(decoding: out, as: UTF8.self)
    }
}
