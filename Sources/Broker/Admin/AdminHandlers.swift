/// Topics, configs and the cluster.
let adminHandlers: [any Handler] = [
    MetadataHandler(), CreateTopicsHandler(), DeleteTopicsHandler(), DeleteRecordsHandler(), DescribeConfigsHandler(),
    AlterConfigsHandler(), DescribeLogDirsHandler(), CreatePartitionsHandler(), IncrementalAlterConfigsHandler(),
    DescribeClusterHandler(), DescribeTopicPartitionsHandler(), ElectLeadersHandler(), AlterPartitionReassignmentsHandler(),
    ListPartitionReassignmentsHandler(),
]
