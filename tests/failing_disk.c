/* Preloaded into a command and its children: the n-th write under some folders fails, as on a full or worn-out disk.

   FAIL_UNDER  folders, parted by colons; names are compared as they are
   FAIL_AT     n; 0: none, they are counted only
   FAIL_ERRNO  the number of the error
   FAIL_MODE   once, or from (all writes from the n-th on)
   FAIL_COUNT  a file of 8 bytes at least, shared by all processes: how many there were
   FAIL_TOLD   a file that gets a line for each write; optional */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long *count;
static const char *under;
static long at;
static int number, from;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAIL_COUNT"), *mode = getenv("FAIL_MODE");
    under = getenv("FAIL_UNDER");
    if (!name || !under) return;
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (map == MAP_FAILED) return;
    at = getenv("FAIL_AT") ? atol(getenv("FAIL_AT")) : 0;
    number = getenv("FAIL_ERRNO") ? atoi(getenv("FAIL_ERRNO")) : ENOSPC;
    from = mode && !strcmp(mode, "from");
    count = map;
}

static int is_under(const char *path) {
    for (const char *one = under; *one;) {
        size_t length = strcspn(one, ":");
        if (length && !strncmp(path, one, length) && (path[length] == '/' || !path[length])) return 1;
        one += length + (one[length] == ':');
    }
    return 0;
}

static void tell(long n, const char *what, const char *path) {
    const char *name = getenv("FAIL_TOLD");
    char line[PATH_MAX + 100];
    if (!name) return;
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    int length = snprintf(line, sizeof line, "%ld %d %s %s\n", n, (int)getpid(), what, path);
    syscall(SYS_write, fd, line, length);
    syscall(SYS_close, fd);
}

static int fails(const char *what, const char *path) {
    if (!count || !is_under(path)) return 0;
    int before = errno;
    long n = atomic_fetch_add(count, 1) + 1;
    tell(n, what, path);
    errno = before;
    if (!at || (from ? n < at : n != at)) return 0;
    errno = number;
    return 1;
}

static int fails_at(const char *what, int fd) {
    char link[40], path[PATH_MAX];
    if (!count) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(what, path);
}

static int fails_named(const char *what, int folder, const char *path) {
    char link[40], whole[2 * PATH_MAX];
    if (!count || !path) return 0;
    if (*path == '/') return fails(what, path);
    int before = errno;
    if (folder == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, whole, PATH_MAX - 1);
        if (length < 0) { errno = before; return 0; }
        whole[length] = 0;
    }
    errno = before;
    snprintf(whole + strlen(whole), PATH_MAX, "/%s", path);
    return fails(what, whole);
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *from_, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return fails_at("write", fd) ? -1 : real(fd, from_, size);
}
ssize_t pwrite(int fd, const void *from_, size_t size, off_t where) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return fails_at("pwrite", fd) ? -1 : real(fd, from_, size, where);
}
ssize_t pwrite64(int fd, const void *from_, size_t size, off64_t where) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return fails_at("pwrite", fd) ? -1 : real(fd, from_, size, where);
}
ssize_t writev(int fd, const struct iovec *parts, int many) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return fails_at("writev", fd) ? -1 : real(fd, parts, many);
}
ssize_t sendfile(int out, int in, off_t *where, size_t size) {
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    return fails_at("sendfile", out) ? -1 : real(out, in, where, size);
}
ssize_t sendfile64(int out, int in, off64_t *where, size_t size) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    return fails_at("sendfile", out) ? -1 : real(out, in, where, size);
}
ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t size, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    return fails_at("copy_file_range", out) ? -1 : real(in, a, out, b, size, flags);
}
size_t fwrite(const void *from_, size_t size, size_t many, FILE *file) { /* libc writes past write() */
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    return fails_at("fwrite", fileno(file)) ? 0 : real(from_, size, many, file);
}
int fflush(FILE *file) {
    REAL(int, fflush, FILE *);
    return file && fails_at("fflush", fileno(file)) ? EOF : real(file);
}
int fsync(int fd) {
    REAL(int, fsync, int);
    return fails_at("fsync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return fails_at("fdatasync", fd) ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) {
    REAL(int, ftruncate, int, off_t);
    return size && fails_at("ftruncate", fd) ? -1 : real(fd, size); /* to nothing needs no room */
}
int ftruncate64(int fd, off64_t size) {
    REAL(int, ftruncate64, int, off64_t);
    return size && fails_at("ftruncate", fd) ? -1 : real(fd, size);
}
int posix_fallocate(int fd, off_t where, off_t size) { /* returns the error */
    REAL(int, posix_fallocate, int, off_t, off_t);
    return fails_at("fallocate", fd) ? errno : real(fd, where, size);
}
int posix_fallocate64(int fd, off64_t where, off64_t size) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    return fails_at("fallocate", fd) ? errno : real(fd, where, size);
}
int rename(const char *old, const char *new) {
    REAL(int, rename, const char *, const char *);
    return fails_named("rename", AT_FDCWD, new) ? -1 : real(old, new);
}
int renameat(int a, const char *old, int b, const char *new) {
    REAL(int, renameat, int, const char *, int, const char *);
    return fails_named("rename", b, new) ? -1 : real(a, old, b, new);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    struct stat found;
    if (!stat(path, &found)) { errno = EEXIST; return -1; } /* needs no room */
    return fails_named("mkdir", AT_FDCWD, path) ? -1 : real(path, mode);
}

#define MAKES(flags) ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE)
#define MODE_OF(flags) mode_t mode = 0; \
    if (MAKES(flags)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) {
    REAL(int, open, const char *, int, ...);
    MODE_OF(flags)
    return MAKES(flags) && fails_named("open", AT_FDCWD, path) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(int, open64, const char *, int, ...);
    MODE_OF(flags)
    return MAKES(flags) && fails_named("open", AT_FDCWD, path) ? -1 : real(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    REAL(int, openat, int, const char *, int, ...);
    MODE_OF(flags)
    return MAKES(flags) && fails_named("open", folder, path) ? -1 : real(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    REAL(int, openat64, int, const char *, int, ...);
    MODE_OF(flags)
    return MAKES(flags) && fails_named("open", folder, path) ? -1 : real(folder, path, flags, mode);
}
FILE *fopen(const char *path, const char *mode) {
    REAL(FILE *, fopen, const char *, const char *);
    return (*mode == 'w' || *mode == 'a') && fails_named("fopen", AT_FDCWD, path) ? NULL : real(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
    REAL(FILE *, fopen64, const char *, const char *);
    return (*mode == 'w' || *mode == 'a') && fails_named("fopen", AT_FDCWD, path) ? NULL : real(path, mode);
}
