// A Kokkos Tools library: what a run copies, and how long its kernels take. KOKKOS_TOOLS_LIBS names it, MLFF_HOOKS is "count" or "time",
// MLFF_HOOKS_OUT the file that it writes at the end, one line each:
//   copy    CALLS  BYTES    SOURCE SPACE  TARGET SPACE  SOURCE VIEW  TARGET VIEW
//   fence   CALLS  SECONDS  NAME
//   kernel  CALLS  SECONDS  NAME
// "time" lets Kokkos wait for the device before and after each kernel, so that seconds are those of the kernel and of its launch.
// gcc -O2 -fPIC -shared hooks.c -o libhooks.so
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct Space {
  char name[64];
};
struct ToolSettings {
  bool requires_global_fencing;
  bool padding[255];
};

enum { MOST = 4096, LONGEST = 400 };
struct Entry {
  char what[LONGEST];
  uint64_t calls;
  double amount;
};
static struct Entry entries[MOST];
static int used;
static bool timed;

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// The place of what is counted under these words; the last one takes what finds no room.
static int entry(const char *what)
{
  for (int k = 0; k < used; ++k)
    if (strncmp(entries[k].what, what, LONGEST - 1) == 0) return k;
  if (used == MOST) return MOST - 1;
  strncpy(entries[used].what, what, LONGEST - 1);
  return used++;
}

static void plain(char *text)
{
  for (; *text; ++text)
    if (*text == '\t' || *text == '\n') *text = ' ';
}

void kokkosp_request_tool_settings(const uint32_t count, struct ToolSettings *settings)
{
  const char *mode = getenv("MLFF_HOOKS");
  timed = mode && strcmp(mode, "time") == 0;
  if (count > 0) settings->requires_global_fencing = timed;
}

void kokkosp_finalize_library(void)
{
  const char *path = getenv("MLFF_HOOKS_OUT");
  FILE *out = path ? fopen(path, "w") : stderr;
  if (!out) return;
  for (int k = 0; k < used; ++k) {
    char *name = strchr(entries[k].what, '\t');
    *name = 0;
    fprintf(out, "%s\t%llu\t%.9g\t%s\n", entries[k].what, (unsigned long long) entries[k].calls, entries[k].amount, name + 1);
  }
  if (path) fclose(out);
}

static double begun[16];
static int open[16], depth;

static void begin(const char *kind, const char *name, uint64_t *id)
{
  char what[LONGEST], label[LONGEST];
  snprintf(label, sizeof label, "%s", name);
  plain(label);
  snprintf(what, sizeof what, "%s\t%.380s", kind, label);
  *id = depth;
  if (depth < 16) open[depth] = entry(what), begun[depth] = now();
  ++depth;
}
static void end(void)
{
  if (depth == 0) return;
  --depth;
  if (depth < 16) entries[open[depth]].calls += 1, entries[open[depth]].amount += now() - begun[depth];
}

void kokkosp_begin_parallel_for(const char *name, const uint32_t device, uint64_t *id) { (void) device, begin("kernel", name, id); }
void kokkosp_begin_parallel_reduce(const char *name, const uint32_t device, uint64_t *id) { (void) device, begin("kernel", name, id); }
void kokkosp_begin_parallel_scan(const char *name, const uint32_t device, uint64_t *id) { (void) device, begin("kernel", name, id); }
void kokkosp_end_parallel_for(const uint64_t id) { (void) id, end(); }
void kokkosp_end_parallel_reduce(const uint64_t id) { (void) id, end(); }
void kokkosp_end_parallel_scan(const uint64_t id) { (void) id, end(); }

void kokkosp_begin_fence(const char *name, const uint32_t device, uint64_t *id) { (void) device, begin("fence", name, id); }
void kokkosp_end_fence(const uint64_t id) { (void) id, end(); }

void kokkosp_begin_deep_copy(struct Space to, const char *target, const void *at, struct Space from, const char *source, const void *of,
                             uint64_t bytes)
{
  (void) at, (void) of;
  char what[LONGEST], source_label[150], target_label[150];
  snprintf(source_label, sizeof source_label, "%s", source), snprintf(target_label, sizeof target_label, "%s", target);
  plain(source_label), plain(target_label);
  snprintf(what, sizeof what, "copy\t%.20s\t%.20s\t%s\t%s", from.name, to.name, source_label, target_label);
  struct Entry *e = &entries[entry(what)];
  e->calls += 1, e->amount += bytes;
}
