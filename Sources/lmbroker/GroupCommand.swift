import ArgumentParser
import KafkaClient

struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group",
        abstract: "List, describe, reset and delete consumer groups.",
        discussion: """
            A group is the consumers that share topics under one name, and the offsets that they have committed: how far the group \
            has come in each partition. What is left is its lag.

              lmbroker consume orders --group billing
              lmbroker group describe billing
              lmbroker group reset billing --topic orders --to-time 2026-11-22T16:00 --dry-run
            """,
        subcommands: [GroupList.self, GroupDescribe.self, GroupReset.self, GroupDelete.self]
    )
}

struct GroupList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the groups.",
        discussion: """
              lmbroker group list
              lmbroker group list --state empty --type consumer

            States: Empty (no members), Stable, PreparingRebalance and CompletingRebalance (classic), Assigning and Reconciling \
            (consumer), Dead.
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("Only groups in this state; may be given several times.", valueName: "state"))
    var state: [String] = []

    @Option(help: ArgumentHelp("Only groups of this type, classic or consumer; may be given several times.", valueName: "type"))
    var type: [String] = []

    @Flag(help: "Write one line of JSON for each group.")
    var json = false

    // Of any Kafka's, which also has share groups and Streams' own.
    private static let states = ["Empty", "Stable", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "NotReady", "Dead"]
    private static let types = ["classic", "consumer", "share", "streams"]

    func validate() throws {
        for (option, values, known) in [("--state", state, Self.states), ("--type", type, Self.types)] {
            for value in values where !known.contains(where: { $0.lowercased() == value.lowercased() }) {
                throw ValidationError("\(option): '\(value)' is none of \(known.joined(separator: ", ")).")
            }
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let out = StandardOutput()
            var table = TextTable("GROUP", "STATE", "TYPE", "PROTOCOL")
            for group in try await Admin(cluster).groups(states: state, types: type) {
                if json {
                    try out.append { bytes in
                        JSONText.object(
                            [("group", group.id), ("state", group.state), ("type", group.type), ("protocol_type", group.protocolType)], to: &bytes)
                        bytes.append(0x0a)
                    }
                } else {
                    table.add(group.id, group.state, group.type, group.protocolType)
                }
            }
            if !json { for line in table.lines { try out.print(line) } }
            try out.flush()
        }
    }
}

struct GroupDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete groups without members, and what they have committed.",
        discussion: "Who reads in such a group later begins as a new one does. There is no way back but a backup.")

    @Argument(help: "The groups' names.", completion: Completions.groups)
    var groups: [String]

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await Outcome.each(groups) { try await Admin(cluster).deleteGroup($0) }
        }
    }
}

extension JSONText {
    /// An object of texts, with the fields in this order.
    static func object(_ fields: [(name: String, value: String)], to out: inout [UInt8]) {
        for (index, field) in fields.enumerated() {
            out.append(UInt8(ascii: index == 0 ? "{" : ","))
            string(field.name, to: &out)
            out.append(UInt8(ascii: ":"))
            string(field.value, to: &out)
        }
        out.append(UInt8(ascii: "}"))
    }

    /// The text in quotes.
    static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = []
        string(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
