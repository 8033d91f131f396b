/*
 * Preloaded into a process: writes down, in the order in which they happen, the operations that change files below POWER_ROOT, with
 * their bytes, into POWER_LOG. It sees what libuv and SQLite ask of libc; SQLite's index of its log (-shm) is left out, because a
 * start makes it anew.
 *
 * Invariant: an operation and its record happen under one lock, also across processes, so that the order of records is that of the
 * operations. A sync has two records, its begin and its end, because others write while it runs: it covers what stands before its begin.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_FILES = 4096 };

/* As operation-log.ts reads it; little-endian, followed by both paths and the bytes. */
struct __attribute__((packed)) record {
  uint32_t length;
  uint8_t kind;
  uint64_t inode, number;
  uint32_t path_length, to_length, data_length;
};

static const char *root;
static size_t root_length;
static int log_file = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t syncs;
/* What was opened below the root under this number. Closes are not seen, so that each use compares. */
static struct { dev_t device; ino_t inode; } files[MAX_FILES];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("POWER_LOG");
  root = getenv("POWER_ROOT");
  if (!root || !path) return;
  root_length = strlen(root);
  log_file = REAL(open64)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (log_file < 0) abort();
}

static void lock(void) {
  pthread_mutex_lock(&mutex);
  flock(log_file, LOCK_EX);
}

static void unlock(void) {
  flock(log_file, LOCK_UN);
  pthread_mutex_unlock(&mutex);
}

static int is_ours(const char *path) {
  if (log_file < 0 || !path || strncmp(path, root, root_length) != 0) return 0;
  if (path[root_length] != '/' && path[root_length] != 0) return 0;
  size_t length = strlen(path);
  return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

/* The inode of a file or a folder of ours that is open under this number; 0: it is none. */
static ino_t inode_of(int file) {
  struct stat64 found;
  if (log_file < 0 || file < 0 || file >= MAX_FILES || files[file].inode == 0) return 0;
  if (fstat64(file, &found) != 0 || found.st_dev != files[file].device || found.st_ino != files[file].inode) return 0;
  return found.st_ino;
}

static const char *below(const char *path) {
  return path[root_length] == '/' ? path + root_length + 1 : path + root_length;
}

struct content { const struct iovec *parts; int count; size_t bytes; };

static void put(uint8_t kind, uint64_t inode, uint64_t number, const char *path, const char *to, struct content data) {
  struct iovec all[3 + 1024];
  struct record head = {0, kind, inode, number, path ? strlen(path) : 0, to ? strlen(to) : 0, data.bytes};
  head.length = sizeof head + head.path_length + head.to_length + head.data_length;
  int count = 0;
  all[count++] = (struct iovec){&head, sizeof head};
  all[count++] = (struct iovec){(void *)path, head.path_length};
  all[count++] = (struct iovec){(void *)to, head.to_length};
  size_t left = data.bytes;
  for (int index = 0; index < data.count && left > 0; index++) {
    if (count == 3 + 1024) abort();
    size_t taken = data.parts[index].iov_len < left ? data.parts[index].iov_len : left;
    all[count++] = (struct iovec){data.parts[index].iov_base, taken};
    left -= taken;
  }
  if (REAL(writev)(log_file, all, count) != (ssize_t)head.length) abort();
}

static const struct content no_content = {0, 0, 0};

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  if (!is_ours(path)) {
    int file = real(path, flags, mode);
    if (file >= 0 && file < MAX_FILES) files[file].inode = 0;
    return file;
  }
  lock();
  int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
  int file = real(path, flags, mode);
  if (file >= MAX_FILES) abort();
  struct stat64 found;
  if (file >= 0 && fstat64(file, &found) == 0) {
    files[file].device = found.st_dev;
    files[file].inode = found.st_ino;
    if (is_new) put('c', found.st_ino, 0, below(path), 0, no_content);
    else if (flags & O_TRUNC) put('t', found.st_ino, 0, 0, 0, no_content);
  }
  unlock();
  return file;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    return opened((int (*)(const char *, int, ...))REAL(name), path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

/* Runs a write and records as much of it as was written. `position` -1: where the file stands. */
#define WRITTEN(call, file, position, given, given_count) \
  if (!inode_of(file)) return call; \
  lock(); \
  ssize_t done = call; \
  if (done > 0) { \
    off64_t at = (position) >= 0 ? (off64_t)(position) : lseek64(file, 0, SEEK_CUR) - done; \
    put('w', inode_of(file), at, 0, 0, (struct content){given, given_count, done}); \
  } \
  unlock(); \
  return done

ssize_t write(int file, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  WRITTEN(REAL(write)(file, bytes, length), file, -1, &part, 1);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t position) {
  struct iovec part = {(void *)bytes, length};
  WRITTEN(REAL(pwrite)(file, bytes, length, position), file, position, &part, 1);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t position) {
  struct iovec part = {(void *)bytes, length};
  WRITTEN(REAL(pwrite64)(file, bytes, length, position), file, position, &part, 1);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  WRITTEN(REAL(writev)(file, parts, count), file, -1, parts, count);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t position) {
  WRITTEN(REAL(pwritev)(file, parts, count, position), file, position, parts, count);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t position) {
  WRITTEN(REAL(pwritev64)(file, parts, count, position), file, position, parts, count);
}

/* Records what happened to names and sizes when it succeeded. */
#define RECORDED(is_wanted, call, record) \
  if (!(is_wanted)) return call; \
  lock(); \
  int result = call; \
  if (result == 0) record; \
  unlock(); \
  return result

int ftruncate(int file, off_t size) {
  RECORDED(inode_of(file), REAL(ftruncate)(file, size), put('t', inode_of(file), size, 0, 0, no_content));
}

int ftruncate64(int file, off64_t size) {
  RECORDED(inode_of(file), REAL(ftruncate64)(file, size), put('t', inode_of(file), size, 0, 0, no_content));
}

int rename(const char *from, const char *to) {
  RECORDED(is_ours(from) || is_ours(to), REAL(rename)(from, to), put('r', 0, 0, below(from), below(to), no_content));
}

int link(const char *from, const char *to) {
  RECORDED(is_ours(to), REAL(link)(from, to), put('l', 0, 0, below(from), below(to), no_content));
}

int unlink(const char *path) {
  RECORDED(is_ours(path), REAL(unlink)(path), put('u', 0, 0, below(path), 0, no_content));
}

int rmdir(const char *path) {
  RECORDED(is_ours(path), REAL(rmdir)(path), put('u', 0, 0, below(path), 0, no_content));
}

static uint64_t inode_at(const char *path) {
  struct stat64 found;
  return stat64(path, &found) == 0 ? found.st_ino : 0;
}

int mkdir(const char *path, mode_t mode) {
  RECORDED(is_ours(path), REAL(mkdir)(path, mode), put('d', inode_at(path), 0, below(path), 0, no_content));
}

static int synced(int (*real)(int), int file) {
  ino_t inode = inode_of(file);
  if (!inode) return real(file);
  lock();
  uint64_t id = ((uint64_t)getpid() << 32) | ++syncs;
  put('s', inode, id, 0, 0, no_content);
  unlock();
  int result = real(file);
  lock();
  if (result == 0) put('e', inode, id, 0, 0, no_content);
  unlock();
  return result;
}

int fsync(int file) { return synced(REAL(fsync), file); }
int fdatasync(int file) { return synced(REAL(fdatasync), file); }

/* Nothing here is known to ask for these; if something begins to, the record would be a lie. */
#define NEVER(name, ...) \
  int name(int file, __VA_ARGS__) { if (inode_of(file)) abort(); return REAL(name)(file, a, b, c); }
NEVER(fallocate, int a, off_t b, off_t c)
NEVER(fallocate64, int a, off64_t b, off64_t c)
