/* How long 100 bytes take to another thread and back over TCP on the loopback: what no broker on this machine can be quicker than.
 *
 *   loopback ROUND_TRIPS
 *
 * One line of JSON comes out.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 100 };

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

int main(int count, char **arguments) {
    long trips = count == 2 ? atol(arguments[1]) : 0;
    if (trips < 1) return fprintf(stderr, "usage: loopback ROUND_TRIPS\n"), 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket"), connection = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, 1), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    pthread_t other;
    if (pthread_create(&other, NULL, echo, &listener) != 0) return fprintf(stderr, "loopback: no thread\n"), 1;
    check(connect(connection, (struct sockaddr *)&address, sizeof address), "connect");
    at_once(connection);
    double *waits = malloc(trips * sizeof *waits);
    char bytes[MESSAGE_BYTES] = {0};
    for (long i = 0; i < trips; i++) {
        double begun = milliseconds();
        check(send(connection, bytes, sizeof bytes, 0), "send");
        if (check(recv(connection, bytes, sizeof bytes, MSG_WAITALL), "recv") != MESSAGE_BYTES) return fprintf(stderr, "loopback: closed\n"), 1;
        waits[i] = milliseconds() - begun;
    }
    close(connection);
    pthread_join(other, NULL);
    qsort(waits, trips, sizeof *waits, by_value);
    printf("{\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", waits[trips / 2], waits[trips * 99 / 100]);
}
