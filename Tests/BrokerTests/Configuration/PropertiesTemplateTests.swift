import Foundation
import Testing

@testable import Broker

@Suite struct PropertiesTemplateTests {
    private static let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../config/lmbroker.properties")
        .standardized

    /// `LMBROKER_WRITE_PROPERTIES=1 swift test --filter PropertiesTemplateTests` writes the file anew.
    @Test func theCommittedFileIsTheTableSpelledOut() throws {
        if ProcessInfo.processInfo.environment["LMBROKER_WRITE_PROPERTIES"] != nil {
            try PropertiesTemplate.text.write(to: Self.path, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: Self.path, encoding: .utf8) == PropertiesTemplate.text)
    }

    @Test func theFileAsItStandsGivesTheDefaultsAndNoWarning() throws {
        var layers = ConfigurationLayers()
        try layers.read(file: Self.path.path)
        #expect(layers.warnings.isEmpty)
        #expect(try BrokerConfiguration(layers).topicDefaults == BrokerConfiguration.standard.topicDefaults)
    }

    @Test func theFileWithEveryKeyUncommentedGivesTheDefaultsToo() throws {
        let text = PropertiesTemplate.text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("#") && !$0.hasPrefix("# ") && !$0.hasSuffix("=") ? String($0.dropFirst()) : String($0) }
        var layers = ConfigurationLayers()
        try layers.read(text.joined(separator: "\n"), path: "file")
        #expect(layers.warnings.isEmpty)
        #expect(layers.synonyms(of: BrokerKeys.named["num.partitions"]!).map(\.source) == [.staticBroker, .defaultValue])
        #expect(try BrokerConfiguration(layers).listeners == BrokerConfiguration.standard.listeners)
    }
}
