"""The messages of transactions, in the listings that `messages.py` explains."""

from wire import Api

ADD_PARTITIONS_TO_TXN = Api(24, "AddPartitionsToTxn", flexible=3, request="""
  transactions [] 4+
    transactional_id string 4+
    producer_id i64 4+
    producer_epoch i16 4+
    verify_only bool 4+ =false
    topics [] 4+
      name string 4+
      partitions []i32 4+
  transactional_id string 0-3
  producer_id i64 0-3
  producer_epoch i16 0-3
  topics [] 0-3
    name string 0-3
    partitions []i32 0-3
""", response="""
  throttle_time_ms i32
  error_code i16 4+
  results_by_transaction [] 4+
    transactional_id string 4+
    topic_results [] 4+
      name string 4+
      results_by_partition [] 4+
        partition_index i32 4+
        partition_error_code i16 4+
  results_by_topic [] 0-3
    name string 0-3
    results_by_partition [] 0-3
      partition_index i32 0-3
      partition_error_code i16 0-3
""")

ADD_OFFSETS_TO_TXN = Api(25, "AddOffsetsToTxn", flexible=3, request="""
  transactional_id string
  producer_id i64
  producer_epoch i16
  group_id string
""", response="""
  throttle_time_ms i32
  error_code i16
""")

END_TXN = Api(26, "EndTxn", flexible=3, request="""
  transactional_id string
  producer_id i64
  producer_epoch i16
  committed bool
""", response="""
  throttle_time_ms i32
  error_code i16
  producer_id i64 5+ =-1
  producer_epoch i16 5+ =-1
""")

WRITE_TXN_MARKERS = Api(27, "WriteTxnMarkers", flexible=1, request="""
  markers []
    producer_id i64
    producer_epoch i16
    transaction_result bool
    topics []
      name string
      partition_indexes []i32
    coordinator_epoch i32
""", response="""
  markers []
    producer_id i64
    topics []
      name string
      partitions []
        partition_index i32
        error_code i16
""")

TXN_OFFSET_COMMIT = Api(28, "TxnOffsetCommit", flexible=3, request="""
  transactional_id string
  group_id string
  producer_id i64
  producer_epoch i16
  generation_id i32 3+ =-1
  member_id string 3+
  group_instance_id string 3+ ?3+
  topics []
    name string
    partitions []
      partition_index i32
      committed_offset i64
      committed_leader_epoch i32 2+ =-1
      committed_metadata string ?0+
""", response="""
  throttle_time_ms i32
  topics []
    name string
    partitions []
      partition_index i32
      error_code i16
""")

DESCRIBE_TRANSACTIONS = Api(65, "DescribeTransactions", flexible=0, request="""
  transactional_ids []string
""", response="""
  throttle_time_ms i32
  transaction_states []
    error_code i16
    transactional_id string
    transaction_state string
    transaction_timeout_ms i32
    transaction_start_time_ms i64
    producer_id i64
    producer_epoch i16
    topics []
      topic string
      partitions []i32
""")

LIST_TRANSACTIONS = Api(66, "ListTransactions", flexible=0, request="""
  state_filters []string
  producer_id_filters []i64
  duration_filter i64 1+ =-1
""", response="""
  throttle_time_ms i32
  error_code i16
  unknown_state_filters []string
  transaction_states []
    transactional_id string
    producer_id i64
    transaction_state string
""")

TRANSACTION_APIS = {api.key: api for api in list(globals().values()) if isinstance(api, Api)}
