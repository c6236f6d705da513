/* A producer for many topics at once, at a steady rate with short unthrottled bursts, over the real librdkafka.
 *
 *   mixed key=value…
 *
 * Keys: broker plan seconds rate_mb_s interval (seconds between lines) burst_every (seconds) burst_mb linger_ms. Anything
 * with a dot goes to librdkafka as it is. The plan is a file with a line for each topic:
 *
 *   name  partitions  record size  keys (0: records have none)  share of the bytes  fleeting (0 or 1)
 *
 * A fleeting topic is deleted and created by somebody else meanwhile: records that find it missing are counted as
 * `missed`, and are no failure. A record of any other topic that is not delivered is one.
 *
 * One JSON line at each interval: what was acknowledged outside of bursts, the failures, and how long a record waited
 * from produce() to its answer, the linger included. One at the begin and one at the end of each burst, with its
 * MB/s from the first record to the last answer. A burst is so many bytes, not seconds: what lives in the store is not
 * to depend on how fast it goes.
 */
#include "client.h"
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { TOPICS_MAX = 4096, POOL = 1 << 20, BUCKETS = 256, DRAIN_SECONDS = 60, DRAIN_FLEETING_SECONDS = 2 };

struct topic {
    char name[128];
    int partitions, fleeting;
    long size, keys, next;
    double share;
    rd_kafka_topic_t *handle;
};

static const char *broker = "127.0.0.1:9092", *plan = "plan", *linger = "50";
static double seconds = 60, rate_mb_s = 30, interval = 10, burst_every = 60, burst_mb = 600;

static struct topic topics[TOPICS_MAX];
static double chances[TOPICS_MAX]; /* cumulative, of a record being for this topic or one before it */
static int topic_count;

static double begun;
static long sent_bytes, acknowledged_bytes, failed, missed;
static long owed[2]; /* records not answered yet, of topics that stay and of fleeting ones */
static long waits[BUCKETS]; /* how many records waited for up to 2^(i/8) microseconds, outside of bursts */
static int is_bursting;
static volatile sig_atomic_t interrupted;

static uint64_t chance(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state >> 11; /* 53 bits */
}

static void parse(int count, char **arguments) {
    configuration = rd_kafka_conf_new();
    for (int i = 0; i < count; i++) {
        char *name = arguments[i], *value = strchr(name, '=');
        if (value == NULL) fail(name, "expected key=value");
        *value++ = 0;
        if (strchr(name, '.')) configure(name, value);
        else if (!strcmp(name, "broker")) broker = value;
        else if (!strcmp(name, "plan")) plan = value;
        else if (!strcmp(name, "linger_ms")) linger = value;
        else if (!strcmp(name, "seconds")) seconds = atof(value);
        else if (!strcmp(name, "rate_mb_s")) rate_mb_s = atof(value);
        else if (!strcmp(name, "interval")) interval = atof(value);
        else if (!strcmp(name, "burst_every")) burst_every = atof(value);
        else if (!strcmp(name, "burst_mb")) burst_mb = atof(value);
        else fail(name, "no such key");
    }
}

static void read_plan(void) {
    FILE *file = fopen(plan, "r");
    if (file == NULL) fail(plan, "cannot be opened");
    struct topic *t = topics;
    while (topic_count < TOPICS_MAX && fscanf(file, "%127s %d %ld %ld %lf %d", t->name, &t->partitions, &t->size, &t->keys,
                                              &t->share, &t->fleeting) == 6) {
        if (t->partitions < 1 || t->size < 1 || t->size > POOL || t->share <= 0) fail(t->name, "a line that makes no sense");
        chances[topic_count] = t->share / t->size + (topic_count > 0 ? chances[topic_count - 1] : 0);
        topic_count++, t++;
    }
    if (topic_count == 0 || !feof(file)) fail(plan, "is not a plan");
    fclose(file);
}

static struct topic *any_topic(void) {
    double wanted = chances[topic_count - 1] * (double)chance() / (double)(1ull << 53);
    int low = 0, high = topic_count - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (chances[middle] > wanted) high = middle;
        else low = middle + 1;
    }
    return &topics[low];
}

/* What librdkafka says of a topic that is gone; the last, of records that it was about to send once more. */
static int is_missing(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || error == RD_KAFKA_RESP_ERR__DESTROY;
}

static void note_wait(int64_t microseconds) {
    int bucket = microseconds > 1 ? (int)ceil(8 * log2((double)microseconds)) : 0;
    waits[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client, (void)opaque;
    struct topic *topic = message->_private;
    owed[topic->fleeting]--;
    if (!message->err) {
        acknowledged_bytes += (long)message->len;
        if (!is_bursting) note_wait(rd_kafka_message_latency(message));
    } else if (topic->fleeting && is_missing(message->err)) {
        missed++;
    } else if (failed++ < 10) {
        fprintf(stderr, "mixed: %s: not delivered: %s\n", topic->name, rd_kafka_err2str(message->err));
    }
}

static rd_kafka_t *producer(void) {
    char error[512];
    configure("bootstrap.servers", broker);
    configure("log_level", "3");
    configure("linger.ms", linger);
    configure("acks", "all");
    configure("batch.size", "1000000");
    configure("queue.buffering.max.messages", "1000000");
    configure("queue.buffering.max.kbytes", "131072");
    /* A topic that is back is to be noticed soon. */
    configure("topic.metadata.refresh.interval.ms", "1000");
    rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, error, sizeof error);
    if (client == NULL) fail("producer", error);
    for (int i = 0; i < topic_count; i++) topics[i].handle = rd_kafka_topic_new(client, topics[i].name, NULL);
    return client;
}

/* Bytes that neither repeat in a record nor between neighbours. */
static char *random_bytes(size_t size) {
    char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(chance() >> 16);
    return bytes;
}

static void send_one(rd_kafka_t *client, struct topic *topic, char *pool) {
    char key[32];
    long number = topic->keys > 0 ? (long)(chance() % (uint64_t)topic->keys) : topic->next++;
    size_t key_length = topic->keys > 0 ? (size_t)snprintf(key, sizeof key, "key-%09ld", number) : 0;
    char *value = pool + chance() % POOL;
    while (rd_kafka_produce(topic->handle, (int)(number % topic->partitions), RD_KAFKA_MSG_F_COPY, value, topic->size,
                            key_length > 0 ? key : NULL, key_length, topic) != 0) {
        rd_kafka_resp_err_t error = rd_kafka_last_error();
        if (topic->fleeting && is_missing(error)) {
            missed++;
            return;
        }
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail(topic->name, rd_kafka_err2str(error));
        rd_kafka_poll(client, 5);
    }
    sent_bytes += topic->size;
    owed[topic->fleeting]++;
}

/* Waits for what is in flight; records of a topic that is missing may wait for longer than anybody would. */
static void drain(rd_kafka_t *client, double fleeting_seconds) {
    double start = now();
    while (owed[0] > 0 || (owed[1] > 0 && now() - start < fleeting_seconds)) {
        if (now() - start > DRAIN_SECONDS) fail("drain", "what was sent is not answered within a minute");
        rd_kafka_poll(client, 5);
    }
}

/* Every topic gets a record, which brings metadata and connections, before anything is measured. */
static void greet(rd_kafka_t *client, char *pool) {
    for (int i = 0; i < topic_count; i++) send_one(client, &topics[i], pool);
    drain(client, DRAIN_FLEETING_SECONDS);
}

/* As many bytes as a burst has, as fast as they go, until everything of topics that stay is answered. */
static void burst(rd_kafka_t *client, char *pool) {
    double start = now();
    long sent_then = sent_bytes, acknowledged_then = acknowledged_bytes;
    printf("{\"burst_begins\": %.1f}\n", start - begun);
    fflush(stdout);
    is_bursting = 1;
    while (!interrupted && (double)(sent_bytes - sent_then) < burst_mb * 1e6) {
        for (int i = 0; i < 64; i++) send_one(client, any_topic(), pool);
        rd_kafka_poll(client, 0);
    }
    drain(client, 0);
    printf("{\"burst_ends\": %.1f, \"burst_mb_s\": %.2f}\n", now() - begun,
           (double)(acknowledged_bytes - acknowledged_then) / 1e6 / (now() - start));
    fflush(stdout);
    drain(client, DRAIN_FLEETING_SECONDS);
    is_bursting = 0;
}

/* The wait that `share` of the records did not exceed, to an eighth of an octave. */
static double wait_ms(double share) {
    long total = 0, passed = 0;
    int i = 0;
    for (int j = 0; j < BUCKETS; j++) total += waits[j];
    while (i < BUCKETS - 1 && (passed += waits[i]) < share * (double)total) i++;
    return total > 0 ? exp2(i / 8.0) / 1e3 : 0;
}

static void report(double elapsed, double held_seconds, long held_bytes) {
    printf("{\"elapsed\": %.1f, \"mb_s\": %.2f, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"failed\": %ld, \"missed\": %ld}\n", elapsed,
           (double)held_bytes / 1e6 / held_seconds, wait_ms(0.5), wait_ms(0.99), failed, missed);
    fflush(stdout);
    memset(waits, 0, sizeof waits);
}

static void hold_rate(rd_kafka_t *client, double from, long bytes) {
    double ahead;
    while (!interrupted && (ahead = from + (double)bytes / (rate_mb_s * 1e6) - now()) > 0.0005)
        rd_kafka_poll(client, ahead > 0.01 ? 10 : 1);
}

static void run(rd_kafka_t *client, char *pool) {
    begun = now();
    /* Between two reports: since when, and what of it was a burst's. */
    double reported = begun, burst_time = 0, next_report = interval, next_burst = burst_every / 2 + 2;
    long reported_bytes = acknowledged_bytes, burst_bytes = 0;
    /* Since when the rate is held: since the start or the last burst. */
    double held_from = begun;
    long held_bytes = sent_bytes;
    while (!interrupted && now() - begun < seconds) {
        for (int i = 0; i < 8; i++) send_one(client, any_topic(), pool);
        rd_kafka_poll(client, 0);
        hold_rate(client, held_from, sent_bytes - held_bytes);
        double elapsed = now() - begun;
        if (elapsed >= next_report) {
            report(elapsed, now() - reported - burst_time, acknowledged_bytes - reported_bytes - burst_bytes);
            reported = now(), reported_bytes = acknowledged_bytes, burst_time = 0, burst_bytes = 0, next_report += interval;
        }
        if (burst_every > 0 && elapsed >= next_burst) {
            double from = now();
            long bytes = acknowledged_bytes;
            burst(client, pool);
            held_from = now(), held_bytes = sent_bytes, next_burst += burst_every;
            burst_time += held_from - from, burst_bytes += acknowledged_bytes - bytes;
        }
    }
}

static void interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

int main(int count, char **arguments) {
    parse(count - 1, arguments + 1);
    read_plan();
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    rd_kafka_t *client = producer();
    char *pool = random_bytes(2 * POOL);
    greet(client, pool);
    run(client, pool);
    drain(client, DRAIN_FLEETING_SECONDS);
    printf("{\"sent_mb\": %.1f, \"acknowledged_mb\": %.1f, \"failed\": %ld, \"missed\": %ld}\n", (double)sent_bytes / 1e6,
           (double)acknowledged_bytes / 1e6, failed, missed);
    fflush(stdout);
    /* A fleeting topic's records may wait for it to come back: they are not waited for. */
    _exit(failed > 0);
}
