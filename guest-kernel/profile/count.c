/* QEMU plugin: what a guest kernel executes and touches between its entry and its first process.
 *
 * QEMU translates blocks of instructions; each block gets a counter, incremented inline. The count starts with the first
 * block at the kernel's link address (physical or virtual) and is frozen by the first block of the test's init, which is linked at
 * INIT_TEXT. Loads and stores mark the guest page they touch, together with the instruction that touched it first.
 *
 * arguments: out=FILE (required), mem=on; through=on counts to the end of the emulation instead, first program and all
 * output:    "T ADDRESS INSTRUCTIONS TIMES" per block, the latest translated first; "P PAGE WRITTEN ADDRESS" per page
 *
 * The plugin interface (version 1 of QEMU 7.2) is declared here: Debian's packages do not carry its header.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_TEXT 0x200000u
#define INIT_TEXT 0x400000u
#define INIT_TEXT_END 0x500000u
#define PAGES (1u << 20) /* guests to 4 GiB */

typedef uint64_t plugin_id;
typedef uint32_t meminfo;
struct qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

enum { CB_NO_REGS = 0, MEM_RW = 3, INLINE_ADD_U64 = 0 };

typedef void (*tb_trans_cb)(plugin_id, struct qemu_plugin_tb *);
typedef void (*exec_cb)(unsigned, void *);
typedef void (*mem_cb)(unsigned, meminfo, uint64_t, void *);
typedef void (*exit_cb)(plugin_id, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_trans_cb);
void qemu_plugin_register_atexit_cb(plugin_id, exit_cb, void *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_cb, int flags, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_cb, int flags, int rw, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(meminfo, uint64_t);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
bool qemu_plugin_mem_is_store(meminfo);
int qemu_plugin_install(plugin_id, const struct qemu_info_t *, int, char **);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

struct block {
	uint64_t address, instructions, times;
	struct block *next;
};

static struct block *blocks;
static uint64_t first_touch[PAGES];
static bool touched[PAGES], written[PAGES];
static bool started, ended, in_kernel, with_memory, through;
static const char *out;

static void on_memory(unsigned vcpu, meminfo info, uint64_t address, void *instruction)
{
	(void)vcpu;
	struct qemu_plugin_hwaddr *hw = ended ? NULL : qemu_plugin_get_hwaddr(info, address);
	if (!hw || qemu_plugin_hwaddr_is_io(hw))
		return;
	uint64_t page = qemu_plugin_hwaddr_phys_addr(hw) >> 12;
	if (page >= PAGES)
		return;
	if (!touched[page])
		first_touch[page] = (uint64_t)(uintptr_t)instruction;
	touched[page] = true;
	if (qemu_plugin_mem_is_store(info))
		written[page] = true;
}

static void write_counts(unsigned vcpu, void *data)
{
	(void)vcpu, (void)data;
	if (ended)
		return;
	ended = true;
	FILE *f = fopen(out, "w");
	if (!f)
		return;
	for (const struct block *b = blocks; b; b = b->next)
		if (b->times)
			fprintf(f, "T %lx %lu %lu\n", b->address, b->instructions, b->times);
	for (unsigned page = 0; page < PAGES; page++)
		if (touched[page])
			fprintf(f, "P %x %d %lx\n", page, written[page], first_touch[page]);
	fclose(f);
}

static void at_exit(plugin_id id, void *data)
{
	(void)id;
	write_counts(0, data);
}

static void on_block(plugin_id id, struct qemu_plugin_tb *tb)
{
	(void)id;
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	started |= address >= KERNEL_TEXT && address < 0xf0000000; /* not the firmware */
	in_kernel |= started && address >> 63;
	if (!started)
		return;
	if (!through && in_kernel && address >= INIT_TEXT && address < INIT_TEXT_END) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, write_counts, CB_NO_REGS, NULL);
		return;
	}
	struct block *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	*b = (struct block){ .address = address, .instructions = qemu_plugin_tb_n_insns(tb), .next = blocks };
	blocks = b;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->times, 1);
	for (size_t i = 0; with_memory && i < b->instructions; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		void *at = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
		qemu_plugin_register_vcpu_mem_cb(insn, on_memory, CB_NO_REGS, MEM_RW, at);
	}
}

__attribute__((visibility("default"))) int
qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
		else if (!strcmp(argv[i], "mem=on") || !strcmp(argv[i], "mem=true"))
			with_memory = true;
		else if (!strcmp(argv[i], "through=on") || !strcmp(argv[i], "through=true"))
			through = true;
	}
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
	if (through)
		qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
