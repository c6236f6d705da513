import Foundation
import Testing

/// Habits that are cheaper to check than to remember.
@Suite struct TidyTests {
    private struct Source {
        let path: String
        let lines: [String]

        /// The modules that it names.
        var imports: [String] {
            lines.filter { $0.contains("import ") && !$0.hasPrefix(" ") && !$0.hasPrefix("/") }
                .compactMap { $0.split(separator: " ").last.map(String.init) }
        }
    }

    /// The package's folder: this file is Tests/TidyTests/TidyTests.swift in it.
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func sources(under folder: String) throws -> [Source] {
        let base = root.appending(path: folder)
        let files = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)
        let swift = (files?.allObjects ?? []).compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
        return try swift.map { url in
            Source(path: url.path.replacing(root.path + "/", with: ""), lines: try String(contentsOf: url, encoding: .utf8).components(separatedBy: "\n"))
        }
    }

    @Test func thereAreSourcesToCheck() throws {
        #expect(try Self.sources(under: "Sources").count > 100)
    }

    @Test func aFileIsOneIdea() throws {
        for source in try Self.sources(under: "Sources") + Self.sources(under: "Tests") where source.lines.count > 500 {
            Issue.record("\(source.path) has \(source.lines.count) lines; past 500 it is two ideas")
        }
    }

    /// Text that must not stand in the sources, and what to write instead.
    private static let banned: [(text: String, instead: String)] = [
        ("try" + "!", "handle the error, or precondition with a sentence"),
        ("as" + "! ", "use as? and say what else it can be"),
        ("fatalError" + "()", "say in a sentence which invariant broke"),
        ("print" + "(\"DEBUG", "log through swift-log"),
        ("TO" + "DO", "finish it, or put it into the issues"),
        ("FIX" + "ME", "finish it, or put it into the issues"),
    ]

    @Test func bannedTextHasAReplacement() throws {
        for source in try Self.sources(under: "Sources") {
            for (number, line) in source.lines.enumerated() {
                for ban in Self.banned where line.contains(ban.text) {
                    Issue.record("\(source.path):\(number + 1): \(ban.text): \(ban.instead)")
                }
            }
        }
    }

    /// Each step around the compiler's checks says why it holds, on the lines about it.
    @Test func uncheckedIsExplained() throws {
        for source in try Self.sources(under: "Sources") {
            for (number, line) in source.lines.enumerated() where line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") {
                let around = source.lines[max(number - 3, 0)...min(number + 3, source.lines.count - 1)]
                if !around.contains(where: { $0.contains("//") }) { Issue.record("\(source.path):\(number + 1): \(line): say why it is safe") }
            }
        }
    }

    /// What each module may import of the others. SwiftPM enforces what Package.swift says; this is what it should say.
    private static let layers: [String: Set<String>] = [
        "LMDB": ["CLMDB"],
        "KafkaProtocol": ["CISAL", "CLZ4", "CSnappy", "CZlib", "CZstd"],
        "Store": ["LMDB", "KafkaProtocol"],
        "Coordinators": ["KafkaProtocol"],
        "Broker": ["Coordinators", "KafkaProtocol", "Store"],
        "KafkaClient": ["KafkaProtocol"],
        "lmbroker": ["Broker", "CMalloc", "KafkaClient", "KafkaProtocol", "Store"],
    ]

    @Test func modulesKnowOnlyThoseBelow() throws {
        let ours = Set(Self.layers.keys).union(Self.layers.values.reduce(into: Set<String>()) { $0.formUnion($1) })
        for (module, allowed) in Self.layers {
            for source in try Self.sources(under: "Sources/\(module)") {
                for name in source.imports where ours.contains(name) { #expect(allowed.contains(name), "\(source.path) imports \(name)") }
            }
        }
    }

    /// With all of it the binary has 44 MB of ICU's tables.
    @Test func nothingImportsMoreOfFoundationThanItsEssentials() throws {
        for source in try Self.sources(under: "Sources") {
            for name in source.imports where name.hasPrefix("Foundation") { #expect(name.split(separator: ".")[0] == "FoundationEssentials", "\(source.path)") }
        }
    }
}
