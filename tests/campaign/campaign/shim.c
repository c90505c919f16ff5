/* Preloaded into an export: counts its calls that change files, and fails or dies at one of them.

   lira_arm(shared, at, mode): from now on calls are counted in *shared; at call number `at`, from 0,
   mode 0 only counts, 1 fails with ENOSPC, 2 dies, 3 writes half of what it should (where it writes) and dies. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile long *calls;
static long moment;
static int way;

void lira_arm(volatile long *shared, long at, int mode) {
    moment = at;
    way = mode;
    calls = shared;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* Whether the call is to fail; does not return where it is to die. 2: it is to write half. */
static int struck(void) {
    if (!calls || (*calls)++ != moment || way == 0) return 0;
    if (way == 2) die();
    if (way == 1) errno = ENOSPC;
    return way == 1 ? 1 : 2;
}

static int regular(int file) {
    struct stat found;
    int before = errno, is = file > 2 && !fstat(file, &found) && S_ISREG(found.st_mode);
    errno = before;
    return is;
}

#define HONEST(type, name, ...) \
    static type (*honest)(__VA_ARGS__); \
    if (!honest) honest = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* What writes: half of it is written before a death of the third kind. */
#define WRITES(name, type, declared, given, half) \
    ssize_t name declared { \
        HONEST(ssize_t, name, type); \
        if (regular(file)) { \
            int found = struck(); \
            if (found == 1) return -1; \
            if (found == 2) { honest half; die(); } \
        } \
        return honest given; \
    }
#define PACK(...) __VA_ARGS__
WRITES(write, PACK(int, const void *, size_t), (int file, const void *data, size_t size), (file, data, size),
       (file, data, size / 2))
WRITES(pwrite64, PACK(int, const void *, size_t, off_t), (int file, const void *data, size_t size, off_t at),
       (file, data, size, at), (file, data, size / 2, at))
WRITES(writev, PACK(int, const struct iovec *, int), (int file, const struct iovec *parts, int count),
       (file, parts, count), (file, parts, count / 2))
WRITES(sendfile64, PACK(int, int, off_t *, size_t), (int file, int from, off_t *at, size_t size),
       (file, from, at, size), (file, from, at, size / 2))

/* What changes names, or makes sure of what was written. */
#define CHANGES(name, type, declared, given) \
    int name declared { \
        HONEST(int, name, type); \
        int found = struck(); \
        if (found == 1) return -1; \
        if (found == 2) die(); \
        return honest given; \
    }
CHANGES(fsync, PACK(int), (int file), (file))
CHANGES(fdatasync, PACK(int), (int file), (file))
CHANGES(ftruncate64, PACK(int, off_t), (int file, off_t size), (file, size))
CHANGES(rename, PACK(const char *, const char *), (const char *a, const char *b), (a, b))
CHANGES(renameat, PACK(int, const char *, int, const char *), (int i, const char *a, int j, const char *b),
        (i, a, j, b))
CHANGES(renameat2, PACK(int, const char *, int, const char *, unsigned),
        (int i, const char *a, int j, const char *b, unsigned flags), (i, a, j, b, flags))
CHANGES(link, PACK(const char *, const char *), (const char *a, const char *b), (a, b))
CHANGES(linkat, PACK(int, const char *, int, const char *, int),
        (int i, const char *a, int j, const char *b, int flags), (i, a, j, b, flags))
CHANGES(mkdir, PACK(const char *, mode_t), (const char *a, mode_t mode), (a, mode))
CHANGES(chmod, PACK(const char *, mode_t), (const char *a, mode_t mode), (a, mode))
CHANGES(unlink, PACK(const char *), (const char *a), (a))
CHANGES(unlinkat, PACK(int, const char *, int), (int i, const char *a, int flags), (i, a, flags))
CHANGES(rmdir, PACK(const char *), (const char *a), (a))

/* Opening counts where it makes or empties a file. */
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        HONEST(int, name, const char *, int, ...); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        int found = flags & (O_CREAT | O_TRUNC) ? struck() : 0; \
        if (found == 1) return -1; \
        if (found == 2) die(); \
        return honest(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
