/* Runs a model on an emulated core, without a C library: reads beats from the file "in" by semihosting, writes the
   answers and the ticks that each took into "out", and at the end how deep the stack has been. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model.h"

#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define RUN NAMED(ECGEDGE_NAME, _run)
#define INPUTS NAMED(ECGEDGE_UPPER, _INPUTS)
#define OUTPUTS NAMED(ECGEDGE_UPPER, _OUTPUTS)

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, EXIT = 0x18, READING = 1, WRITING = 5 };
#define EXITED 0x20026u
#define PAINT 0xA5A5A5A5u

extern uint32_t data_from[], data_begin[], data_end[], bss_begin[], bss_end[], stack_end[];
void start(void);

static ECGEDGE_TYPE input[INPUTS], output[OUTPUTS];

void *memcpy(void *to, const void *from, size_t count) {
  for (size_t i = 0; i < count; ++i) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memmove(void *to, const void *from, size_t count) {
  if ((char *)to <= (const char *)from) return memcpy(to, from, count);
  while (count--) ((volatile char *)to)[count] = ((const char *)from)[count];
  return to;
}
void *memset(void *to, int value, size_t count) {
  for (size_t i = 0; i < count; ++i) ((volatile char *)to)[i] = (char)value;
  return to;
}

#ifdef __riscv
static uintptr_t ask(uintptr_t what, const void *with) {
  register uintptr_t a0 __asm__("a0") = what;
  register const void *a1 __asm__("a1") = with;
  __asm__ volatile(
      ".option push\n.option norvc\n.balign 16\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
      : "+r"(a0)
      : "r"(a1)
      : "memory");
  return a0;
}
static uint32_t ticks(void) {
  uint32_t found;
  __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(found)::"memory");
  return found;
}
static uint32_t between(uint32_t before, uint32_t after) { return after - before; }
static void prepare(void) {}
#else
static uintptr_t ask(uintptr_t what, const void *with) {
  register uintptr_t r0 __asm__("r0") = what;
  register const void *r1 __asm__("r1") = with;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}
#define SYSTICK ((volatile uint32_t *)0xE000E010u) /* control, reload, value; 24 bits, downwards */
static uint32_t ticks(void) { return SYSTICK[2]; }
static uint32_t between(uint32_t before, uint32_t after) { return (before - after) & 0xFFFFFFu; }
static void prepare(void) {
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* the unit for floats and vectors */
  __asm__ volatile("dsb\n isb" ::: "memory");
  SYSTICK[1] = 0xFFFFFFu;
  SYSTICK[2] = 0;
  SYSTICK[0] = 5; /* by the processor's clock */
}
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {stack_end, (const void *)start};
#endif

static uintptr_t opened(const char *name, uintptr_t how) {
  uintptr_t length = 0;
  while (name[length]) ++length;
  const uintptr_t with[] = {(uintptr_t)name, how, length};
  return ask(OPEN, with);
}

static int fetched(uintptr_t file, void *to, uintptr_t count) {
  char *at = (char *)to;
  while (count) {
    const uintptr_t with[] = {file, (uintptr_t)at, count};
    const uintptr_t left = ask(READ, with);
    if (left >= count) return 0;
    at += count - left;
    count = left;
  }
  return 1;
}

static void told(uintptr_t file, const void *from, uintptr_t count) {
  const uintptr_t with[] = {file, (uintptr_t)from, count};
  ask(WRITE, with);
}

static void work(void) {
  const uintptr_t in = opened("in", READING), out = opened("out", WRITING);
  while (fetched(in, input, sizeof input)) {
    const uint32_t before = ticks();
    RUN(input, output);
    const uint32_t taken = between(before, ticks());
    told(out, output, sizeof output);
    told(out, &taken, sizeof taken);
  }
  const volatile uint32_t *deep = bss_end;
  while (*deep == PAINT) ++deep;
  const uint32_t stack = (uint32_t)((uintptr_t)stack_end - (uintptr_t)deep);
  told(out, &stack, sizeof stack);
#ifdef __riscv
  const uintptr_t end[] = {EXITED, 0};
  ask(EXIT, end);
#else
  ask(EXIT, (const void *)EXITED);
#endif
  for (;;) {
  }
}

__attribute__((used, noreturn)) static void begin(void) {
  volatile uint32_t *at = data_begin;
  for (const uint32_t *from = data_from; at < data_end;) *at++ = *from++;
  for (at = bss_begin; at < bss_end;) *at++ = 0;
  prepare();
  for (uint32_t *top = (uint32_t *)__builtin_frame_address(0) - 16; at < top;) *at++ = PAINT;
  work();
  for (;;) {
  }
}

#ifdef __riscv
__attribute__((naked, section(".vectors"), used)) void start(void) {
  __asm__ volatile("la sp, stack_end\n j %0" ::"i"(begin));
}
#else
void start(void) { begin(); }
#endif
