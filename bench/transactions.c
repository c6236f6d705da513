/* Transactions of version 2 (KIP-890) over the raw protocol, many producers in one thread, so that the client is not
 * what is measured.
 *
 *   transactions broker=HOST:PORT topic=T producers=32 partitions=10 offsets=1 transactions=20000 records=10 size=100
 *
 * A transaction is one Produce with a batch for each partition, with offsets=1 one TxnOffsetCommit for as many
 * partitions, and one EndTxn, each waited for. One line of JSON comes out.
 */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "members.h"

enum { PRODUCE = 0, INIT_PRODUCER_ID = 22, END_TXN = 26, TXN_OFFSET_COMMIT = 28 };
enum { HEADER_BYTES = 61, CHECKED_FROM = 21, TRANSACTIONAL = 0x10 };

static struct { const char *broker, *topic; long producers, partitions, offsets, transactions, records, size; } set = {
    .topic = "bench", .producers = 1, .partitions = 1, .offsets = 0, .transactions = 1000, .records = 10, .size = 100};

typedef struct { int64_t id; int epoch; double begun_at; } Producer;

static Member *members;
static Producer *producers;
static long ready, begun, done;
static double *waits;
static unsigned char *batch;
static size_t batch_size;
static uint32_t crc_table[256];

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* ---- One record batch, made once; producer id, epoch and checksum are written into it for each transaction. */

static uint32_t crc32c(const unsigned char *bytes, size_t size) {
    if (crc_table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = i;
            for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
            crc_table[i] = crc;
        }
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) crc = crc_table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

static void put_zigzag(long value) { put_varint((unsigned)(value << 1 ^ value >> 63)); }

static void make_batch(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t timestamp = (int64_t)t.tv_sec * 1000;
    long length = 1 + 1 + (1) + (1) + (set.size > 63 ? 2 : 1) + set.size + 1;
    out_size = 0;
    put64(0), put32(0), put32(-1), put8(2), put32(0), put16(TRANSACTIONAL), put32((int32_t)set.records - 1);
    put64(timestamp), put64(timestamp), put64(-1), put16(-1), put32(0), put32((int32_t)set.records);
    for (long i = 0; i < set.records; i++) {
        put_zigzag(length), put8(0), put_zigzag(0), put_zigzag(i), put_zigzag(-1), put_zigzag(set.size);
        for (long k = 0; k < set.size; k++) put8((int)((i * 131 + k) * 2654435761u >> 24));
        put_zigzag(0);
    }
    batch_size = out_size;
    batch = malloc(batch_size);
    memcpy(batch, out, batch_size);
    uint32_t rest = htonl((uint32_t)(batch_size - 12));
    memcpy(batch + 8, &rest, 4);
}

static void stamp_batch(const Producer *producer) {
    for (int i = 0; i < 8; i++) batch[43 + i] = (unsigned char)(producer->id >> (56 - 8 * i));
    batch[51] = (unsigned char)(producer->epoch >> 8), batch[52] = (unsigned char)producer->epoch;
    uint32_t crc = htonl(crc32c(batch + CHECKED_FROM, batch_size - CHECKED_FROM));
    memcpy(batch + CHECKED_FROM - 4, &crc, 4);
}

/* ---- The four requests and their replies. */

static void ask_init(Member *member) {
    begin(INIT_PRODUCER_ID, 4, 1);
    put_compact(member->id), put32(60000), put64(-1), put16(-1), put8(0);
    send_request(member, INIT_PRODUCER_ID);
}

static void ask_produce(Member *member, const Producer *producer) {
    begin(PRODUCE, 12, 1);
    put_compact(member->id), put16(-1), put32(30000), put_varint(2), put_compact(set.topic), put_varint((unsigned)set.partitions + 1);
    stamp_batch(producer);
    for (long i = 0; i < set.partitions; i++)
        put32((int32_t)i), put_varint((unsigned)batch_size + 1), put(batch, batch_size), put8(0);
    put8(0), put8(0);
    send_request(member, PRODUCE);
}

static void ask_offsets(Member *member, const Producer *producer) {
    begin(TXN_OFFSET_COMMIT, 5, 1);
    put_compact(member->id), put_compact(member->group), put64(producer->id), put16(producer->epoch);
    put32(-1), put_compact(""), put8(0), put_varint(2), put_compact(set.topic), put_varint((unsigned)set.partitions + 1);
    for (long i = 0; i < set.partitions; i++) put32((int32_t)i), put64(begun), put32(-1), put_compact(""), put8(0);
    put8(0), put8(0);
    send_request(member, TXN_OFFSET_COMMIT);
}

static void ask_end(Member *member, const Producer *producer) {
    begin(END_TXN, 5, 1);
    put_compact(member->id), put64(producer->id), put16(producer->epoch), put8(1), put8(0);
    send_request(member, END_TXN);
}

static int64_t get64(void) {
    int64_t high = get32();
    return high << 32 | (uint32_t)get32();
}

static void take_identity(Producer *producer, const char *what) {
    get8(), get32();
    int code = get16();
    if (code != 0) fail("%s: error %d", what, code);
    producer->id = get64(), producer->epoch = get16();
}

static void check_partitions(const char *what, size_t rest) {
    if (get_varint() != 2) fail("%s: not one topic", what);
    take(get_varint() - 1);
    for (unsigned count = get_varint(); count > 1; count--) {
        get32();
        int code = get16();
        if (code != 0) fail("%s: error %d", what, code);
        /* A refusal ends the program above, so that what follows an accepted partition is of one size. */
        take(rest), get8();
    }
}

/* ---- The transaction as a sequence. */

static void next_transaction(Member *member, Producer *producer) {
    if (begun == set.transactions) return;
    begun++;
    producer->begun_at = now();
    ask_produce(member, producer);
}

static void react(Member *member) {
    Producer *producer = &producers[member - members];
    switch (member->asked) {
    case INIT_PRODUCER_ID:
        take_identity(producer, "init");
        ready++;
        break;
    case PRODUCE:
        get8();
        /* Base offset, append time, log start offset, no record errors, no message. */
        check_partitions("produce", 8 + 8 + 8 + 1 + 1);
        if (set.offsets) ask_offsets(member, producer);
        else ask_end(member, producer);
        break;
    case TXN_OFFSET_COMMIT:
        get8(), get32();
        check_partitions("offsets", 0);
        ask_end(member, producer);
        break;
    default:
        take_identity(producer, "end");
        waits[done++] = (now() - producer->begun_at) * 1e3;
        next_transaction(member, producer);
    }
}

static int all_ready(void) { return ready == set.producers; }
static int all_done(void) { return done == set.transactions; }

static void parse(int count, char **arguments) {
    struct { const char *name; long *value; } numbers[] = {
        {"producers", &set.producers}, {"partitions", &set.partitions}, {"offsets", &set.offsets},
        {"transactions", &set.transactions}, {"records", &set.records}, {"size", &set.size}};
    for (int i = 0; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (value == NULL) fail("%s: expected key=value", arguments[i]);
        *value++ = 0;
        if (!strcmp(arguments[i], "broker")) set.broker = value;
        else if (!strcmp(arguments[i], "topic")) set.topic = value;
        else {
            size_t known = 0;
            while (known < sizeof numbers / sizeof *numbers && strcmp(numbers[known].name, arguments[i])) known++;
            if (known == sizeof numbers / sizeof *numbers) fail("no such key: %s", arguments[i]);
            *numbers[known].value = atol(value);
        }
    }
    if (set.broker == NULL) fail("broker=HOST:PORT is missing");
    if (set.records > 63) fail("at most 63 records");
    if (set.size > 8000 || set.records * set.size * set.partitions > FRAME_BYTES_MAX / 2) fail("too much for one request");
}

int main(int count, char **arguments) {
    parse(count - 1, arguments + 1);
    make_batch();
    members = connect_members(set.broker, set.producers);
    producers = calloc((size_t)set.producers, sizeof *producers);
    waits = malloc((size_t)set.transactions * sizeof *waits);
    for (long i = 0; i < set.producers; i++) {
        snprintf(members[i].id, sizeof members[i].id, "bench-%ld", i);
        snprintf(members[i].group, sizeof members[i].group, "bench-%ld", i);
        ask_init(&members[i]);
    }
    run(react, all_ready);
    double started = now();
    for (long i = 0; i < set.producers; i++) next_transaction(&members[i], &producers[i]);
    run(react, all_done);
    double seconds = now() - started;
    qsort(waits, (size_t)done, sizeof *waits, by_value);
    printf("{\"transactions\": %ld, \"seconds\": %.4f, \"transactions_s\": %.1f, \"batch_bytes\": %zu, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f}\n", done, seconds, done / seconds, batch_size, waits[done / 2], waits[done * 99 / 100]);
    return 0;
}
