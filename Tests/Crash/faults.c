/* LD_PRELOAD shim: makes the n-th write or sync of data.mdb fail, so that a test can see what the broker does.
 *
 * LMB_FAULT_ARM     file; calls are counted only while it exists, so that a test chooses the moment
 * LMB_FAULT_FIRED   file; created when the fault has struck for the first time
 * LMB_FAULT_CALL    "write" (pwrite, pwritev, writev), "sync" (fdatasync, fsync, msync) or "any"
 * LMB_FAULT_AT      which counted call fails, from 1
 * LMB_FAULT_ERROR   "EIO" or "ENOSPC"
 * LMB_FAULT_REPEAT  "once" or "forever"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <stdio.h>

static atomic_long counted;

static int setting_is(const char *name, const char *value) {
    const char *set = getenv(name);
    return set != NULL && strcmp(set, value) == 0;
}

/* Whether a descriptor is open on a file named data.mdb. */
static int is_store(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 8) return 0;
    path[length] = 0;
    return strcmp(path + length - 8, "data.mdb") == 0;
}

/* Counts a call of the kind and decides whether it fails; errno is set when it does. */
static int strikes(const char *kind) {
    const char *arm = getenv("LMB_FAULT_ARM"), *fired = getenv("LMB_FAULT_FIRED"), *at = getenv("LMB_FAULT_AT");
    if (arm == NULL || at == NULL || access(arm, F_OK) != 0) return 0;
    if (!setting_is("LMB_FAULT_CALL", kind) && !setting_is("LMB_FAULT_CALL", "any")) return 0;
    long number = atomic_fetch_add(&counted, 1) + 1;
    long wanted = atol(at);
    if (number < wanted || (number > wanted && !setting_is("LMB_FAULT_REPEAT", "forever"))) return 0;
    if (fired != NULL) {
        int fd = open(fired, O_CREAT | O_WRONLY, 0600);
        if (fd >= 0) close(fd);
    }
    errno = setting_is("LMB_FAULT_ERROR", "ENOSPC") ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (is_store(fd) && strikes("write")) return -1;
    return REAL(pwrite)(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (is_store(fd) && strikes("write")) return -1;
    return REAL(pwrite64)(fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
    if (is_store(fd) && strikes("write")) return -1;
    return REAL(pwritev)(fd, pieces, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    if (is_store(fd) && strikes("write")) return -1;
    return REAL(pwritev64)(fd, pieces, count, offset);
}

/* LMDB writes several adjacent pages with lseek and writev. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (is_store(fd) && strikes("write")) return -1;
    return REAL(writev)(fd, pieces, count);
}

int fdatasync(int fd) {
    if (is_store(fd) && strikes("sync")) return -1;
    return REAL(fdatasync)(fd);
}

int fsync(int fd) {
    if (is_store(fd) && strikes("sync")) return -1;
    return REAL(fsync)(fd);
}

/* No descriptor to look at: the store is the only file that the broker maps and syncs. */
int msync(void *address, size_t length, int flags) {
    if (strikes("sync")) return -1;
    return REAL(msync)(address, length, flags);
}
