#include "agent/cgroup.h"
#include "agent/kernel.h"
#include "base/own.h"
#include "base/sys.h"
#include <linux/bpf.h>
#include <string.h>

/*
 * A device rule list as a BPF program. In the list the last rule that fits wins, so the program
 * asks them from the last to the first and leaves at the first that fits. Registers: r2 type, r3
 * access, r4 major, r5 minor.
 */
enum {
	MAX_RULES = 256,
	PER_RULE = 8,
	MAX_INSTRUCTIONS = (MAX_RULES + 16) * PER_RULE + 16,
	ANY = -1,
};

struct rule {
	bool allow;
	int type; /* BPF_DEVCG_DEV_BLOCK, _CHAR, or ANY */
	int64_t major, minor;
	int access;
};

struct program {
	size_t count;
	struct bpf_insn code[MAX_INSTRUCTIONS];
};

/* What every container may use, whatever its rules say: making nodes, which is harmless, and the
 * devices that it always has. */
static const struct rule always[] = {
	{ true, BPF_DEVCG_DEV_CHAR, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	{ true, BPF_DEVCG_DEV_BLOCK, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	{ true, BPF_DEVCG_DEV_CHAR, 1, 3, 7 },     /* null */
	{ true, BPF_DEVCG_DEV_CHAR, 1, 5, 7 },     /* zero */
	{ true, BPF_DEVCG_DEV_CHAR, 1, 7, 7 },     /* full */
	{ true, BPF_DEVCG_DEV_CHAR, 1, 8, 7 },     /* random */
	{ true, BPF_DEVCG_DEV_CHAR, 1, 9, 7 },     /* urandom */
	{ true, BPF_DEVCG_DEV_CHAR, 5, 0, 7 },     /* tty */
	{ true, BPF_DEVCG_DEV_CHAR, 5, 2, 7 },     /* ptmx */
	{ true, BPF_DEVCG_DEV_CHAR, 136, ANY, 7 }, /* pts */
};

static void emit(struct program *program, uint8_t code, uint8_t to, uint8_t from, int16_t offset,
		 int32_t value)
{
	program->code[program->count++] = (struct bpf_insn){ .code = code,
							     .dst_reg = (uint8_t)(to & 0xf),
							     .src_reg = (uint8_t)(from & 0xf),
							     .off = offset,
							     .imm = value };
}

/* Jumps to the end of the rule, which fix_jumps fills in. */
static void skip_unless_equal(struct program *program, uint8_t reg, int64_t value)
{
	if (value != ANY)
		emit(program, BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, (int32_t)value);
}

static void fix_jumps(struct program *program, size_t from)
{
	for (size_t i = from; i < program->count; i++) {
		struct bpf_insn *insn = &program->code[i];

		if (BPF_CLASS(insn->code) == BPF_JMP && BPF_OP(insn->code) != BPF_EXIT)
			insn->off = (int16_t)(program->count - i - 1);
	}
}

static void emit_rule(struct program *program, const struct rule *rule)
{
	size_t from = program->count;

	skip_unless_equal(program, BPF_REG_2, rule->type);
	skip_unless_equal(program, BPF_REG_4, rule->major);
	skip_unless_equal(program, BPF_REG_5, rule->minor);
	/* An allowing rule must cover all of what is asked for; a denying one any part of it. */
	emit(program, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
	emit(program, BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0,
	     rule->allow ? ~rule->access & 7 : rule->access);
	emit(program, BPF_JMP | (rule->allow ? BPF_JNE : BPF_JEQ) | BPF_K, BPF_REG_1, 0, 0, 0);
	emit(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow);
	emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	fix_jumps(program, from);
}

static struct rule read_rule(const message_device_rule *message)
{
	struct rule rule = { .allow = message->allow,
			     .type = ANY,
			     .major = message->major,
			     .minor = message->minor };

	if (*message->type == 'b')
		rule.type = BPF_DEVCG_DEV_BLOCK;
	else if (*message->type == 'c')
		rule.type = BPF_DEVCG_DEV_CHAR;
	rule.access |= strchr(message->access, 'r') ? BPF_DEVCG_ACC_READ : 0;
	rule.access |= strchr(message->access, 'w') ? BPF_DEVCG_ACC_WRITE : 0;
	rule.access |= strchr(message->access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0;
	return rule;
}

static void compile(struct program *program, message_device_rule *const *rules, size_t count)
{
	static const struct {
		uint8_t reg;
		int16_t offset;
	} loads[] = { { BPF_REG_2, 0 }, { BPF_REG_3, 0 }, { BPF_REG_4, 4 }, { BPF_REG_5, 8 } };

	for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
		emit(program, BPF_LDX | BPF_MEM | BPF_W, loads[i].reg, BPF_REG_1, loads[i].offset,
		     0);
	emit(program, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(program, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		emit_rule(program, &always[i]);
	while (count > 0) {
		struct rule rule = read_rule(rules[--count]);

		emit_rule(program, &rule);
	}
	emit(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

int cgroup_restrict_devices(int group, message_device_rule *const *rules, size_t count,
			    struct error *err)
{
	own_mem struct program *program = NULL;
	union bpf_attr load, attach;
	own_fd fd = -1;
	int r;

	if (count == 0)
		return 0;
	if (count > MAX_RULES)
		return error_set(err, -E2BIG, "more than %d device rules", MAX_RULES);
	program = calloc(1, sizeof *program);
	if (!program)
		return error_set(err, -ENOMEM, "no memory for the device rules");
	compile(program, rules, count);
	memset(&load, 0, sizeof load);
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.insns = (uint64_t)(uintptr_t)program->code;
	load.insn_cnt = (uint32_t)program->count;
	load.license = (uint64_t)(uintptr_t) "Apache-2.0";
	fd = kernel_bpf(BPF_PROG_LOAD, &load, sizeof load);
	if (fd < 0)
		return error_set(err, fd, "load the device rules: %s", sys_text(fd));
	memset(&attach, 0, sizeof attach);
	attach.target_fd = (uint32_t)group;
	attach.attach_bpf_fd = (uint32_t)fd;
	attach.attach_type = BPF_CGROUP_DEVICE;
	r = kernel_bpf(BPF_PROG_ATTACH, &attach, sizeof attach);
	return r < 0 ? error_set(err, r, "attach the device rules: %s", sys_text(r)) : 0;
}
