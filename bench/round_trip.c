/* How long a small message takes to another thread, and what it does there, and back over TCP on the loopback.
 *
 *   round_trip echo COUNT               100 bytes to a thread that sends them back: what no broker on this machine can be quicker than
 *   round_trip ask COUNT PORT… < FRAME  a request with its length in front to a broker, and its whole answer: what the broker takes,
 *                                       without the threads of a client library between which a record is handed; to each broker in
 *                                       turn, so that what the disk does to one it does to all
 *
 * A line of JSON comes out for each broker. The first hundred count for nothing.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 100, FRAME_BYTES_MAX = 1 << 16, UNCOUNTED = 100, PEERS_MAX = 16 };

static int check(int result, const char *what) {
    if (result >= 0) return result;
    perror(what);
    exit(1);
}

static double milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void at_once(int connection) {
    int on = 1;
    check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

static void *echo(void *listener) {
    char bytes[MESSAGE_BYTES];
    int connection = check(accept(*(int *)listener, NULL, NULL), "accept");
    at_once(connection);
    while (check(recv(connection, bytes, sizeof bytes, MSG_WAITALL), "recv") == MESSAGE_BYTES)
        check(send(connection, bytes, sizeof bytes, 0), "send");
    return NULL;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connected(struct sockaddr_in address) {
    int connection = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(connect(connection, (struct sockaddr *)&address, sizeof address), "connect");
    at_once(connection);
    return connection;
}

static void receive(int connection, void *bytes, size_t count) {
    if (check(recv(connection, bytes, count, MSG_WAITALL), "recv") == (int)count) return;
    fprintf(stderr, "round_trip: the other side closed the connection\n");
    exit(1);
}

/* The other side is a thread that sends back what comes. */
static int connected_to_echo(pthread_t *other) {
    static int listener;
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, 1), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    if (pthread_create(other, NULL, echo, &listener) != 0) {
        fprintf(stderr, "round_trip: no thread\n");
        exit(1);
    }
    return connected(address);
}

static void echoed(int connection) {
    char bytes[MESSAGE_BYTES] = {0};
    check(send(connection, bytes, sizeof bytes, 0), "send");
    receive(connection, bytes, sizeof bytes);
}

/* What the answer says is for whoever made the frame to check: by what was written. */
static void answered(int connection, const char *frame, size_t size) {
    static char answer[FRAME_BYTES_MAX];
    uint32_t length;
    check(send(connection, frame, size, 0), "send");
    receive(connection, &length, sizeof length);
    length = ntohl(length);
    if (length > sizeof answer) {
        fprintf(stderr, "round_trip: an answer of %u bytes\n", length);
        exit(1);
    }
    receive(connection, answer, length);
}

/* Each of the connections in turn; without a frame they lead to an echo. */
static void measure(const int *connections, int peers, const char *frame, size_t size, long count) {
    double *waits[PEERS_MAX];
    for (int peer = 0; peer < peers; peer++) waits[peer] = malloc(count * sizeof **waits);
    for (long i = -UNCOUNTED; i < count; i++)
        for (int peer = 0; peer < peers; peer++) {
            double begun = milliseconds();
            if (frame == NULL) echoed(connections[peer]);
            else answered(connections[peer], frame, size);
            if (i >= 0) waits[peer][i] = milliseconds() - begun;
        }
    for (int peer = 0; peer < peers; peer++) {
        qsort(waits[peer], count, sizeof **waits, by_value);
        printf("{\"sent\": %ld, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", count + UNCOUNTED, waits[peer][count / 2], waits[peer][count * 99 / 100]);
    }
}

int main(int count, char **arguments) {
    int connections[PEERS_MAX], peers = count - 3;
    long waits = count >= 3 ? atol(arguments[2]) : 0;
    if (count == 3 && !strcmp(arguments[1], "echo") && waits > 0) {
        pthread_t other;
        connections[0] = connected_to_echo(&other);
        measure(connections, 1, NULL, 0, waits);
        close(connections[0]);
        pthread_join(other, NULL);
    } else if (peers > 0 && peers <= PEERS_MAX && !strcmp(arguments[1], "ask") && waits > 0) {
        static char frame[FRAME_BYTES_MAX];
        size_t size = fread(frame, 1, sizeof frame, stdin);
        if (size == 0 || size == sizeof frame) return fprintf(stderr, "round_trip: no frame, or one too large\n"), 2;
        for (int peer = 0; peer < peers; peer++) connections[peer] = connected(loopback(atoi(arguments[3 + peer])));
        measure(connections, peers, frame, size, waits);
    } else {
        return fprintf(stderr, "usage: round_trip echo COUNT | round_trip ask COUNT PORT… < FRAME\n"), 2;
    }
}
