public import KafkaProtocol

/// What settings belong to.
public enum ConfigResource: Sendable, Hashable, CustomStringConvertible {
    case topic(String)
    /// A broker by its id, or nil for the defaults of all brokers.
    case broker(Int32?)

    var type: Int8 {
        switch self {
        case .topic: 2
        case .broker: 4
        }
    }

    var name: String {
        switch self {
        case .topic(let name): name
        case .broker(let id): id.map(String.init) ?? ""
        }
    }

    public var description: String {
        switch self {
        case .topic(let name): "the topic \(name)"
        case .broker(let id): id.map { "broker \($0)" } ?? "all brokers"
        }
    }
}

/// One change of a setting (KIP-339).
public enum ConfigChange: Sendable, Hashable {
    case set(String)
    /// Back to the default.
    case delete
    case append(String)
    case subtract(String)

    var operation: Int8 {
        switch self {
        case .set: 0
        case .delete: 1
        case .append: 2
        case .subtract: 3
        }
    }

    var value: String? {
        switch self {
        case .set(let value), .append(let value), .subtract(let value): value
        case .delete: nil
        }
    }
}

extension Admin {
    /// The settings in force, by name.
    public func describeConfigs(_ resource: ConfigResource) async throws(ClientError) -> [DescribeConfigsResponse.Config] {
        let request = DescribeConfigsRequest {
            $0.resources = [
                DescribeConfigsRequest.Resource {
                    ($0.resourceType, $0.resourceName) = (resource.type, resource.name)
                    $0.configurationKeys = nil
                }
            ]
        }
        return try await at(resource) { (connection) async throws(ClientError) in
            guard let result = try await connection.call(request).results.first else { throw Self.silent(connection) }
            try check(result.errorCode, result.errorMessage, "the settings of \(resource) cannot be described")
            return result.configs.sorted { $0.name < $1.name }
        }
    }

    /// Changes single settings and leaves the others as they are.
    public func alterConfigs(
        _ resource: ConfigResource, _ changes: [String: ConfigChange], validateOnly: Bool = false
    ) async throws(ClientError) {
        let request = IncrementalAlterConfigsRequest {
            $0.validateOnly = validateOnly
            $0.resources = [
                IncrementalAlterConfigsRequest.Resource {
                    ($0.resourceType, $0.resourceName) = (resource.type, resource.name)
                    $0.configs = changes.sorted { $0.key < $1.key }.map { change in
                        IncrementalAlterConfigsRequest.Config {
                            ($0.name, $0.configOperation, $0.value) = (change.key, change.value.operation, change.value.value)
                        }
                    }
                }
            ]
        }
        try await at(resource) { (connection) async throws(ClientError) in
            guard let result = try await connection.call(request).responses.first else { throw Self.silent(connection) }
            try check(result.errorCode, result.errorMessage, "the settings of \(resource) cannot be changed")
        }
    }

    /// A broker's settings are asked of that broker; everything else goes to the controller.
    private func at<Result>(
        _ resource: ConfigResource, _ operation: (Connection) async throws(ClientError) -> Result
    ) async throws(ClientError) -> Result {
        if case .broker(let id?) = resource { try await atBroker(id, operation) } else { try await atController(operation) }
    }
}
