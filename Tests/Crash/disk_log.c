/* LD_PRELOAD shim: writes down what a store's file is told, so that a test can lay out what a disk may hold after a power cut.
 *
 * DISK_LOG_STORE  path of the data.mdb that is watched
 * DISK_LOG        file to append to; for each step a head of 16 bytes, and behind the head of a write its bytes:
 *
 *   'W' length offset bytes   about to be written: from now on some of it may be on the disk
 *   'P'                       the write before it is on the disk (O_DSYNC)
 *   'S'                       all writes before it are on the disk (fdatasync, fsync)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { PIECES_MAX = 1024 };

struct head {
    char step, unused[3];
    uint32_t length;
    uint64_t offset;
};

/* One step after another, as the log has them. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char store[4096];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_LOG"), *watched = getenv("DISK_LOG_STORE");
    if (path == NULL || watched == NULL) return;
    snprintf(store, sizeof store, "%s", watched);
    journal = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
}

static int is_store(int fd) {
    char link[64], path[4096];
    if (journal < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strcmp(path, store) == 0;
}

/* A log with something missing would prove nothing. */
static void put(char step, uint64_t offset, const struct iovec *pieces, int count) {
    struct iovec all[PIECES_MAX + 1];
    struct head head = {.step = step, .offset = offset};
    if (count > PIECES_MAX) abort();
    for (int i = 0; i < count; i++) {
        all[i + 1] = pieces[i];
        head.length += pieces[i].iov_len;
    }
    all[0] = (struct iovec){&head, sizeof head};
    if (REAL(writev)(journal, all, count + 1) != (ssize_t)(sizeof head + head.length)) abort();
}

static void begin_write(const struct iovec *pieces, int count, off64_t offset) {
    pthread_mutex_lock(&turn);
    put('W', offset, pieces, count);
}

static ssize_t end_write(int fd, ssize_t written) {
    if (written >= 0 && (fcntl(fd, F_GETFL) & O_DSYNC)) put('P', 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (!is_store(fd)) return REAL(pwrite64)(fd, data, size, offset);
    begin_write(&(struct iovec){(void *)data, size}, 1, offset);
    return end_write(fd, REAL(pwrite64)(fd, data, size, offset));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    if (!is_store(fd)) return REAL(pwritev64)(fd, pieces, count, offset);
    begin_write(pieces, count, offset);
    return end_write(fd, REAL(pwritev64)(fd, pieces, count, offset));
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) { return pwritev64(fd, pieces, count, offset); }

/* LMDB writes several adjacent pages with lseek and writev. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (!is_store(fd)) return REAL(writev)(fd, pieces, count);
    begin_write(pieces, count, lseek64(fd, 0, SEEK_CUR));
    return end_write(fd, REAL(writev)(fd, pieces, count));
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!is_store(fd)) return REAL(write)(fd, data, size);
    begin_write(&(struct iovec){(void *)data, size}, 1, lseek64(fd, 0, SEEK_CUR));
    return end_write(fd, REAL(write)(fd, data, size));
}

static int synced(int (*sync)(int), int fd) {
    if (!is_store(fd)) return sync(fd);
    pthread_mutex_lock(&turn);
    int result = sync(fd);
    if (result == 0) put('S', 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    return result;
}

int fdatasync(int fd) { return synced(REAL(fdatasync), fd); }

int fsync(int fd) { return synced(REAL(fsync), fd); }
