/// Names a kind of request (https://kafka.apache.org/protocol#protocol_api_keys). Any number is representable:
/// a request of an unknown kind must still be logged or refused by its number.
public struct ApiKey: RawRepresentable, Hashable, Sendable {
    public var rawValue: Int16

    @inlinable public init(rawValue: Int16) { self.rawValue = rawValue }

    public static let produce = ApiKey(rawValue: 0)
    public static let fetch = ApiKey(rawValue: 1)
    public static let listOffsets = ApiKey(rawValue: 2)
    public static let metadata = ApiKey(rawValue: 3)
    public static let leaderAndIsr = ApiKey(rawValue: 4)
    public static let stopReplica = ApiKey(rawValue: 5)
    public static let updateMetadata = ApiKey(rawValue: 6)
    public static let controlledShutdown = ApiKey(rawValue: 7)
    public static let offsetCommit = ApiKey(rawValue: 8)
    public static let offsetFetch = ApiKey(rawValue: 9)
    public static let findCoordinator = ApiKey(rawValue: 10)
    public static let joinGroup = ApiKey(rawValue: 11)
    public static let heartbeat = ApiKey(rawValue: 12)
    public static let leaveGroup = ApiKey(rawValue: 13)
    public static let syncGroup = ApiKey(rawValue: 14)
    public static let describeGroups = ApiKey(rawValue: 15)
    public static let listGroups = ApiKey(rawValue: 16)
    public static let saslHandshake = ApiKey(rawValue: 17)
    public static let apiVersions = ApiKey(rawValue: 18)
    public static let createTopics = ApiKey(rawValue: 19)
    public static let deleteTopics = ApiKey(rawValue: 20)
    public static let deleteRecords = ApiKey(rawValue: 21)
    public static let initProducerID = ApiKey(rawValue: 22)
    public static let offsetForLeaderEpoch = ApiKey(rawValue: 23)
    public static let addPartitionsToTxn = ApiKey(rawValue: 24)
    public static let addOffsetsToTxn = ApiKey(rawValue: 25)
    public static let endTxn = ApiKey(rawValue: 26)
    public static let writeTxnMarkers = ApiKey(rawValue: 27)
    public static let txnOffsetCommit = ApiKey(rawValue: 28)
    public static let describeAcls = ApiKey(rawValue: 29)
    public static let createAcls = ApiKey(rawValue: 30)
    public static let deleteAcls = ApiKey(rawValue: 31)
    public static let describeConfigs = ApiKey(rawValue: 32)
    public static let alterConfigs = ApiKey(rawValue: 33)
    public static let alterReplicaLogDirs = ApiKey(rawValue: 34)
    public static let describeLogDirs = ApiKey(rawValue: 35)
    public static let saslAuthenticate = ApiKey(rawValue: 36)
    public static let createPartitions = ApiKey(rawValue: 37)
    public static let createDelegationToken = ApiKey(rawValue: 38)
    public static let renewDelegationToken = ApiKey(rawValue: 39)
    public static let expireDelegationToken = ApiKey(rawValue: 40)
    public static let describeDelegationToken = ApiKey(rawValue: 41)
    public static let deleteGroups = ApiKey(rawValue: 42)
    public static let electLeaders = ApiKey(rawValue: 43)
    public static let incrementalAlterConfigs = ApiKey(rawValue: 44)
    public static let alterPartitionReassignments = ApiKey(rawValue: 45)
    public static let listPartitionReassignments = ApiKey(rawValue: 46)
    public static let offsetDelete = ApiKey(rawValue: 47)
    public static let describeClientQuotas = ApiKey(rawValue: 48)
    public static let alterClientQuotas = ApiKey(rawValue: 49)
    public static let describeUserScramCredentials = ApiKey(rawValue: 50)
    public static let alterUserScramCredentials = ApiKey(rawValue: 51)
    public static let vote = ApiKey(rawValue: 52)
    public static let beginQuorumEpoch = ApiKey(rawValue: 53)
    public static let endQuorumEpoch = ApiKey(rawValue: 54)
    public static let describeQuorum = ApiKey(rawValue: 55)
    public static let alterPartition = ApiKey(rawValue: 56)
    public static let updateFeatures = ApiKey(rawValue: 57)
    public static let envelope = ApiKey(rawValue: 58)
    public static let fetchSnapshot = ApiKey(rawValue: 59)
    public static let describeCluster = ApiKey(rawValue: 60)
    public static let describeProducers = ApiKey(rawValue: 61)
    public static let brokerRegistration = ApiKey(rawValue: 62)
    public static let brokerHeartbeat = ApiKey(rawValue: 63)
    public static let unregisterBroker = ApiKey(rawValue: 64)
    public static let describeTransactions = ApiKey(rawValue: 65)
    public static let listTransactions = ApiKey(rawValue: 66)
    public static let allocateProducerIDs = ApiKey(rawValue: 67)
    public static let consumerGroupHeartbeat = ApiKey(rawValue: 68)
    public static let consumerGroupDescribe = ApiKey(rawValue: 69)
    public static let controllerRegistration = ApiKey(rawValue: 70)
    public static let getTelemetrySubscriptions = ApiKey(rawValue: 71)
    public static let pushTelemetry = ApiKey(rawValue: 72)
    public static let assignReplicasToDirs = ApiKey(rawValue: 73)
    public static let listConfigResources = ApiKey(rawValue: 74)
    public static let describeTopicPartitions = ApiKey(rawValue: 75)
    public static let shareGroupHeartbeat = ApiKey(rawValue: 76)
    public static let shareGroupDescribe = ApiKey(rawValue: 77)
    public static let shareFetch = ApiKey(rawValue: 78)
    public static let shareAcknowledge = ApiKey(rawValue: 79)
    public static let addRaftVoter = ApiKey(rawValue: 80)
    public static let removeRaftVoter = ApiKey(rawValue: 81)
    public static let updateRaftVoter = ApiKey(rawValue: 82)
    public static let initializeShareGroupState = ApiKey(rawValue: 83)
    public static let readShareGroupState = ApiKey(rawValue: 84)
    public static let writeShareGroupState = ApiKey(rawValue: 85)
    public static let deleteShareGroupState = ApiKey(rawValue: 86)
    public static let readShareGroupStateSummary = ApiKey(rawValue: 87)
}

extension ApiKey {
    /// The first version in the flexible encoding (KIP-482), which is also the first with request header version 2
    /// and response header version 1. Beyond every version for an unknown key and where there is none.
    public var flexibleFrom: Int16 {
        Self.table.indices.contains(Int(rawValue)) ? Self.table[Int(rawValue)].flexibleFrom : .max
    }

    /// True for a key that Kafka defines, whether or not it is served here.
    public var isKnown: Bool { Self.table.indices.contains(Int(rawValue)) }
}

extension ApiKey: CustomStringConvertible {
    /// Kafka's name, such as `Produce`; `API_999` for a key that Kafka does not know.
    public var name: String { isKnown ? Self.table[Int(rawValue)].name : "API_\(rawValue)" }

    public var description: String { name }

    /// By key, from 0 on.
    private static let table: [(name: String, flexibleFrom: Int16)] = [
        ("Produce", 9),
        ("Fetch", 12),
        ("ListOffsets", 6),
        ("Metadata", 9),
        ("LeaderAndIsr", 4),
        ("StopReplica", 2),
        ("UpdateMetadata", 6),
        ("ControlledShutdown", 3),
        ("OffsetCommit", 8),
        ("OffsetFetch", 6),
        ("FindCoordinator", 3),
        ("JoinGroup", 6),
        ("Heartbeat", 4),
        ("LeaveGroup", 4),
        ("SyncGroup", 4),
        ("DescribeGroups", 5),
        ("ListGroups", 3),
        ("SaslHandshake", .max),
        ("ApiVersions", 3),
        ("CreateTopics", 5),
        ("DeleteTopics", 4),
        ("DeleteRecords", 2),
        ("InitProducerId", 2),
        ("OffsetForLeaderEpoch", 4),
        ("AddPartitionsToTxn", 3),
        ("AddOffsetsToTxn", 3),
        ("EndTxn", 3),
        ("WriteTxnMarkers", 1),
        ("TxnOffsetCommit", 3),
        ("DescribeAcls", 2),
        ("CreateAcls", 2),
        ("DeleteAcls", 2),
        ("DescribeConfigs", 4),
        ("AlterConfigs", 2),
        ("AlterReplicaLogDirs", 2),
        ("DescribeLogDirs", 2),
        ("SaslAuthenticate", 2),
        ("CreatePartitions", 2),
        ("CreateDelegationToken", 2),
        ("RenewDelegationToken", 2),
        ("ExpireDelegationToken", 2),
        ("DescribeDelegationToken", 2),
        ("DeleteGroups", 2),
        ("ElectLeaders", 2),
        ("IncrementalAlterConfigs", 1),
        ("AlterPartitionReassignments", 0),
        ("ListPartitionReassignments", 0),
        ("OffsetDelete", .max),
        ("DescribeClientQuotas", 1),
        ("AlterClientQuotas", 1),
        ("DescribeUserScramCredentials", 0),
        ("AlterUserScramCredentials", 0),
        ("Vote", 0),
        ("BeginQuorumEpoch", 1),
        ("EndQuorumEpoch", 1),
        ("DescribeQuorum", 0),
        ("AlterPartition", 0),
        ("UpdateFeatures", 0),
        ("Envelope", 0),
        ("FetchSnapshot", 0),
        ("DescribeCluster", 0),
        ("DescribeProducers", 0),
        ("BrokerRegistration", 0),
        ("BrokerHeartbeat", 0),
        ("UnregisterBroker", 0),
        ("DescribeTransactions", 0),
        ("ListTransactions", 0),
        ("AllocateProducerIds", 0),
        ("ConsumerGroupHeartbeat", 0),
        ("ConsumerGroupDescribe", 0),
        ("ControllerRegistration", 0),
        ("GetTelemetrySubscriptions", 0),
        ("PushTelemetry", 0),
        ("AssignReplicasToDirs", 0),
        ("ListConfigResources", 0),
        ("DescribeTopicPartitions", 0),
        ("ShareGroupHeartbeat", 0),
        ("ShareGroupDescribe", 0),
        ("ShareFetch", 0),
        ("ShareAcknowledge", 0),
        ("AddRaftVoter", 0),
        ("RemoveRaftVoter", 0),
        ("UpdateRaftVoter", 0),
        ("InitializeShareGroupState", 0),
        ("ReadShareGroupState", 0),
        ("WriteShareGroupState", 0),
        ("DeleteShareGroupState", 0),
        ("ReadShareGroupStateSummary", 0),
    ]
}
