import Foundation
import KafkaProtocol
import Testing

@Suite struct GrammarTests {
    /// All messages as `grammar.txt` holds them, so that a field that drifts is seen in review. After a change that is
    /// meant: `RECORD_GRAMMAR=1 swift test --filter GrammarTests`, and read the difference against Kafka's schemas.
    @Test func everyFieldIsWhereTheGrammarHasIt() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("grammar.txt")
        let spelled = try allRequests.flatMap { try lines($0) }.joined(separator: "\n") + "\n"
        if ProcessInfo.processInfo.environment["RECORD_GRAMMAR"] != nil {
            try spelled.write(to: path, atomically: true, encoding: .utf8)
        }
        let golden = try String(contentsOf: path, encoding: .utf8)
        let differing = spelled.split(separator: "\n").difference(from: golden.split(separator: "\n"))
        #expect(differing.isEmpty, "\(differing)")
    }

    private func lines<R: Request>(_: R.Type) throws -> [String] {
        let versions = Grammar.range(Array(R.versions))
        let flexible =
            R.versions.contains(R.flexibleFrom) ? ", flexible from \(R.flexibleFrom)" : R.flexibleFrom == .max ? "" : ", flexible"
        return ["\(R.key.rawValue) \(R.key) request \(versions)\(flexible)"]
            + (try Grammar(R.self, versions: R.versions, flexibleFrom: R.flexibleFrom).text)
            + ["\(R.key.rawValue) \(R.key) response \(versions)\(flexible)"]
            + (try Grammar(R.Response.self, versions: R.versions, flexibleFrom: R.flexibleFrom).text)
    }

    @Test func everyFieldHasAName() throws {
        for type in allRequests { #expect(try !lines(type).contains { $0.contains("?  ") || $0.contains(" ? ") }, "\(type)") }
    }

    @Test func everyFlexibleMessageEndsInTags() {
        func check<R: Request>(_: R.Type) {
            guard R.flexibleFrom != .max else { return }
            for version in R.versions {
                #expect(endsWithTags(R.self, version: version) && endsWithTags(R.Response.self, version: version), "\(R.key) \(version)")
            }
        }
        for type in allRequests { check(type) }
    }
}
