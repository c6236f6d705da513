import KafkaProtocol

// Requests as a client library would make them, with the fields that vary as arguments.

extension MetadataRequest {
    init(_ names: [String]?, create: Bool = false) {
        self.init()
        topics = names.map { names in
            names.map { name in
                var topic = MetadataRequest.Topic()
                topic.name = name
                return topic
            }
        }
        allowAutoTopicCreation = create
    }

    init(ids: [Uuid]) {
        self.init()
        topics = ids.map { id in
            var topic = MetadataRequest.Topic()
            topic.topicID = id
            return topic
        }
    }
}

extension CreateTopicsRequest {
    init(_ topics: [CreateTopicsRequest.Topic], validateOnly: Bool = false) {
        self.init()
        self.topics = topics
        self.validateOnly = validateOnly
    }
}

extension CreateTopicsRequest.Topic {
    init(
        _ name: String, partitions: Int32 = -1, replicas: Int16 = -1, assignments: [[Int32]] = [], configs: [String: String?] = [:]
    ) {
        self.init()
        self.name = name
        numPartitions = partitions
        replicationFactor = replicas
        self.assignments = assignments.enumerated().map { index, brokers in
            var assignment = CreateTopicsRequest.Assignment()
            assignment.partitionIndex = Int32(index)
            assignment.brokerIDs = brokers
            return assignment
        }
        self.configs = configs.sorted { $0.key < $1.key }.map { name, value in
            var config = CreateTopicsRequest.Config()
            config.name = name
            config.value = value
            return config
        }
    }
}

extension DeleteTopicsRequest {
    init(names: [String] = [], ids: [Uuid] = []) {
        self.init()
        topicNames = names
        topics =
            names.map { name in
                var topic = DeleteTopicsRequest.Topic()
                topic.name = name
                return topic
            }
            + ids.map { id in
                var topic = DeleteTopicsRequest.Topic()
                topic.topicID = id
                return topic
            }
    }
}

extension CreatePartitionsRequest {
    init(_ name: String, total: Int32, assignments: [[Int32]]? = nil, validateOnly: Bool = false) {
        self.init()
        var topic = CreatePartitionsRequest.Topic()
        topic.name = name
        topic.count = total
        topic.assignments = assignments.map { all in
            all.map { brokers in
                var assignment = CreatePartitionsRequest.Assignment()
                assignment.brokerIDs = brokers
                return assignment
            }
        }
        topics = [topic]
        self.validateOnly = validateOnly
    }
}

extension DeleteRecordsRequest {
    init(_ name: String, _ offsets: [(partition: Int32, offset: Int64)]) {
        self.init()
        var topic = DeleteRecordsRequest.Topic()
        topic.name = name
        topic.partitions = offsets.map { index, offset in
            var partition = DeleteRecordsRequest.Partition()
            partition.partitionIndex = index
            partition.offset = offset
            return partition
        }
        topics = [topic]
    }
}

extension DescribeConfigsRequest {
    init(_ resources: [(type: Int8, name: String)], keys: [String]? = nil) {
        self.init()
        includeSynonyms = true
        includeDocumentation = true
        self.resources = resources.map { type, name in
            var resource = DescribeConfigsRequest.Resource()
            resource.resourceType = type
            resource.resourceName = name
            resource.configurationKeys = keys
            return resource
        }
    }
}

extension AlterConfigsRequest {
    init(_ type: Int8, _ name: String, _ configs: [String: String?], validateOnly: Bool = false) {
        self.init()
        var resource = AlterConfigsRequest.Resource()
        resource.resourceType = type
        resource.resourceName = name
        resource.configs = configs.map { name, value in
            var config = AlterConfigsRequest.Config()
            config.name = name
            config.value = value
            return config
        }
        resources = [resource]
        self.validateOnly = validateOnly
    }
}

extension IncrementalAlterConfigsRequest {
    init(_ type: Int8, _ name: String, _ steps: [(operation: Int8, name: String, value: String?)], validateOnly: Bool = false) {
        self.init()
        var resource = IncrementalAlterConfigsRequest.Resource()
        resource.resourceType = type
        resource.resourceName = name
        resource.configs = steps.map { operation, name, value in
            var config = IncrementalAlterConfigsRequest.Config()
            config.configOperation = operation
            config.name = name
            config.value = value
            return config
        }
        resources = [resource]
        self.validateOnly = validateOnly
    }
}
