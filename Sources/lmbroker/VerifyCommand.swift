import ArgumentParser
import Store

/// `lmbroker verify DIR`: checks a store or a copy of one against itself.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check a store or a copy: every batch's CRC, offsets, indexes, checksums.",
        discussion: """
            Reads one snapshot and changes nothing in the store, which may be in use. All of the data is read, so a large store takes \
            as long as its disk.

            Exit status: 0 all is as it should be; 1 something is not, or the directory cannot be read as a store.
            """)

    @Argument(help: ArgumentHelp("A data directory or a copy of one.", valueName: "directory"), completion: .directory)
    var directory: String

    @Flag(help: "Print the report as one JSON object.")
    var json = false

    func run() throws {
        let line = StatusLine(isWanted: !json)
        let report: VerifyReport
        do {
            report = try StoreVerifier.verify(directory: directory) { progress in
                line.show(
                    "\(Figures.count(progress.checkedExtents)) of \(Figures.count(progress.totalExtents)) extents, "
                        + "\(Figures.bytes(Double(progress.checkedBytes)))")
            }
        } catch {
            line.clear()
            throw complaint("\(error)")
        }
        line.clear()
        if json { printJSON(report) } else { printText(report) }
        if report.problemCount > 0 { throw ExitCode(1) }
    }

    private func printText(_ report: VerifyReport) {
        for problem in report.problems { putLine(problem) }
        let left = report.problemCount - report.problems.count
        if left > 0 { putLine("… and \(left) more") }
        putLine(
            "\(directory): \(report.problemCount == 0 ? "clean" : "\(report.problemCount) problems"): "
                + "\(Figures.count(report.topicCount)) topics, \(Figures.count(report.partitionCount)) partitions, "
                + "\(Figures.count(report.recordCount)) records in \(Figures.count(report.batchCount)) batches, "
                + "\(Figures.bytes(Double(report.byteCount))); \(Figures.count(report.extentCount)) extents, "
                + "\(Figures.count(report.journalEntryCount)) journal entries; "
                + "\(Figures.count(report.groupCount)) groups, \(Figures.count(report.offsetCount)) committed offsets")
    }

    private func printJSON(_ report: VerifyReport) {
        let numbers = [
            ("topics", report.topicCount), ("partitions", report.partitionCount), ("extents", report.extentCount),
            ("batches", report.batchCount), ("records", report.recordCount), ("bytes", report.byteCount),
            ("journal_entries", report.journalEntryCount), ("groups", report.groupCount),
            ("group_records", report.groupRecordCount), ("offsets", report.offsetCount), ("problem_count", report.problemCount),
        ]
        var out = Array("{\"cluster_id\":".utf8)
        JSONText.string(report.clusterID, to: &out)
        for (name, number) in numbers { out += ",\"\(name)\":\(number)".utf8 }
        out += ",\"problems\":[".utf8
        for (index, problem) in report.problems.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            JSONText.string(problem, to: &out)
        }
        out += "]}".utf8
        putLine(String(decoding: out, as: UTF8.self))
    }
}
