/* What LMDB alone makes of the same bytes in the same commits: the broker's yardstick.
 *
 *   raw_lmdb write   DIR BYTES COMMIT_BYTES [nometasync]
 *   raw_lmdb rewrite DIR BYTES COMMIT_BYTES [nometasync]
 *   raw_lmdb read    DIR
 *   raw_lmdb rows    DIR ROWS COMMITS [nometasync]
 *
 * Writes append to one integer-keyed database, as the broker's journal does, in values of at
 * most 64 pages less a header (262128 bytes); each commit is synced. A rewrite first deletes all
 * that is there, as many values a commit as the broker's sweep takes and not part of the measurement,
 * so that it writes into space used before. Reads walk all values and copy them out once, as a fetch
 * must. Rows are committed offsets of 100 groups, put over and over in the number of commits given.
 * One line of JSON comes out.
 */
#include <lmdb.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { VALUE_BYTES_MAX = 64 * 4096 - 16, DELETIONS_PER_COMMIT = 64, GROUPS = 100, OFFSET_BYTES = 40 };

static void check(int code, const char *what) {
    if (code == MDB_SUCCESS) return;
    fprintf(stderr, "raw_lmdb: %s: %s\n", what, mdb_strerror(code));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Seconds of CPU that this process has taken, in user mode and in the kernel. */
static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static MDB_env *open_environment(const char *directory, unsigned flags) {
    MDB_env *environment;
    /* The broker's own settings: by default glibc maps and unmaps every value anew, and a yardstick that spends its
       time on page faults measures too short. */
    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    check(mdb_env_create(&environment), "create");
    check(mdb_env_set_mapsize(environment, (size_t)1 << 40), "map size");
    check(mdb_env_open(environment, directory, flags, 0600), "open");
    return environment;
}

static MDB_dbi open_database(MDB_env *environment, unsigned flags) {
    MDB_txn *transaction;
    MDB_dbi database;
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    check(mdb_dbi_open(transaction, NULL, flags, &database), "database");
    check(mdb_txn_commit(transaction), "commit");
    return database;
}

/* Deletes from the front until nothing is left; a transaction reuses only what an earlier one has freed. */
static void delete_all(MDB_env *environment, MDB_dbi journal) {
    for (int code = MDB_SUCCESS; code == MDB_SUCCESS;) {
        MDB_txn *transaction;
        MDB_cursor *cursor;
        MDB_val key, value;
        check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
        check(mdb_cursor_open(transaction, journal, &cursor), "cursor");
        for (int i = 0; i < DELETIONS_PER_COMMIT && (code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)) == MDB_SUCCESS; i++)
            check(mdb_cursor_del(cursor, 0), "delete");
        if (code != MDB_NOTFOUND) check(code, "first");
        mdb_cursor_close(cursor);
        check(mdb_txn_commit(transaction), "commit");
    }
}

static void write_one(MDB_env *environment, MDB_dbi journal, uint64_t *sequence, const char *bytes, size_t commit) {
    MDB_txn *transaction;
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    for (size_t left = commit; left > 0; (*sequence)++) {
        size_t size = left < VALUE_BYTES_MAX ? left : VALUE_BYTES_MAX;
        MDB_val key = {sizeof *sequence, sequence}, value = {size, NULL};
        check(mdb_put(transaction, journal, &key, &value, MDB_APPEND | MDB_RESERVE), "put");
        memcpy(value.mv_data, bytes, size);
        left -= size;
    }
    check(mdb_txn_commit(transaction), "commit");
}

static void write_commits(MDB_env *environment, MDB_dbi journal, size_t total, size_t commit) {
    char *bytes = malloc(VALUE_BYTES_MAX);
    for (size_t i = 0; i < VALUE_BYTES_MAX; i++) bytes[i] = (char)(i * 2654435761u >> 24);
    size_t commits = (total + commit - 1) / commit;
    double *waits = malloc(commits * sizeof *waits), begun = now(), used = cpu();
    uint64_t sequence = 0;
    for (size_t number = 0; number < commits; number++) {
        double started = now();
        write_one(environment, journal, &sequence, bytes, commit);
        waits[number] = (now() - started) * 1e3;
    }
    check(mdb_env_sync(environment, 1), "sync");
    double seconds = now() - begun;
    used = cpu() - used;
    qsort(waits, commits, sizeof *waits, by_value);
    printf("{\"mb_s\": %.2f, \"seconds\": %.4f, \"cpu_s\": %.4f, \"commits\": %zu, \"commits_s\": %.1f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f}\n", commits * (double)commit / 1e6 / seconds, seconds, used, commits, commits / seconds,
           waits[commits / 2], waits[commits * 99 / 100]);
    mdb_env_close(environment);
}

/* Committed offsets: keys of group, topic and partition as the broker has them, values of a row's size. */
static void write_rows(MDB_env *environment, MDB_dbi rows, long count, long commits) {
    unsigned char key[64], value[OFFSET_BYTES] = {0};
    double begun = now();
    for (long done = 0, number = 0; number < commits; number++) {
        MDB_txn *transaction;
        check(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
        for (long until = count * (number + 1) / commits; done < until; done++) {
            int length = snprintf((char *)key, sizeof key, "%cbench-%02ld0123456789abcdef%04ld", 8, done % GROUPS, done % GROUPS);
            MDB_val at = {(size_t)length, key}, row = {sizeof value, value};
            memcpy(value, &done, sizeof done);
            check(mdb_put(transaction, rows, &at, &row, 0), "put");
        }
        check(mdb_txn_commit(transaction), "commit");
    }
    double seconds = now() - begun;
    printf("{\"rows_s\": %.1f, \"commits_s\": %.1f, \"seconds\": %.4f}\n", count / seconds, commits / seconds, seconds);
    mdb_env_close(environment);
}

static void read_all(const char *directory) {
    MDB_env *environment = open_environment(directory, MDB_RDONLY);
    MDB_txn *transaction;
    MDB_dbi journal;
    MDB_cursor *cursor;
    MDB_val key, value;
    check(mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction), "begin");
    check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &journal), "database");
    check(mdb_cursor_open(transaction, journal, &cursor), "cursor");
    char *bytes = malloc(VALUE_BYTES_MAX);
    double begun = now(), used = cpu(), total = 0;
    unsigned sum = 0;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
        memcpy(bytes, value.mv_data, value.mv_size);
        sum += (unsigned char)bytes[value.mv_size / 2];
        total += value.mv_size;
    }
    double seconds = now() - begun;
    used = cpu() - used;
    printf("{\"mb_s\": %.2f, \"seconds\": %.4f, \"cpu_s\": %.4f, \"sum\": %u}\n", total / 1e6 / seconds, seconds, used, sum);
    mdb_cursor_close(cursor);
    mdb_txn_abort(transaction);
    mdb_env_close(environment);
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "";
    if (count >= 5 && (!strcmp(mode, "write") || !strcmp(mode, "rewrite"))) {
        unsigned flags = count > 5 && !strcmp(arguments[5], "nometasync") ? MDB_NOMETASYNC : 0;
        MDB_env *environment = open_environment(arguments[2], flags);
        MDB_dbi journal = open_database(environment, MDB_INTEGERKEY);
        if (!strcmp(mode, "rewrite")) delete_all(environment, journal);
        write_commits(environment, journal, strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10));
    } else if (count >= 5 && !strcmp(mode, "rows")) {
        MDB_env *environment = open_environment(arguments[2], count > 5 && !strcmp(arguments[5], "nometasync") ? MDB_NOMETASYNC : 0);
        write_rows(environment, open_database(environment, 0), strtol(arguments[3], NULL, 10), strtol(arguments[4], NULL, 10));
    } else if (count >= 3 && !strcmp(mode, "read")) {
        read_all(arguments[2]);
    } else {
        fprintf(stderr, "usage: raw_lmdb write|rewrite DIR BYTES COMMIT_BYTES [nometasync] | read DIR | rows DIR ROWS COMMITS [nometasync]\n");
        return 2;
    }
    return 0;
}
