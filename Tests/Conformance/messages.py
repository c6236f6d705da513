"""The Kafka messages that the wire tests speak: one listing of fields per API.

A line is `name type [versions] [?versions-in-which-it-may-be-null] [tag=N] [=default]`;
nesting is indentation, `[]` an array, `{}` a single struct. `wire.py` reads and writes
every version of a message from its listing, so a test can walk the whole table that the
broker advertises. Types: i8…i64 big-endian integers, string, uuid (16 bytes), records
(length-prefixed batches).
"""

from wire import Api

PRODUCE = Api(0, "Produce", flexible=9, request="""
  transactional_id string 3+ ?3+
  acks i16
  timeout_ms i32
  topic_data []
    name string
    partition_data []
      index i32
      records records ?0+
""", response="""
  responses []
    name string
    partition_responses []
      index i32
      error_code i16
      base_offset i64
      log_append_time_ms i64 2+ =-1
      log_start_offset i64 5+ =-1
      record_errors [] 8+
        batch_index i32 8+
        batch_index_error_message string 8+ ?8+
      error_message string 8+ ?8+
      current_leader {} 10+ tag=0
        leader_id i32 10+ =-1
        leader_epoch i32 10+ =-1
  throttle_time_ms i32 1+
  node_endpoints [] 10+ tag=0
    node_id i32 10+
    host string 10+
    port i32 10+
    rack string 10+ ?10+
""")

FETCH = Api(1, "Fetch", flexible=12, request="""
  cluster_id string 12+ ?12+ tag=0
  replica_id i32 0-14 =-1
  replica_state {} 15+ tag=1
    replica_id i32 15+ =-1
    replica_epoch i64 15+ =-1
  max_wait_ms i32
  min_bytes i32
  max_bytes i32 3+ =0x7fffffff
  isolation_level i8 4+
  session_id i32 7+
  session_epoch i32 7+ =-1
  topics []
    topic string 0-12
    topic_id uuid 13+
    partitions []
      partition i32
      current_leader_epoch i32 9+ =-1
      fetch_offset i64
      last_fetched_epoch i32 12+ =-1
      log_start_offset i64 5+ =-1
      partition_max_bytes i32
      replica_directory_id uuid 17+ tag=0
  forgotten_topics_data [] 7+
    topic string 7-12
    topic_id uuid 13+
    partitions []i32 7+
  rack_id string 11+
""", response="""
  throttle_time_ms i32 1+
  error_code i16 7+
  session_id i32 7+
  responses []
    topic string 0-12
    topic_id uuid 13+
    partitions []
      partition_index i32
      error_code i16
      high_watermark i64
      last_stable_offset i64 4+ =-1
      log_start_offset i64 5+ =-1
      diverging_epoch {} 12+ tag=0
        epoch i32 12+ =-1
        end_offset i64 12+ =-1
      current_leader {} 12+ tag=1
        leader_id i32 12+ =-1
        leader_epoch i32 12+ =-1
      snapshot_id {} 12+ tag=2
        end_offset i64 =-1
        epoch i32 =-1
      aborted_transactions [] 4+ ?4+
        producer_id i64 4+
        first_offset i64 4+
      preferred_read_replica i32 11+ =-1
      records records ?0+
  node_endpoints [] 16+ tag=0
    node_id i32 16+
    host string 16+
    port i32 16+
    rack string 16+ ?16+
""")

LIST_OFFSETS = Api(2, "ListOffsets", flexible=6, request="""
  replica_id i32
  isolation_level i8 2+
  topics []
    name string
    partitions []
      partition_index i32
      current_leader_epoch i32 4+ =-1
      timestamp i64
      max_num_offsets i32 0 =1
  timeout_ms i32 10+
""", response="""
  throttle_time_ms i32 2+
  topics []
    name string
    partitions []
      partition_index i32
      error_code i16
      old_style_offsets []i64 0
      timestamp i64 1+ =-1
      offset i64 1+ =-1
      leader_epoch i32 4+ =-1
""")

METADATA = Api(3, "Metadata", flexible=9, request="""
  topics [] ?1+
    topic_id uuid 10+
    name string ?10+
  allow_auto_topic_creation bool 4+ =true
  include_cluster_authorized_operations bool 8-10
  include_topic_authorized_operations bool 8+
""", response="""
  throttle_time_ms i32 3+
  brokers []
    node_id i32
    host string
    port i32
    rack string 1+ ?1+
  cluster_id string 2+ ?2+
  controller_id i32 1+ =-1
  topics []
    error_code i16
    name string ?12+
    topic_id uuid 10+
    is_internal bool 1+
    partitions []
      error_code i16
      partition_index i32
      leader_id i32
      leader_epoch i32 7+ =-1
      replica_nodes []i32
      isr_nodes []i32
      offline_replicas []i32 5+
    topic_authorized_operations i32 8+ =-2147483648
  cluster_authorized_operations i32 8-10 =-2147483648
  error_code i16 13+
""")

FIND_COORDINATOR = Api(10, "FindCoordinator", flexible=3, request="""
  key string 0-3
  key_type i8 1+
  coordinator_keys []string 4+
""", response="""
  throttle_time_ms i32 1+
  error_code i16 0-3
  error_message string 1-3 ?1-3
  node_id i32 0-3
  host string 0-3
  port i32 0-3
  coordinators [] 4+
    key string 4+
    node_id i32 4+
    host string 4+
    port i32 4+
    error_code i16 4+
    error_message string 4+ ?4+
""")

API_VERSIONS = Api(18, "ApiVersions", flexible=3, request="""
  client_software_name string 3+
  client_software_version string 3+
""", response="""
  error_code i16
  api_keys []
    api_key i16
    min_version i16
    max_version i16
  throttle_time_ms i32 1+
  supported_features [] 3+ tag=0
    name string 3+
    min_version i16 3+
    max_version i16 3+
  finalized_features_epoch i64 3+ tag=1 =-1
  finalized_features [] 3+ tag=2
    name string 3+
    max_version_level i16 3+
    min_version_level i16 3+
  zk_migration_ready bool 3+ tag=3
""")

CREATE_TOPICS = Api(19, "CreateTopics", flexible=5, request="""
  topics []
    name string
    num_partitions i32
    replication_factor i16
    assignments []
      partition_index i32
      broker_ids []i32
    configs []
      name string
      value string ?0+
  timeout_ms i32 =60000
  validate_only bool 1+
""", response="""
  throttle_time_ms i32 2+
  topics []
    name string
    topic_id uuid 7+
    error_code i16
    error_message string 1+ ?0+
    topic_config_error_code i16 5+ tag=0
    num_partitions i32 5+ =-1
    replication_factor i16 5+ =-1
    configs [] 5+ ?5+
      name string 5+
      value string 5+ ?5+
      read_only bool 5+
      config_source i8 5+ =-1
      is_sensitive bool 5+
""")

DELETE_TOPICS = Api(20, "DeleteTopics", flexible=4, request="""
  topics [] 6+
    name string 6+ ?6+
    topic_id uuid 6+
  topic_names []string 0-5
  timeout_ms i32
""", response="""
  throttle_time_ms i32 1+
  responses []
    name string ?6+
    topic_id uuid 6+
    error_code i16
    error_message string 5+ ?5+
""")

DELETE_RECORDS = Api(21, "DeleteRecords", flexible=2, request="""
  topics []
    name string
    partitions []
      partition_index i32
      offset i64
  timeout_ms i32
""", response="""
  throttle_time_ms i32
  topics []
    name string
    partitions []
      partition_index i32
      low_watermark i64
      error_code i16
""")

INIT_PRODUCER_ID = Api(22, "InitProducerId", flexible=2, request="""
  transactional_id string ?0+
  transaction_timeout_ms i32
  producer_id i64 3+ =-1
  producer_epoch i16 3+ =-1
""", response="""
  throttle_time_ms i32
  error_code i16
  producer_id i64 =-1
  producer_epoch i16
""")

OFFSET_FOR_LEADER_EPOCH = Api(23, "OffsetForLeaderEpoch", flexible=4, request="""
  replica_id i32 3+ =-2
  topics []
    topic string
    partitions []
      partition i32
      current_leader_epoch i32 2+ =-1
      leader_epoch i32
""", response="""
  throttle_time_ms i32 2+
  topics []
    topic string
    partitions []
      error_code i16
      partition i32
      leader_epoch i32 1+ =-1
      end_offset i64 =-1
""")

DESCRIBE_CONFIGS = Api(32, "DescribeConfigs", flexible=4, request="""
  resources []
    resource_type i8
    resource_name string
    configuration_keys []string ?0+
  include_synonyms bool 1+
  include_documentation bool 3+
""", response="""
  throttle_time_ms i32
  results []
    error_code i16
    error_message string ?0+
    resource_type i8
    resource_name string
    configs []
      name string
      value string ?0+
      read_only bool
      is_default bool 0
      config_source i8 1+ =-1
      is_sensitive bool
      synonyms [] 1+
        name string 1+
        value string 1+ ?0+
        source i8 1+
      config_type i8 3+
      documentation string 3+ ?0+
""")

ALTER_CONFIGS = Api(33, "AlterConfigs", flexible=2, request="""
  resources []
    resource_type i8
    resource_name string
    configs []
      name string
      value string ?0+
  validate_only bool
""", response="""
  throttle_time_ms i32
  responses []
    error_code i16
    error_message string ?0+
    resource_type i8
    resource_name string
""")

DESCRIBE_LOG_DIRS = Api(35, "DescribeLogDirs", flexible=2, request="""
  topics [] ?0+
    topic string
    partitions []i32
""", response="""
  throttle_time_ms i32
  error_code i16 3+
  results []
    error_code i16
    log_dir string
    topics []
      name string
      partitions []
        partition_index i32
        partition_size i64
        offset_lag i64
        is_future_key bool
    total_bytes i64 4+ =-1
    usable_bytes i64 4+ =-1
""")

CREATE_PARTITIONS = Api(37, "CreatePartitions", flexible=2, request="""
  topics []
    name string
    count i32
    assignments [] ?0+
      broker_ids []i32
  timeout_ms i32
  validate_only bool
""", response="""
  throttle_time_ms i32
  results []
    name string
    error_code i16
    error_message string ?0+
""")

ELECT_LEADERS = Api(43, "ElectLeaders", flexible=2, request="""
  election_type i8 1+
  topic_partitions [] ?0+
    topic string
    partitions []i32
  timeout_ms i32
""", response="""
  throttle_time_ms i32
  error_code i16 1+
  replica_election_results []
    topic string
    partition_result []
      partition_id i32
      error_code i16
      error_message string ?0+
""")

ALTER_PARTITION_REASSIGNMENTS = Api(45, "AlterPartitionReassignments", flexible=0, request="""
  timeout_ms i32
  topics []
    name string
    partitions []
      partition_index i32
      replicas []i32 ?0+
""", response="""
  throttle_time_ms i32
  error_code i16
  error_message string ?0+
  responses []
    name string
    partitions []
      partition_index i32
      error_code i16
      error_message string ?0+
""")

LIST_PARTITION_REASSIGNMENTS = Api(46, "ListPartitionReassignments", flexible=0, request="""
  timeout_ms i32
  topics [] ?0+
    name string
    partition_indexes []i32
""", response="""
  throttle_time_ms i32
  error_code i16
  error_message string ?0+
  topics []
    name string
    partitions []
      partition_index i32
      replicas []i32
      adding_replicas []i32
      removing_replicas []i32
""")

INCREMENTAL_ALTER_CONFIGS = Api(44, "IncrementalAlterConfigs", flexible=1, request="""
  resources []
    resource_type i8
    resource_name string
    configs []
      name string
      config_operation i8
      value string ?0+
  validate_only bool
""", response="""
  throttle_time_ms i32
  responses []
    error_code i16
    error_message string ?0+
    resource_type i8
    resource_name string
""")

DESCRIBE_CLUSTER = Api(60, "DescribeCluster", flexible=0, request="""
  include_cluster_authorized_operations bool
  endpoint_type i8 1+ =1
  include_fenced_brokers bool 2+
""", response="""
  throttle_time_ms i32
  error_code i16
  error_message string ?0+
  endpoint_type i8 1+ =1
  cluster_id string
  controller_id i32 =-1
  brokers []
    broker_id i32
    host string
    port i32
    rack string ?0+
    is_fenced bool 2+
  cluster_authorized_operations i32 =-2147483648
""")

DESCRIBE_PRODUCERS = Api(61, "DescribeProducers", flexible=0, request="""
  topics []
    name string
    partition_indexes []i32
""", response="""
  throttle_time_ms i32
  topics []
    name string
    partitions []
      partition_index i32
      error_code i16
      error_message string ?0+
      active_producers []
        producer_id i64
        producer_epoch i32
        last_sequence i32 =-1
        last_timestamp i64 =-1
        coordinator_epoch i32
        current_txn_start_offset i64 =-1
""")

DESCRIBE_TOPIC_PARTITIONS = Api(75, "DescribeTopicPartitions", flexible=0, request="""
  topics []
    name string
  response_partition_limit i32 =2000
  cursor {} ?0+
    topic_name string
    partition_index i32
""", response="""
  throttle_time_ms i32
  topics []
    error_code i16
    name string ?0+
    topic_id uuid
    is_internal bool
    partitions []
      error_code i16
      partition_index i32
      leader_id i32
      leader_epoch i32 =-1
      replica_nodes []i32
      isr_nodes []i32
      eligible_leader_replicas []i32 ?0+
      last_known_elr []i32 ?0+
      offline_replicas []i32
    topic_authorized_operations i32 =-2147483648
  next_cursor {} ?0+
    topic_name string
    partition_index i32
""")

ALL = {api.key: api for api in list(globals().values()) if isinstance(api, Api)}
