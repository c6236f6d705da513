import Foundation
import KafkaProtocol
import Testing

@testable import Broker

/// The tables in docs/ say what the code does. `LMBROKER_WRITE_DOCUMENTS=1 swift test --filter DocumentTests` writes those
/// that are made from the code anew.
@Suite struct DocumentTests {
    private func url(_ name: String) -> URL {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs/\(name)").standardized
    }

    /// The lines between a table's marker and its end.
    private func table(_ table: String, of name: String) throws -> [String] {
        let lines = try String(contentsOf: url(name), encoding: .utf8).components(separatedBy: "\n")
        let start = try #require(lines.firstIndex(of: "<!-- table: \(table) -->"))
        let end = try #require(lines[start...].firstIndex(of: "<!-- end -->"))
        return Array(lines[(start + 1)..<end])
    }

    private func expect(_ expected: [String], asTable table: String, of name: String) throws {
        if ProcessInfo.processInfo.environment["LMBROKER_WRITE_DOCUMENTS"] != nil {
            var lines = try String(contentsOf: url(name), encoding: .utf8).components(separatedBy: "\n")
            let start = try #require(lines.firstIndex(of: "<!-- table: \(table) -->"))
            let end = try #require(lines[start...].firstIndex(of: "<!-- end -->"))
            lines.replaceSubrange((start + 1)..<end, with: expected)
            try lines.joined(separator: "\n").write(to: url(name), atomically: true, encoding: .utf8)
        }
        #expect(try self.table(table, of: name) == expected)
    }

    @Test func theTableOfBrokerKeysIsTheCodes() throws {
        var lines = ["| key | default | accepted | dynamic | |", "|---|---|---|---|---|"]
        for section in ConfigurationKey.Section.allCases {
            for key in BrokerKeys.all where key.section == section {
                let dynamic = key.scope == .dynamic ? "yes" : ""
                lines.append("| `\(key.name)` | \(key.defaultValue ?? "") | \(key.type.accepted) | \(dynamic) | \(key.documentation) |")
            }
        }
        try expect(lines, asTable: "broker keys", of: "OPERATIONS.md")
    }

    @Test func theTableOfTopicConfigsIsTheCodes() throws {
        var lines = ["| config | default | accepted | effect |", "|---|---|---|---|"]
        for key in TopicKeys.all {
            let effect: String
            switch key.effect {
            case .honoured: effect = key.documentation
            case .without(let reason): effect = "none: \(reason)"
            }
            lines.append("| `\(key.name)` | \(key.defaultValue) | \(key.type.accepted) | \(effect) |")
        }
        try expect(lines, asTable: "topic configs", of: "PROTOCOL.md")
    }

    @Test func theTableOfApisIsWhatIsOffered() throws {
        let offered = HandlerRegistry(allHandlers).offered.map { api in
            let versions = api.versions.count == 1 ? "\(api.versions.lowerBound)" : "\(api.versions.lowerBound)–\(api.versions.upperBound)"
            return "\(api.key.rawValue) \(api.key.name) \(versions)"
        }
        let documented = try table("apis", of: "PROTOCOL.md").dropFirst(2).map { row in
            row.components(separatedBy: "|")[1...3].map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
        }
        #expect(documented == offered)
    }
}
