/* Drives the broker's consumer groups over the raw protocol, many members in one thread, so that the client is not
 * what is measured.
 *
 *   groups idle      broker=HOST:PORT topic=T groups=10000              a member and a committed offset in each group
 *   groups commit    broker=… topic=T groups=100 commits=50000          one offset commit of each group in flight
 *   groups rebalance broker=… topic=T members=100 rounds=20             JoinGroup/SyncGroup of all of one group
 *   groups reconcile broker=… topic=T topic_id=HEX members=100 partitions=200 rounds=10    the same with KIP-848
 *
 * Members answer at once; what a real client waits for its next heartbeat is not the broker's doing and is not in the
 * figures. One line of JSON comes out.
 */
#include "members.h"

enum { OFFSET_COMMIT = 8, JOIN_GROUP = 11, HEARTBEAT = 12, SYNC_GROUP = 14, CONSUMER_HEARTBEAT = 68 };
enum { REBALANCE_IN_PROGRESS = 27 };

static struct { const char *broker, *topic, *topic_id; long groups, commits, members, rounds, partitions; } set = {
    .topic = "bench", .groups = 100, .commits = 10000, .members = 100, .rounds = 10, .partitions = 100};

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* ---- Requests of the classic protocol, in the last versions before the flexible ones. */

static void ask_join(Member *member) {
    begin(JOIN_GROUP, 3, 0);
    put_string(member->group), put32(1800000), put32(60000), put_string(member->id), put_string("consumer"), put32(1);
    put_string("range");
    size_t topic = strlen(set.topic);
    put32((int32_t)(2 + 4 + 2 + topic + 4)), put16(0), put32(1), put_string(set.topic), put32(0);
    send_request(member, JOIN_GROUP);
}

/* The leader's assignment names every member; the bytes are the same for all, because the broker does not read them. */
static void ask_sync(Member *member, Member *members, long count) {
    int leads = strcmp(member->id, member->leader) == 0;
    begin(SYNC_GROUP, 2, 0);
    put_string(member->group), put32(member->generation), put_string(member->id), put32(leads ? (int32_t)count : 0);
    for (long i = 0; leads && i < count; i++) {
        size_t topic = strlen(set.topic);
        put_string(members[i].id), put32((int32_t)(2 + 4 + 2 + topic + 4 + 4 + 4));
        put16(0), put32(1), put_string(set.topic), put32(1), put32((int32_t)i), put32(0);
    }
    send_request(member, SYNC_GROUP);
}

static void ask_heartbeat(Member *member) {
    begin(HEARTBEAT, 1, 0);
    put_string(member->group), put32(member->generation), put_string(member->id);
    send_request(member, HEARTBEAT);
}

static void ask_commit(Member *member, int partition, int64_t offset) {
    begin(OFFSET_COMMIT, 5, 0);
    put_string(member->group), put32(member->generation), put_string(member->id);
    put32(1), put_string(set.topic), put32(1), put32(partition), put64(offset), put_string("");
    send_request(member, OFFSET_COMMIT);
}

static int read_join(Member *member) {
    get32();
    int code = get16();
    int32_t generation = get32();
    char protocol[256];
    get_string(protocol, sizeof protocol, get16());
    get_string(member->leader, sizeof member->leader, get16());
    get_string(member->id, sizeof member->id, get16());
    if (code == 0) member->generation = generation;
    return code;
}

static int read_code(void) {
    get32();
    return get16();
}

static int read_commit(void) {
    get32(), get32(), take((size_t)get16()), get32(), get32();
    return get16();
}

/* ---- KIP-848's heartbeat, version 0: what is owned is told when it has changed. */

static void ask_consumer_heartbeat(Member *member, int epoch) {
    begin(CONSUMER_HEARTBEAT, 0, 1);
    put_compact(member->group), put_compact(member->id), put32(epoch), put8(0), put8(0);
    put32(epoch == 0 ? 60000 : -1);
    if (epoch == 0) put_varint(2), put_compact(set.topic);
    else put8(0);
    put8(0);
    if (epoch >= 0 && (epoch == 0 || member->tell)) {
        put_varint(member->owned_count > 0 ? 2 : 1);
        if (member->owned_count > 0) {
            for (int i = 0; i < 32; i += 2) {
                char pair[3] = {set.topic_id[i], set.topic_id[i + 1], 0};
                put8((int)strtol(pair, NULL, 16));
            }
            put_varint((unsigned)member->owned_count + 1);
            for (int i = 0; i < member->owned_count; i++) put32(member->owned[i]);
            put8(0);
        }
    } else {
        put8(0);
    }
    put8(0);
    member->tell = 0;
    send_request(member, CONSUMER_HEARTBEAT);
}

static int read_consumer_heartbeat(Member *member) {
    get8(), get32();
    int code = get16();
    char text[1024];
    get_string(text, sizeof text, (int)get_varint() - 1);
    if (code != 0) fail("heartbeat: error %d: %s", code, text);
    get_string(text, sizeof text, (int)get_varint() - 1);
    if (*text) strcpy(member->id, text);
    member->generation = get32();
    get32();
    if ((int8_t)get8() < 0) return 0;
    member->owned_count = 0, member->tell = 1;
    for (unsigned topics = get_varint(); topics > 1; topics--) {
        take(16);
        for (unsigned count = get_varint(); count > 1; count--) {
            if (member->owned_count == ASSIGNED_MAX) fail("too many partitions");
            member->owned[member->owned_count++] = get32();
        }
        get_varint();
    }
    return 0;
}

/* ---- idle and commit: many groups of one member. */

static Member *members;
static long member_count, finished, next_group, sent, waits_count;
static double *waits;

static int all_finished(void) { return finished >= (set.groups < member_count ? set.groups : member_count); }

static int join_next_group(Member *member) {
    if (next_group == set.groups) return 0;
    snprintf(member->group, sizeof member->group, "bench-%ld", next_group++);
    *member->id = 0, member->generation = -1;
    ask_join(member);
    return 1;
}

/* Takes a member through join and sync; true when it is a member of a stable group. */
static int enter(Member *member) {
    int code = member->asked == JOIN_GROUP ? read_join(member) : read_code();
    if (code != 0) fail("%s: error %d", member->asked == JOIN_GROUP ? "join" : "sync", code);
    if (member->asked == SYNC_GROUP) return 1;
    ask_sync(member, member, 1);
    return 0;
}

static void react_idle(Member *member) {
    if (member->asked != OFFSET_COMMIT) {
        if (enter(member)) ask_commit(member, (int)(next_group % set.partitions), next_group);
        return;
    }
    if (read_commit() != 0) fail("commit refused");
    if (!join_next_group(member)) finished++;
}

static void idle(void) {
    members = connect_members(set.broker, member_count = 100);
    double begun = now();
    for (long i = 0; i < member_count && join_next_group(&members[i]); i++) continue;
    run(react_idle, all_finished);
    printf("{\"groups\": %ld, \"seconds\": %.4f}\n", set.groups, now() - begun);
}

static void react_enter(Member *member) {
    if (enter(member)) finished++;
}

static int all_committed(void) { return waits_count == set.commits; }

static void commit_next(Member *member) {
    if (sent == set.commits) return;
    ask_commit(member, (int)(sent % set.partitions), sent);
    sent++;
}

static void react_commit(Member *member) {
    int code = read_commit();
    if (code != 0) fail("commit: error %d", code);
    waits[waits_count++] = (now() - member->sent_at) * 1e3;
    commit_next(member);
}

static void commit(void) {
    members = connect_members(set.broker, member_count = set.groups);
    for (long i = 0; i < member_count; i++) join_next_group(&members[i]);
    run(react_enter, all_finished);
    waits = malloc((size_t)set.commits * sizeof *waits);
    fprintf(stderr, "ready\n");
    /* Whoever measures may look at the broker between the groups and the commits. */
    if (getchar() == EOF) fail("nobody said go");
    double begun = now();
    for (long i = 0; i < member_count; i++) commit_next(&members[i]);
    run(react_commit, all_committed);
    double seconds = now() - begun;
    qsort(waits, (size_t)waits_count, sizeof *waits, by_value);
    printf("{\"commits\": %ld, \"seconds\": %.4f, \"commits_s\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", waits_count,
           seconds, waits_count / seconds, waits[waits_count / 2], waits[waits_count * 99 / 100]);
}

/* ---- rebalance: one classic group of many members. */

static int32_t generation_before;

static void react_rebalance(Member *member) {
    if (member->asked == HEARTBEAT) {
        int code = read_code();
        if (code == REBALANCE_IN_PROGRESS) ask_join(member);
        else if (code == 0) ask_heartbeat(member);
        else fail("heartbeat: error %d", code);
    } else if (member->asked == JOIN_GROUP) {
        int code = read_join(member);
        if (code != 0) fail("join: error %d", code);
        if (member->generation == generation_before) ask_heartbeat(member);
        else ask_sync(member, members, member_count);
    } else {
        int code = read_code();
        if (code == REBALANCE_IN_PROGRESS) ask_join(member);
        else if (code != 0) fail("sync: error %d", code);
        else finished++, member->done = 1;
    }
}

static int everyone_done(void) { return finished == member_count; }

static void rebalance(void) {
    set.groups = 1;
    members = connect_members(set.broker, set.members);
    member_count = 1;
    join_next_group(&members[0]);
    run(react_enter, all_finished);
    /* The others come; the first hears of it and rejoins. It may take several generations until all are in. */
    for (member_count = 2; member_count <= set.members; member_count++) {
        strcpy(members[member_count - 1].group, members[0].group);
        finished = 0, generation_before = members[0].generation;
        for (long i = 0; i < member_count - 1; i++) ask_heartbeat(&members[i]);
        ask_join(&members[member_count - 1]);
        run(react_rebalance, everyone_done);
    }
    member_count = set.members;
    waits = malloc((size_t)set.rounds * sizeof *waits);
    for (long round = 0; round < set.rounds; round++) {
        finished = 0, generation_before = members[0].generation;
        double begun = now();
        for (long i = 0; i < member_count; i++)
            if (strcmp(members[i].id, members[i].leader) == 0) ask_join(&members[i]);
        for (long i = 0; i < member_count; i++)
            if (!members[i].outstanding) ask_heartbeat(&members[i]);
        run(react_rebalance, everyone_done);
        for (long i = 1; i < member_count; i++)
            if (members[i].generation != members[0].generation) fail("members are of different generations");
        waits[round] = (now() - begun) * 1e3;
    }
    qsort(waits, (size_t)set.rounds, sizeof *waits, by_value);
    printf("{\"members\": %ld, \"rounds\": %ld, \"p50_ms\": %.3f, \"max_ms\": %.3f}\n", member_count, set.rounds,
           waits[set.rounds / 2], waits[set.rounds - 1]);
}

/* ---- reconcile: one group of the next-generation protocol. */

static int leaving;

static int reconciled(void) {
    long owned = 0;
    int32_t epoch = members[member_count - 1].generation;
    for (long i = leaving; i < member_count; i++) {
        if (members[i].generation != epoch || members[i].tell) return 0;
        owned += members[i].owned_count;
    }
    return owned == set.partitions && epoch > generation_before;
}

static void react_reconcile(Member *member) {
    read_consumer_heartbeat(member);
    if (member->generation >= 0 && !reconciled()) ask_consumer_heartbeat(member, member->generation);
}

static void drain(Member *member) { read_consumer_heartbeat(member); }

static int nothing_outstanding(void) {
    for (long i = 0; i < member_count; i++)
        if (members[i].outstanding) return 0;
    return 1;
}

/* Everyone beats without pause until the partitions are divided anew; returns milliseconds. */
static double reconcile_after(int epoch_of_first) {
    double begun = now();
    ask_consumer_heartbeat(&members[0], epoch_of_first);
    for (long i = 1; i < member_count; i++) ask_consumer_heartbeat(&members[i], members[i].generation < 0 ? 0 : members[i].generation);
    run(react_reconcile, reconciled);
    double elapsed = (now() - begun) * 1e3;
    run(drain, nothing_outstanding);
    return elapsed;
}

static void reconcile(void) {
    if (set.topic_id == NULL || strlen(set.topic_id) != 32) fail("topic_id=… takes 32 hexadecimal digits");
    members = connect_members(set.broker, member_count = set.members);
    for (long i = 0; i < member_count; i++) strcpy(members[i].group, "bench-next");
    generation_before = 0;
    double formed = reconcile_after(0);
    waits = malloc((size_t)set.rounds * 2 * sizeof *waits);
    for (long round = 0; round < set.rounds; round++) {
        generation_before = members[1].generation, leaving = 1;
        waits[waits_count++] = reconcile_after(-1);
        generation_before = members[1].generation, leaving = 0;
        *members[0].id = 0, members[0].owned_count = 0;
        waits[waits_count++] = reconcile_after(0);
    }
    qsort(waits, (size_t)waits_count, sizeof *waits, by_value);
    printf("{\"members\": %ld, \"rounds\": %ld, \"formed_ms\": %.3f, \"p50_ms\": %.3f, \"max_ms\": %.3f}\n", member_count,
           waits_count, formed, waits[waits_count / 2], waits[waits_count - 1]);
}

int main(int count, char **arguments) {
    for (int i = 2; i < count; i++) {
        char *name = arguments[i], *value = strchr(name, '=');
        if (value == NULL) fail("%s: expected key=value", name);
        *value++ = 0;
        if (!strcmp(name, "broker")) set.broker = value;
        else if (!strcmp(name, "topic")) set.topic = value;
        else if (!strcmp(name, "topic_id")) set.topic_id = value;
        else if (!strcmp(name, "groups")) set.groups = atol(value);
        else if (!strcmp(name, "commits")) set.commits = atol(value);
        else if (!strcmp(name, "members")) set.members = atol(value);
        else if (!strcmp(name, "rounds")) set.rounds = atol(value);
        else if (!strcmp(name, "partitions")) set.partitions = atol(value);
        else fail("%s: no such key", name);
    }
    if (count < 2 || set.broker == NULL) fail("usage: groups idle|commit|rebalance|reconcile broker=HOST:PORT key=value…");
    if (!strcmp(arguments[1], "idle")) idle();
    else if (!strcmp(arguments[1], "commit")) commit();
    else if (!strcmp(arguments[1], "rebalance")) rebalance();
    else if (!strcmp(arguments[1], "reconcile")) reconcile();
    else fail("%s: no such mode", arguments[1]);
    return 0;
}
