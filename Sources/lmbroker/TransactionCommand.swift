import ArgumentParser
import KafkaClient

struct TransactionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "txn",
        abstract: "List and describe transactions, and abort those that hang.",
        discussion: """
            A producer with a transactional id writes to several partitions, and commits offsets of groups, all or nothing. While its \
            transaction is open, readers of committed records wait for its end.

              lmbroker txn list --state Ongoing
              lmbroker txn describe payments-1
              lmbroker txn abort --topic payments --partition 3
            """,
        subcommands: [TransactionList.self, TransactionDescribe.self, TransactionAbort.self]
    )
}

struct TransactionList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the transactional ids.",
        discussion: """
              lmbroker txn list
              lmbroker txn list --state Ongoing --longer-than 60

            States: Empty (nothing begun yet), Ongoing, PrepareCommit and PrepareAbort (being ended), CompleteCommit, CompleteAbort.
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: ArgumentHelp("Only ids in this state; may be given several times.", valueName: "state"))
    var state: [String] = []

    @Option(help: ArgumentHelp("Only the id that holds this producer id; may be given several times.", valueName: "id"))
    var producerID: [Int64] = []

    @Option(help: ArgumentHelp("Only transactions that have been open for longer.", valueName: "seconds"))
    var longerThan: Int64?

    @Flag(help: "Write one line of JSON for each id.")
    var json = false

    func validate() throws {
        if let longerThan, !(0...Int64.max / 1000).contains(longerThan) { throw ValidationError("--longer-than is a number of seconds from 0 on.") }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let found = try await Admin(cluster).transactions(states: state, producerIDs: producerID, longerThanMs: longerThan.map { $0 * 1000 })
            let out = StandardOutput()
            if json {
                for one in found { try out.print(one.json) }
            } else {
                var table = TextTable("TRANSACTIONAL ID", "PRODUCER", "STATE", "COORDINATOR")
                for one in found { table.add(one.id, "\(one.producerID)", one.state, "\(one.coordinator)") }
                for line in table.lines { try out.print(line) }
            }
            try out.flush()
        }
    }
}

struct TransactionDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show transactional ids: who holds them, and what they have open.",
        discussion: """
              lmbroker txn describe payments-1
              lmbroker txn describe payments-1 payments-2 --json
            """)

    @Argument(help: "The transactional ids.")
    var ids: [String]

    @OptionGroup var client: ClientOptions

    @Flag(help: "Write one line of JSON for each id.")
    var json = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            var found: [TransactionDescription] = []
            for id in ids {
                guard let one = try await Admin(cluster).describeTransaction(id) else { throw ClientError.invalid("there is no transactional id \(id)") }
                found.append(one)
            }
            let out = StandardOutput()
            for (index, one) in found.enumerated() {
                if json {
                    try out.print(one.json)
                } else {
                    if index > 0 { try out.print("") }
                    for line in one.lines { try out.print(line) }
                }
            }
            try out.flush()
        }
    }
}

struct TransactionAbort: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "abort", abstract: "Abort a transaction that hangs in a partition.",
        discussion: """
            Finds out whose transaction is open in the partition and aborts it there, so that readers of committed records go on. \
            This broker aborts all of a transaction whose id it knows, and its producer can write no more. Transactions that outlive \
            their timeout are aborted without this.

              lmbroker txn abort --topic payments --partition 3
              lmbroker txn abort --topic payments --partition 3 --producer-id 4017
            """)

    @OptionGroup var client: ClientOptions

    @Option(help: "The partition's topic.", completion: Completions.topics)
    var topic: String

    @Option(help: ArgumentHelp("The partition's number.", valueName: "n"))
    var partition: Int32

    @Option(help: ArgumentHelp("Whose transaction, when there are several.", valueName: "id"))
    var producerID: Int64?

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let place = TopicPartition(topic, partition)
            let producer = try Self.choose(try await Admin(cluster).producers(of: place), producerID, place)
            try await Admin(cluster).abortTransaction(of: producer, in: place)
            let out = StandardOutput()
            try out.print("aborted the transaction of producer \(producer.id) in \(place), open since offset \(producer.openSince ?? -1)")
            try out.flush()
        }
    }

    /// The one whose transaction is meant.
    static func choose(_ producers: [PartitionProducer], _ id: Int64?, _ place: TopicPartition) throws(ClientError) -> PartitionProducer {
        let open = producers.filter { $0.openSince != nil }
        if let id {
            guard let producer = open.first(where: { $0.id == id }) else {
                throw .invalid("producer \(id) has no transaction open in \(place)")
            }
            return producer
        }
        guard let first = open.first else { throw .invalid("no transaction is open in \(place)") }
        if open.count > 1 {
            let those = open.map { "\($0.id) (since offset \($0.openSince ?? -1))" }.joined(separator: ", ")
            throw .invalid("several transactions are open in \(place); say with --producer-id whose is meant: \(those)")
        }
        return first
    }
}

extension TransactionListing {
    fileprivate var json: String {
        "{\"transactional_id\":\(JSONText.quoted(id)),\"producer_id\":\(producerID),\"state\":\(JSONText.quoted(state))"
            + ",\"coordinator\":\(JSONText.quoted("\(coordinator)"))}"
    }
}

extension TransactionDescription {
    fileprivate var lines: [String] {
        let heading = [
            id, "state \(state)", "producer \(producerID)", "epoch \(producerEpoch)", "timeout \(Double(timeoutMs) / 1000) s",
            "coordinator \(coordinator)",
        ]
        guard let startMs else { return [heading.joined(separator: ", ")] }
        let age = Double(max(OffsetPlan.nowMs - startMs, 0)) / 1000
        var table = TextTable("TOPIC", "PARTITION")
        for partition in partitions { table.add(partition.topic, "\(partition.partition)") }
        return [(heading + ["open for \(age) s"]).joined(separator: ", "), ""] + table.lines
    }

    fileprivate var json: String {
        let places = partitions.map { "{\"topic\":\(JSONText.quoted($0.topic)),\"partition\":\($0.partition)}" }
        return "{\"transactional_id\":\(JSONText.quoted(id)),\"state\":\(JSONText.quoted(state)),\"producer_id\":\(producerID)"
            + ",\"producer_epoch\":\(producerEpoch),\"timeout_ms\":\(timeoutMs),\"start_ms\":\(startMs.map(String.init) ?? "null")"
            + ",\"coordinator\":\(JSONText.quoted("\(coordinator)")),\"partitions\":[\(places.joined(separator: ","))]}"
    }
}
