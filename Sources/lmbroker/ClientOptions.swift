import ArgumentParser
import KafkaClient
import NIOCore

/// Options of every command that talks to a broker.
struct ClientOptions: ParsableArguments {
    @Option(
        name: [.customShort("b"), .long],
        help: ArgumentHelp("A broker to ask first; give several, separated by commas, in case one is down.", valueName: "host:port"),
        transform: { text in try BrokerList(text).addresses })
    var broker: [BrokerAddress] = [BrokerAddress(host: "127.0.0.1")]

    /// - Parameter patience: How long each connection, answer and operation may take, where that is less than usual.
    func cluster(patience: Duration? = nil) -> Cluster {
        var options = Cluster.Options()
        options.operationTimeout = patience ?? .seconds(30)
        if let patience {
            options.connection.connectTimeout = TimeAmount(patience)
            options.connection.requestTimeout = TimeAmount(patience)
        }
        options.connection.clientID = "lmbroker"
        return Cluster(bootstrap: broker, options: options)
    }
}

private struct BrokerList {
    var addresses: [BrokerAddress]

    init(_ text: String) throws {
        addresses = try text.split(separator: ",").map { part in
            guard let address = BrokerAddress(String(part)) else {
                throw ValidationError("'\(part)' is not an address like 127.0.0.1:9092.")
            }
            return address
        }
        if addresses.isEmpty { throw ValidationError("--broker needs an address like 127.0.0.1:9092.") }
    }
}

/// `NAME=VALUE` on the command line.
struct Assignment: ExpressibleByArgument {
    var name: String
    var value: String

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else { return nil }
        name = String(argument[..<equals])
        value = String(argument[argument.index(after: equals)...])
    }
}
