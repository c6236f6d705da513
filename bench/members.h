/* Kafka's protocol in the small: requests are put together, replies taken apart, and connections polled in one thread.
 *
 * Included by groups.c and transactions.c; there is one request under way on a connection at any time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_BYTES_MAX = 1 << 20, ASSIGNED_MAX = 1024 };

typedef struct Member {
    int fd, asked, outstanding;
    size_t have;
    char *in;
    char group[64], id[256], leader[256];
    int32_t generation;
    int done, owned[ASSIGNED_MAX], owned_count, tell;
    double sent_at;
} Member;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- Writing a request: big-endian, lengths of 16 and 32 bits, or of varints in flexible versions. */

static unsigned char out[FRAME_BYTES_MAX];
static size_t out_size;

static void put(const void *bytes, size_t size) {
    if (out_size + size > sizeof out) fail("a request is too large");
    memcpy(out + out_size, bytes, size);
    out_size += size;
}
static void put8(int value) { put(&(unsigned char){(unsigned char)value}, 1); }
static void put16(int value) { put(&(uint16_t){htons((uint16_t)value)}, 2); }
static void put32(int32_t value) { put(&(uint32_t){htonl((uint32_t)value)}, 4); }
static void put64(int64_t value) { put32((int32_t)(value >> 32)), put32((int32_t)value); }
static void put_string(const char *text) { put16((int)strlen(text)), put(text, strlen(text)); }
static void put_varint(unsigned value) {
    for (; value > 0x7f; value >>= 7) put8((int)(value & 0x7f) | 0x80);
    put8((int)value);
}
static void put_compact(const char *text) { put_varint((unsigned)strlen(text) + 1), put(text, strlen(text)); }

static void begin(int api, int version, int flexible) {
    out_size = 4;
    put16(api), put16(version), put32(7), put_string("bench");
    if (flexible) put8(0);
}

static void send_request(Member *member, int api) {
    uint32_t size = htonl((uint32_t)(out_size - 4));
    memcpy(out, &size, 4);
    for (size_t sent = 0; sent < out_size;) {
        ssize_t count = write(member->fd, out + sent, out_size - sent);
        if (count < 0 && errno != EAGAIN) fail("write: %s", strerror(errno));
        if (count > 0) sent += (size_t)count;
    }
    member->asked = api, member->outstanding = 1, member->sent_at = now();
}

/* ---- Reading a reply. */

static const unsigned char *at, *end;

static const unsigned char *take(size_t size) {
    if ((size_t)(end - at) < size) fail("a reply ends early");
    at += size;
    return at - size;
}
static int get8(void) { return *take(1); }
static int get16(void) { const unsigned char *p = take(2); return (int16_t)(p[0] << 8 | p[1]); }
static int32_t get32(void) { const unsigned char *p = take(4); return (int32_t)((uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]); }
static unsigned get_varint(void) {
    unsigned value = 0;
    for (int shift = 0;; shift += 7) {
        int byte = get8();
        value |= (unsigned)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
}
static void get_string(char *text, size_t room, int size) {
    if (size < 0) size = 0;
    const unsigned char *bytes = take((size_t)size);
    if ((size_t)size >= room) fail("a string is too long");
    memcpy(text, bytes, (size_t)size), text[size] = 0;
}

/* ---- Connections. */

static int poller;

static Member *connect_members(const char *broker, long count) {
    char host[64];
    const char *colon = strrchr(broker, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - broker), broker);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("%s is not an address", host);
    poller = epoll_create1(0);
    Member *members = calloc((size_t)count, sizeof *members);
    for (long i = 0; i < count; i++) {
        Member *member = &members[i];
        member->fd = socket(AF_INET, SOCK_STREAM, 0), member->in = malloc(FRAME_BYTES_MAX), member->generation = -1;
        if (connect(member->fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect: %s", strerror(errno));
        setsockopt(member->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        fcntl(member->fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(poller, EPOLL_CTL_ADD, member->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = member});
    }
    return members;
}

/* Whether a whole reply has come; the reading functions above then stand behind its correlation id. */
static int receive(Member *member) {
    ssize_t count = read(member->fd, member->in + member->have, FRAME_BYTES_MAX - member->have);
    if (count == 0) fail("the broker closed a connection");
    if (count < 0) return errno == EAGAIN ? 0 : (fail("read: %s", strerror(errno)), 0);
    member->have += (size_t)count;
    uint32_t size;
    if (member->have < 4) return 0;
    memcpy(&size, member->in, 4);
    size = ntohl(size);
    if (size > FRAME_BYTES_MAX - 4) fail("a reply of %u bytes", size);
    if (member->have < size + 4) return 0;
    if (member->have > size + 4) fail("a reply that was not asked for");
    at = (unsigned char *)member->in + 8, end = (unsigned char *)member->in + 4 + size;
    member->have = 0, member->outstanding = 0;
    return 1;
}

/* Hands every reply that comes to `react`, until `over` says so. */
static void run(void (*react)(Member *), int (*over)(void)) {
    static struct epoll_event events[1024];
    while (!over()) {
        int count = epoll_wait(poller, events, 1024, 30000);
        if (count <= 0) fail("nothing came for 30 s");
        for (int i = 0; i < count; i++)
            if (receive(events[i].data.ptr)) react(events[i].data.ptr);
    }
}
