/* A producer and a consumer over the real librdkafka, fast enough not to be what is measured.
 *
 *   load produce  key=value…   throughput: records of one size, spread over partitions in turn
 *   load latency  key=value…   one record at a time, each waited for; a histogram of the waits
 *   load consume  key=value…   reads records from every partition until it has had `records` of them
 *
 * Keys: broker topic partitions size records seconds rate_mb_s from(beginning|end) linger_ms codec
 * idempotent transaction (records in each; needs transactional.id=…). Anything with a dot goes to librdkafka as it is
 * (batch.size=…). One line of JSON comes out.
 */
#include "client.h"
#include <signal.h>
#include <stdint.h>
#include <string.h>

struct settings {
    const char *broker, *topic, *from, *codec;
    int partitions, linger_ms, idempotent;
    long size, records, transaction;
    double seconds, rate_mb_s;
};

static struct settings set = {"127.0.0.1:9092", "bench", "beginning", "none", 1, 5, 0, 1024, 1000000, 0, 0, 0};
static long acknowledged, failed;
static volatile sig_atomic_t interrupted;

static void parse(int count, char **arguments) {
    configuration = rd_kafka_conf_new();
    for (int i = 0; i < count; i++) {
        char *name = arguments[i], *value = strchr(name, '=');
        if (value == NULL) fail(name, "expected key=value");
        *value++ = 0;
        if (strchr(name, '.')) configure(name, value);
        else if (!strcmp(name, "broker")) set.broker = value;
        else if (!strcmp(name, "topic")) set.topic = value;
        else if (!strcmp(name, "from")) set.from = value;
        else if (!strcmp(name, "codec")) set.codec = value;
        else if (!strcmp(name, "partitions")) set.partitions = atoi(value);
        else if (!strcmp(name, "linger_ms")) set.linger_ms = atoi(value);
        else if (!strcmp(name, "idempotent")) set.idempotent = atoi(value);
        else if (!strcmp(name, "size")) set.size = atol(value);
        else if (!strcmp(name, "records")) set.records = atol(value);
        else if (!strcmp(name, "transaction")) set.transaction = atol(value);
        else if (!strcmp(name, "seconds")) set.seconds = atof(value);
        else if (!strcmp(name, "rate_mb_s")) set.rate_mb_s = atof(value);
        else fail(name, "no such key");
    }
    configure("bootstrap.servers", set.broker);
    configure("log_level", "3");
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client, (void)opaque;
    if (message->err) {
        if (failed++ == 0) fprintf(stderr, "load: not delivered: %s\n", rd_kafka_err2str(message->err));
    } else {
        acknowledged++;
    }
}

static rd_kafka_t *producer(void) {
    char error[512], linger[16];
    snprintf(linger, sizeof linger, "%d", set.linger_ms);
    configure("linger.ms", linger);
    configure("acks", "all");
    configure("compression.codec", set.codec);
    configure("enable.idempotence", set.idempotent || set.transaction ? "true" : "false");
    configure("queue.buffering.max.messages", "1000000");
    configure("queue.buffering.max.kbytes", "262144");
    rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, error, sizeof error);
    if (client == NULL) fail("producer", error);
    return client;
}

/* Bytes that neither repeat in a record nor between neighbours, so that no codec has it easy. */
static char *random_bytes(size_t size) {
    char *bytes = malloc(size);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes[i] = (char)(state >> 32);
    }
    return bytes;
}

static void send_one(rd_kafka_t *client, rd_kafka_topic_t *topic, int partition, char *value) {
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, set.size, NULL, 0, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(client, 5);
    }
}

static void hold_rate(rd_kafka_t *client, double begun, long sent) {
    double ahead;
    while (!interrupted && (ahead = begun + sent * (double)set.size / (set.rate_mb_s * 1e6) - now()) > 0.0005)
        rd_kafka_poll(client, ahead > 0.01 ? 10 : 1);
}

static void succeed(const char *what, rd_kafka_error_t *error) {
    if (error != NULL) fail(what, rd_kafka_error_string(error));
}

static void begin_transaction(rd_kafka_t *client) { succeed("begin", rd_kafka_begin_transaction(client)); }
static void commit_transaction(rd_kafka_t *client) { succeed("commit", rd_kafka_commit_transaction(client, 60000)); }

static void produce(void) {
    rd_kafka_t *client = producer();
    if (set.transaction > 0) {
        succeed("init", rd_kafka_init_transactions(client, 30000));
        begin_transaction(client);
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, set.topic, NULL);
    size_t pool = 1 << 20;
    char *bytes = random_bytes(pool + set.size);
    /* The first record brings metadata and connections; it is not part of the measurement. */
    send_one(client, topic, 0, bytes);
    if (rd_kafka_flush(client, 20000)) fail("flush", "the first record was not answered");
    acknowledged = 0;
    double begun = now(), reported = begun;
    long sent = 0, reported_at = 0, committed = 0;
    while (!interrupted && (set.seconds > 0 ? now() - begun < set.seconds : sent < set.records)) {
        for (int i = 0; i < 64; i++, sent++)
            send_one(client, topic, (int)(sent % set.partitions), bytes + (sent * 7919) % pool);
        rd_kafka_poll(client, 0);
        if (set.transaction > 0 && sent - committed >= set.transaction) {
            commit_transaction(client);
            begin_transaction(client);
            committed = sent;
        }
        if (set.rate_mb_s > 0) hold_rate(client, begun, sent);
        if (set.seconds > 60 && now() - reported >= 10) {
            printf("{\"elapsed\": %.1f, \"mb_s\": %.2f}\n", now() - begun,
                   (acknowledged - reported_at) * (double)set.size / 1e6 / (now() - reported));
            fflush(stdout);
            reported = now(), reported_at = acknowledged;
        }
    }
    if (set.transaction > 0) commit_transaction(client);
    if (rd_kafka_flush(client, 60000)) fail("flush", "not everything was answered within a minute");
    double seconds = now() - begun;
    printf("{\"records\": %ld, \"failed\": %ld, \"seconds\": %.4f, \"records_s\": %.1f, \"mb_s\": %.2f}\n", acknowledged,
           failed, seconds, acknowledged / seconds, acknowledged * (double)set.size / 1e6 / seconds);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    if (failed) exit(1);
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void latency(void) {
    set.linger_ms = 0;
    configure("socket.nagle.disable", "true");
    rd_kafka_t *client = producer();
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, set.topic, NULL);
    char *bytes = random_bytes(set.size);
    double *waits = malloc(set.records * sizeof *waits);
    for (long i = -100; i < set.records; i++) {
        double begun = now();
        long wanted = acknowledged + 1;
        send_one(client, topic, 0, bytes);
        while (acknowledged < wanted) {
            rd_kafka_poll(client, 1000);
            if (failed) fail("latency", "a record was refused");
        }
        if (i >= 0) waits[i] = (now() - begun) * 1e3;
    }
    qsort(waits, set.records, sizeof *waits, by_value);
    printf("{\"records\": %ld, \"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, "
           "\"histogram\": {", set.records, waits[set.records / 2], waits[set.records * 9 / 10],
           waits[set.records * 99 / 100], waits[set.records * 999 / 1000], waits[set.records - 1]);
    long place = 0;
    double edge = 0.125;
    for (int first = 1; place < set.records; edge *= 2) {
        long begin = place;
        while (place < set.records && waits[place] < edge) place++;
        if (place > begin) printf("%s\"<%g ms\": %ld", first ? "" : ", ", edge, place - begin), first = 0;
    }
    printf("}}\n");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
}

static void consume(void) {
    char error[512];
    configure("group.id", "bench");
    configure("enable.auto.commit", "false");
    configure("enable.partition.eof", "false");
    configure("auto.offset.reset", "error");
    configure("fetch.message.max.bytes", "4194304");
    configure("queued.max.messages.kbytes", "262144");
    configure("fetch.wait.max.ms", "100");
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, configuration, error, sizeof error);
    if (client == NULL) fail("consumer", error);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, set.topic, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    int from_end = !strcmp(set.from, "end");
    int64_t *starts = malloc(set.partitions * sizeof *starts);
    /* Asking where each partition begins brings metadata and a connection; without it librdkafka waits for half a second
       until it looks for leaders, which is no part of the measurement. */
    for (int i = 0; i < set.partitions; i++) {
        int64_t low = 0, high = 0;
        if (rd_kafka_query_watermark_offsets(client, set.topic, i, &low, &high, 10000)) fail("watermarks", set.topic);
        starts[i] = from_end ? high : low;
    }
    double begun = now(), first = 0, last = 0;
    for (int i = 0; i < set.partitions; i++)
        if (rd_kafka_consume_start_queue(topic, i, starts[i], queue)) fail("consume", rd_kafka_err2str(rd_kafka_last_error()));
    fprintf(stderr, "ready\n");
    static rd_kafka_message_t *messages[10000];
    long records = 0;
    double bytes = 0, deadline = now() + 300;
    while (records < set.records && !interrupted && now() < deadline) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, 10000);
        for (ssize_t i = 0; i < count; i++) {
            if (messages[i]->err == 0) {
                records++;
                bytes += messages[i]->len;
            } else if (messages[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                fail("consume", rd_kafka_message_errstr(messages[i]));
            }
            rd_kafka_message_destroy(messages[i]);
        }
        if (records > 0 && first == 0) first = now();
        if (count > 0) last = now();
    }
    double seconds = last - (from_end ? first : begun);
    printf("{\"records\": %ld, \"seconds\": %.4f, \"records_s\": %.1f, \"mb_s\": %.2f}\n", records, seconds,
           records / seconds, bytes / 1e6 / seconds);
    if (records < set.records) fail("consume", "not all records came");
    /* Closing a thousand partitions in good order takes longer than the measurement. */
    fflush(stdout);
    _Exit(0);
}

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

int main(int count, char **arguments) {
    if (count < 2) fail("usage", "load produce|latency|consume key=value…");
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    parse(count - 2, arguments + 2);
    if (!strcmp(arguments[1], "produce")) produce();
    else if (!strcmp(arguments[1], "latency")) latency();
    else if (!strcmp(arguments[1], "consume")) consume();
    else fail(arguments[1], "no such mode");
    return 0;
}
