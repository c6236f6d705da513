import ArgumentParser
import KafkaClient

/// What a shell offers for names that only a broker knows: it asks the one that the command line names, and waits a second for an answer.
enum Completions {
    static let topics = CompletionKind.custom { words, _, prefix in
        await names(words, prefix) { try await $0.topics().filter { !$0.isInternal }.map(\.name) }
    }

    static let groups = CompletionKind.custom { words, _, prefix in
        await names(words, prefix) { try await $0.groups().map(\.id) }
    }

    /// None when the broker does not answer: a shell has nowhere to show why.
    private static func names(_ words: [String], _ prefix: String, of list: (Admin) async throws -> [String]) async -> [String] {
        guard let client = try? ClientOptions.parse(brokerArguments(words)) else { return [] }
        let cluster = client.cluster(patience: .seconds(1))
        defer { cluster.close() }
        let names = (try? await list(Admin(cluster))) ?? []
        return names.filter { $0.hasPrefix(prefix) }.sorted()
    }

    /// What the words say of the broker.
    private static func brokerArguments(_ words: [String]) -> [String] {
        guard let place = words.firstIndex(where: { ["-b", "--broker"].contains($0) }), place + 1 < words.endIndex else { return [] }
        return ["--broker", words[place + 1]]
    }
}
