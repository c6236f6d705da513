import ArgumentParser
import FoundationEssentials
import Store

/// `lmbroker stat DIR`: how the file of a store is used, and which processes look into it.
struct StatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat",
        abstract: "Show how a store's file is used, and who holds snapshots of it.",
        discussion: """
            Changes nothing in the store, which may be in use. What is free is filled before the file grows; what is held waits for the \
            oldest reader, which is the process with the most commits behind it.

            Exit status: 0 shown; 1 the directory cannot be read as a store.
            """)

    @Argument(help: ArgumentHelp("A data directory or a copy of one.", valueName: "directory"), completion: .directory)
    var directory = "./data"

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let store: StoreInspection
        do { store = try StoreInspection(of: directory) } catch { throw complaint("\(error)") }
        if json { printJSON(store) } else { printText(store) }
    }

    private func printText(_ store: StoreInspection) {
        func size(_ byteCount: Int) -> String { Figures.bytes(Double(byteCount)) }
        putLine(
            "\(directory): \(size(store.fileByteCount)): \(size(store.usedByteCount)) in use, \(size(store.freeByteCount)) free, "
                + "\(size(store.heldByteCount)) held by readers; \(Figures.count(store.commitCount)) commits")
        var tables = TextTable("DATABASE", "ENTRIES", "SIZE")
        for table in store.tables { tables.add(table.name, Figures.count(table.entryCount), size(table.byteCount)) }
        putLine(([""] + tables.lines).joined(separator: "\n"))
        guard !store.readers.isEmpty else { return }
        var readers = TextTable("READER", "COMMAND", "COMMITS BEHIND")
        for reader in store.readers {
            readers.add("\(reader.processID)", Self.command(of: reader.processID), reader.commitsBehind.map(Figures.count) ?? "-")
        }
        putLine(([""] + readers.lines).joined(separator: "\n"))
    }

    private func printJSON(_ store: StoreInspection) {
        var out = Array("{\"cluster_id\":".utf8)
        JSONText.string(store.clusterID, to: &out)
        let numbers = [
            ("format", Int(store.format)), ("commits", store.commitCount), ("file_bytes", store.fileByteCount), ("used_bytes", store.usedByteCount),
            ("free_bytes", store.freeByteCount), ("held_bytes", store.heldByteCount),
        ]
        for (name, number) in numbers { out += ",\"\(name)\":\(number)".utf8 }
        out += ",\"databases\":[".utf8
        for (index, table) in store.tables.enumerated() {
            out += "\(index > 0 ? "," : ""){\"name\":\"\(table.name)\",\"entries\":\(table.entryCount),\"bytes\":\(table.byteCount)}".utf8
        }
        out += "],\"readers\":[".utf8
        for (index, reader) in store.readers.enumerated() {
            out += "\(index > 0 ? "," : ""){\"pid\":\(reader.processID),\"command\":".utf8
            JSONText.string(Self.command(of: reader.processID), to: &out)
            out += ",\"commits_behind\":\(reader.commitsBehind.map(String.init) ?? "null")}".utf8
        }
        out += "]}".utf8
        putLine(String(decoding: out, as: UTF8.self))
    }

    /// The name of a process of this machine, or `-`.
    private static func command(of processID: Int) -> String {
        guard let text = try? String(contentsOfFile: "/proc/\(processID)/comm", encoding: .utf8) else { return "-" }
        return String(text.prefix { !$0.isNewline })
    }
}
