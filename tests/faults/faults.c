// Preloaded into a process: from a given call on that changes files below a folder, the process is killed, the disk is full, or there are no locks.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, KILL, FULL, NO_LOCKS };

static int mode, at, count;
static char root[4096];

// what happens from the `call`-th change on; 0 stands for the first
void fault_arm(int what, int call, const char *folder)
{
  mode = what, at = call, count = 0;
  snprintf(root, sizeof root, "%s", folder);
}

int fault_count(void) { return count; }

static int below(const char *path) { return root[0] && !strncmp(path, root, strlen(root)); }

static int below_descriptor(int descriptor)
{
  char name[64], path[4096];
  snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

// a call that changes something: whether it must fail for want of space
static int change(int needs_space)
{
  if (mode == NOTHING || count++ < at) return 0;
  if (mode == KILL) kill(getpid(), SIGKILL);
  return mode == FULL && needs_space;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define FAIL(number) return errno = number, -1

ssize_t write(int d, const void *data, size_t size)
{
  if (below_descriptor(d) && change(1)) FAIL(ENOSPC);
  return REAL(write)(d, data, size);
}

ssize_t pwrite(int d, const void *data, size_t size, off_t offset)
{
  if (below_descriptor(d) && change(1)) FAIL(ENOSPC);
  return REAL(pwrite)(d, data, size, offset);
}

ssize_t pwrite64(int d, const void *data, size_t size, off64_t offset)
{
  if (below_descriptor(d) && change(1)) FAIL(ENOSPC);
  return REAL(pwrite64)(d, data, size, offset);
}

ssize_t copy_file_range(int from, off64_t *a, int d, off64_t *b, size_t size, unsigned flags)
{
  if (below_descriptor(d) && change(1)) FAIL(ENOSPC);
  return REAL(copy_file_range)(from, a, d, b, size, flags);
}

ssize_t sendfile64(int d, int from, off64_t *offset, size_t size)
{
  if (below_descriptor(d) && change(1)) FAIL(ENOSPC);
  return ((ssize_t(*)(int, int, off64_t *, size_t)) dlsym(RTLD_NEXT, "sendfile64"))(d, from, offset, size);
}

int fsync(int d)
{
  if (below_descriptor(d)) change(0);
  return REAL(fsync)(d);
}

int rename(const char *from, const char *to)
{
  if (below(to)) change(0);
  return REAL(rename)(from, to);
}

int unlink(const char *path)
{
  if (below(path)) change(0);
  return REAL(unlink)(path);
}

int unlinkat(int d, const char *path, int flags)
{
  if (below_descriptor(d)) change(0);
  return REAL(unlinkat)(d, path, flags);
}

int mkdir(const char *path, mode_t permissions)
{
  if (below(path)) change(0);
  return REAL(mkdir)(path, permissions);
}

int flock(int d, int operation)
{
  if (mode == NO_LOCKS && below_descriptor(d)) FAIL(ENOLCK);
  return ((int (*)(int, int)) dlsym(RTLD_NEXT, "flock"))(d, operation);
}
