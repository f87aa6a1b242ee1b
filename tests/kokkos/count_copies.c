// A tool of Kokkos (KOKKOS_TOOLS_LIBS): how often each array was copied and each kernel launched, into the file $COUNT_COPIES at the end.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct space {
  char name[64];
};

static struct entry {
  char text[256];
  long times;
} entries[4096];
static int count;

static void add(const char *text)
{
  for (int k = 0; k < count; ++k)
    if (!strcmp(entries[k].text, text)) {
      ++entries[k].times;
      return;
    }
  if (count < 4096) {
    strcpy(entries[count].text, text);
    entries[count++].times = 1;
  }
}

void kokkosp_begin_deep_copy(struct space to, const char *name, const void *at, struct space from, const char *source, const void *source_at,
                             uint64_t bytes)
{
  (void) at, (void) source_at;
  char text[256];
  snprintf(text, sizeof text, "copy\t%.40s\t%.40s\t%.60s\t%.60s\t%llu", to.name, from.name, name, source, (unsigned long long) bytes);
  add(text);
}

static void kernel(const char *name)
{
  char text[256];
  snprintf(text, sizeof text, "kernel\t%.200s", name);
  add(text);
}

void kokkosp_begin_parallel_for(const char *name, uint32_t device, uint64_t *id)
{
  (void) device;
  *id = 0;
  kernel(name);
}

void kokkosp_begin_parallel_reduce(const char *name, uint32_t device, uint64_t *id)
{
  kokkosp_begin_parallel_for(name, device, id);
}

void kokkosp_begin_parallel_scan(const char *name, uint32_t device, uint64_t *id)
{
  kokkosp_begin_parallel_for(name, device, id);
}

void kokkosp_finalize_library(void)
{
  char path[1024];
  const char *rank = getenv("PMI_RANK");
  snprintf(path, sizeof path, "%s.%s", getenv("COUNT_COPIES"), rank ? rank : "0");
  FILE *file = fopen(path, "w");
  if (!file) return;
  for (int k = 0; k < count; ++k) fprintf(file, "%ld\t%s\n", entries[k].times, entries[k].text);
  fclose(file);
}
