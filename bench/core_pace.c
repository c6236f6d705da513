/* What a core gets done for its CPU time while others use the machine. A virtual core may be a thread of a real one whose other thread
 * is somebody else's, and its clock may differ: the time counts as much, and nothing in /proc tells.
 *
 *   core_pace      every 20 ms, until SIGTERM, the same arithmetic in registers, some tenths of a millisecond of it; then a line of JSON:
 *                  the CPU time that it took on average, and the 10th percentile, in ms
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES_MAX = 1 << 16, STEPS = 150000 };

static volatile sig_atomic_t is_over;

static void stop(int signal) {
    (void)signal;
    is_over = 1;
}

static double cpu_milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Four chains that do not wait for each other. The caller's number keeps a compiler from doing it once for all. */
static uint64_t compute(uint64_t a) {
    uint64_t b = 2, c = 3, d = 4;
    for (int i = 0; i < STEPS; i++) {
        a = a * 3 + i;
        b = b * 5 + i;
        c = c * 7 + i;
        d ^= d << 1;
        d += i;
    }
    return a + b + c + d;
}

int main(void) {
    static double samples[SAMPLES_MAX];
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    volatile uint64_t result = 0;
    double sum = 0;
    int count = 0;
    signal(SIGTERM, stop);
    do {
        double begun = cpu_milliseconds();
        result = compute(result);
        samples[count] = cpu_milliseconds() - begun;
        sum += samples[count++];
        nanosleep(&pause, NULL);
    } while (!is_over && count < SAMPLES_MAX);
    qsort(samples, count, sizeof *samples, by_size);
    printf("{\"arithmetic_ms\": %.4f, \"arithmetic_p10_ms\": %.4f}\n", sum / count, samples[count / 10]);
}
