"""The messages of consumer groups and their offsets, in the listings that `messages.py` explains.

Also here: the two little formats that consumers of the classic protocol wrap in JoinGroup and
SyncGroup, which the broker keeps without reading (KIP-429 for their versions).
"""

import struct

from wire import Api

OFFSET_COMMIT = Api(8, "OffsetCommit", flexible=8, request="""
  group_id string
  generation_id_or_member_epoch i32 1+ =-1
  member_id string 1+
  group_instance_id string 7+ ?7+
  retention_time_ms i64 2-4 =-1
  topics []
    name string
    partitions []
      partition_index i32
      committed_offset i64
      committed_leader_epoch i32 6+ =-1
      committed_metadata string ?0+
""", response="""
  throttle_time_ms i32 3+
  topics []
    name string
    partitions []
      partition_index i32
      error_code i16
""")

OFFSET_FETCH = Api(9, "OffsetFetch", flexible=6, request="""
  group_id string 0-7
  topics [] 0-7 ?2-7
    name string 0-7
    partition_indexes []i32 0-7
  groups [] 8+
    group_id string 8+
    member_id string 9+ ?9+
    member_epoch i32 9+ =-1
    topics [] 8+ ?8+
      name string 8+
      partition_indexes []i32 8+
  require_stable bool 7+
""", response="""
  throttle_time_ms i32 3+
  topics [] 0-7
    name string 0-7
    partitions [] 0-7
      partition_index i32 0-7
      committed_offset i64 0-7
      committed_leader_epoch i32 5-7 =-1
      metadata string 0-7 ?0-7
      error_code i16 0-7
  error_code i16 2-7
  groups [] 8+
    group_id string 8+
    topics [] 8+
      name string 8+
      partitions [] 8+
        partition_index i32 8+
        committed_offset i64 8+
        committed_leader_epoch i32 8+ =-1
        metadata string 8+ ?8+
        error_code i16 8+
    error_code i16 8+
""")

JOIN_GROUP = Api(11, "JoinGroup", flexible=6, request="""
  group_id string
  session_timeout_ms i32
  rebalance_timeout_ms i32 1+ =-1
  member_id string
  group_instance_id string 5+ ?5+
  protocol_type string
  protocols []
    name string
    metadata bytes
  reason string 8+ ?8+
""", response="""
  throttle_time_ms i32 2+
  error_code i16
  generation_id i32 =-1
  protocol_type string 7+ ?7+
  protocol_name string ?7+
  leader string
  skip_assignment bool 9+
  member_id string
  members []
    member_id string
    group_instance_id string 5+ ?5+
    metadata bytes
""")

HEARTBEAT = Api(12, "Heartbeat", flexible=4, request="""
  group_id string
  generation_id i32
  member_id string
  group_instance_id string 3+ ?3+
""", response="""
  throttle_time_ms i32 1+
  error_code i16
""")

LEAVE_GROUP = Api(13, "LeaveGroup", flexible=4, request="""
  group_id string
  member_id string 0-2
  members [] 3+
    member_id string 3+
    group_instance_id string 3+ ?3+
    reason string 5+ ?5+
""", response="""
  throttle_time_ms i32 1+
  error_code i16
  members [] 3+
    member_id string 3+
    group_instance_id string 3+ ?3+
    error_code i16 3+
""")

SYNC_GROUP = Api(14, "SyncGroup", flexible=4, request="""
  group_id string
  generation_id i32
  member_id string
  group_instance_id string 3+ ?3+
  protocol_type string 5+ ?5+
  protocol_name string 5+ ?5+
  assignments []
    member_id string
    assignment bytes
""", response="""
  throttle_time_ms i32 1+
  error_code i16
  protocol_type string 5+ ?5+
  protocol_name string 5+ ?5+
  assignment bytes
""")

DESCRIBE_GROUPS = Api(15, "DescribeGroups", flexible=5, request="""
  groups []string
  include_authorized_operations bool 3+
""", response="""
  throttle_time_ms i32 1+
  groups []
    error_code i16
    error_message string 6+ ?6+
    group_id string
    group_state string
    protocol_type string
    protocol_data string
    members []
      member_id string
      group_instance_id string 4+ ?4+
      client_id string
      client_host string
      member_metadata bytes
      member_assignment bytes
    authorized_operations i32 3+ =-2147483648
""")

LIST_GROUPS = Api(16, "ListGroups", flexible=3, request="""
  states_filter []string 4+
  types_filter []string 5+
""", response="""
  throttle_time_ms i32 1+
  error_code i16
  groups []
    group_id string
    protocol_type string
    group_state string 4+
    group_type string 5+
""")

DELETE_GROUPS = Api(42, "DeleteGroups", flexible=2, request="""
  groups_names []string
""", response="""
  throttle_time_ms i32
  results []
    group_id string
    error_code i16
""")

OFFSET_DELETE = Api(47, "OffsetDelete", flexible=1000, request="""
  group_id string
  topics []
    name string
    partitions []
      partition_index i32
""", response="""
  error_code i16
  throttle_time_ms i32
  topics []
    name string
    partitions []
      partition_index i32
      error_code i16
""")

CONSUMER_GROUP_HEARTBEAT = Api(68, "ConsumerGroupHeartbeat", flexible=0, request="""
  group_id string
  member_id string
  member_epoch i32
  instance_id string ?0+
  rack_id string ?0+
  rebalance_timeout_ms i32 =-1
  subscribed_topic_names []string ?0+
  subscribed_topic_regex string 1+ ?1+
  server_assignor string ?0+
  topic_partitions [] ?0+
    topic_id uuid
    partitions []i32
""", response="""
  throttle_time_ms i32
  error_code i16
  error_message string ?0+
  member_id string ?0+
  member_epoch i32
  heartbeat_interval_ms i32
  assignment {} ?0+
    topic_partitions []
      topic_id uuid
      partitions []i32
""")

CONSUMER_GROUP_DESCRIBE = Api(69, "ConsumerGroupDescribe", flexible=0, request="""
  group_ids []string
  include_authorized_operations bool
""", response="""
  throttle_time_ms i32
  groups []
    error_code i16
    error_message string ?0+
    group_id string
    group_state string
    group_epoch i32
    assignment_epoch i32
    assignor_name string
    members []
      member_id string
      instance_id string ?0+
      rack_id string ?0+
      member_epoch i32
      client_id string
      client_host string
      subscribed_topic_names []string
      subscribed_topic_regex string ?0+
      assignment {}
        topic_partitions []
          topic_id uuid
          topic_name string
          partitions []i32
      target_assignment {}
        topic_partitions []
          topic_id uuid
          topic_name string
          partitions []i32
      member_type i8 1+ =-1
    authorized_operations i32 =-2147483648
""")

GROUP_APIS = {api.key: api for api in list(globals().values()) if isinstance(api, Api)}


def _string(text):
    return struct.pack(">h", len(text)) + text.encode()


def _array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def _topic_partitions(partitions):
    """[(topic, partition)] as topics with their partitions."""
    topics = {}
    for topic, partition in sorted(partitions):
        topics.setdefault(topic, []).append(struct.pack(">i", partition))
    return _array([_string(topic) + _array(mine) for topic, mine in topics.items()])


def subscription(topics, owned=(), version=1, user_data=b""):
    """A ConsumerProtocolSubscription: what a consumer puts in JoinGroup."""
    data = struct.pack(">h", version) + _array([_string(t) for t in topics])
    data += struct.pack(">i", len(user_data)) + user_data
    return data + (_topic_partitions(owned) if version >= 1 else b"")


def assignment(partitions, version=0, user_data=b""):
    """A ConsumerProtocolAssignment: what a leader puts in SyncGroup."""
    return struct.pack(">h", version) + _topic_partitions(partitions) + struct.pack(">i", len(user_data)) + user_data


def assigned(data):
    """The set of (topic, partition) in a ConsumerProtocolAssignment; nothing for no bytes."""
    if not data:
        return set()
    offset, found = 2, set()

    def take(form):
        nonlocal offset
        value, = struct.unpack_from(form, data, offset)
        offset += struct.calcsize(form)
        return value

    for _ in range(take(">i")):
        size = take(">h")
        topic = data[offset:offset + size].decode()
        offset += size
        found |= {(topic, take(">i")) for _ in range(take(">i"))}
    return found
