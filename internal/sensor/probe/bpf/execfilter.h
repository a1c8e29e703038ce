/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execs that no rule can match (internal/sensor/plan, Execs). Rules see much of
 * an exec, and all of it is in its record. The key of an exec is a number made of
 * everything that they may see, but for its long texts: of these only which of
 * the rules' patterns occur in them. When user space finds that no rule can match
 * an exec, whatever else these texts have, it puts the key into a table, and the
 * next exec with this key is not sent. As the key is of values, nothing has to be
 * undone when a process changes.
 *
 * The number is a SipHash (Aumasson, Bernstein, 2012) of one round a word and
 * three at the end, by a secret that user space draws at the start: nobody can
 * make another exec with the same key.
 */
#pragma once
#include "filter.h"
#include "untold.h"

#ifndef LEGACY

#define EXEC_TEXT_STATES 1024 /* plan.ExecTextStates */
#define EXEC_TEXT_CLASSES 64
#define EXEC_TEXT_PART 32 /* bytes that are read in one step */
#define EXEC_ANCESTORS 16
#define EXEC_ARGS_MAX 2048 /* plan.ExecArgsMax */

/* The automaton of the rules' patterns. */
struct exec_filter {
	u64 plan; /* no two sets of rules have the same */
	u8 classes[256];
	u16 next[EXEC_TEXT_STATES * EXEC_TEXT_CLASSES];
	u64 met[EXEC_TEXT_STATES]; /* patterns that end here */
};

/* Two: one in use, one to be written. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct exec_filter);
} exec_filters SEC(".maps");

/* Keys of execs that no rule can match, each with the epoch in which that was
 * found. */
extern struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
} unneeded_execs SEC(".maps");

extern const volatile u64 exec_secret[2];

#define ROTATE(x, b) ((x) << (b) | (x) >> (64 - (b)))

struct sip {
	u64 v0, v1, v2, v3;
};

INLINE void sip_round(struct sip *h)
{
	h->v0 += h->v1;
	h->v1 = ROTATE(h->v1, 13) ^ h->v0;
	h->v0 = ROTATE(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = ROTATE(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = ROTATE(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = ROTATE(h->v1, 17) ^ h->v2;
	h->v2 = ROTATE(h->v2, 32);
}

INLINE void sip_add(struct sip *h, u64 word)
{
	h->v3 ^= word;
	sip_round(h);
	h->v0 ^= word;
}

/* The same start for all hashes: the constants are those of SipHash. */
INLINE struct sip sip_begin(void)
{
	struct sip h = {
		.v0 = exec_secret[0] ^ 0x736f6d6570736575,
		.v1 = exec_secret[1] ^ 0x646f72616e646f6d,
		.v2 = exec_secret[0] ^ 0x6c7967656e657261,
		.v3 = exec_secret[1] ^ 0x7465646279746573,
	};
	return h;
}

INLINE u64 sip_end(struct sip *h)
{
	h->v2 ^= 0xff;
	sip_round(h);
	sip_round(h);
	sip_round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

/* The way through a text of the event. */
struct exec_text {
	struct scratch *s;
	u32 at, left; /* bytes */
	struct sip hash;
	struct exec_filter *filter;
	u32 state;
	u64 met;
};

INLINE void exec_text_begin(struct scratch *s, u32 slot, struct exec_text *t)
{
	u64 part = SLOT(s, slot);

	t->at = part;
	t->left = part >> 32;
}

#define HASH_WORDS 2 /* at once, as long as there are as many */

static int hash_step([[maybe_unused]] u32 i, struct exec_text *t)
{
	u64 *words = (u64 *)&t->s->buf[t->at & BODY_MASK]; /* there is room behind BODY_MASK */

	if (t->left >= 8 * HASH_WORDS) {
		struct sip h = t->hash;
#pragma unroll
		for (u32 j = 0; j < HASH_WORDS; j++)
			sip_add(&h, words[j]);
		t->hash = h;
		t->at += 8 * HASH_WORDS;
		t->left -= 8 * HASH_WORDS;
		return !t->left;
	}
	u64 word = *words;
	if (t->left < 8)
		word &= (1ull << (8 * (t->left & 7))) - 1;
	sip_add(&t->hash, word);
	t->at += 8;
	t->left = t->left > 8 ? t->left - 8 : 0;
	return !t->left;
}

/* Adds a text, and how long it is. */
INLINE void hash_text(struct scratch *s, u32 slot, struct exec_text *t)
{
	exec_text_begin(s, slot, t);
	sip_add(&t->hash, t->left);
	bpf_loop(PART_MAX / 8, hash_step, t, 0);
}

static int read_step([[maybe_unused]] u32 i, struct exec_text *t)
{
	struct exec_filter *f = t->filter;
	u32 state = BOUND(t->state, EXEC_TEXT_STATES - 1), n = t->left;
	u64 met = 0;

	for (u32 j = 0; j < EXEC_TEXT_PART; j++) {
		if (j >= n)
			break;
		u8 c = t->s->buf[(t->at + j) & BODY_MASK];
		u32 class = f->classes[c] & (EXEC_TEXT_CLASSES - 1);
		state = BOUND(f->next[state * EXEC_TEXT_CLASSES + class], EXEC_TEXT_STATES - 1);
		met |= f->met[state];
	}
	t->met |= met;
	t->state = state;
	t->at += EXEC_TEXT_PART;
	t->left = n > EXEC_TEXT_PART ? n - EXEC_TEXT_PART : 0;
	return !t->left;
}

/* Notes the patterns that occur in a text. */
INLINE void read_text(struct scratch *s, u32 slot, struct exec_text *t)
{
	exec_text_begin(s, slot, t);
	t->state = 0;
	bpf_loop(PART_MAX / EXEC_TEXT_PART, read_step, t, 0);
}

/* The same of the environment: to see that it is one that was read before takes a
 * fraction of the time. */
INLINE void read_env(struct scratch *s, u64 epoch, struct exec_text *t)
{
	t->hash = sip_begin();
	hash_text(s, EXECVE_ENV, t);
	u64 hash = sip_end(&t->hash), met = t->met;
	struct env_memo *m = &s->envs[hash & (ENV_MEMOS - 1)];

	if (m->hash != hash || m->epoch != epoch) {
		t->met = 0;
		read_text(s, EXECVE_ENV, t);
		m->hash = hash;
		m->epoch = epoch;
		m->met = t->met;
	}
	t->met = met | m->met;
}

/* A number for the names of the ancestors; 0 if one is not known, or if there are
 * too many. */
INLINE u64 hash_ancestors(struct task_struct *task)
{
	struct sip h = sip_begin();

	for (int i = 0; i < EXEC_ANCESTORS; i++) {
		task = READ(task, real_parent);
		u32 pid = READ(task, tgid);
		if (!pid)
			return sip_end(&h);
		struct name *known = bpf_map_lookup_elem(&process_names, &pid), name = {};
		if (known)
			name = *known;
		else if (pid != 1) /* which some kernels' iterators leave out */
			return 0;
		else
			bpf_probe_read_kernel_str(name.text, sizeof(name.text), READ(task, group_leader)->comm);
		sip_add(&h, *(u64 *)&name.text[0]);
		sip_add(&h, *(u64 *)&name.text[8]);
	}
	return 0;
}

/* Has the record all texts, and rules of their length nothing to find? Where the
 * directory cannot be read, user space keeps the one before. */
INLINE bool exec_is_whole(struct scratch *s)
{
	u64 exe = SLOT(s, EXECVE_EXE), args = SLOT(s, EXECVE_ARGS), cwd = SLOT(s, EXECVE_CWD);

	return exe && args && cwd && SLOT(s, EXECVE_ENV) && SLOT(s, EXECVE_COMM) && SLOT(s, EXECVE_CGROUPS) &&
	       !(s->h.flags & EVENT_TRUNCATED) && (exe >> 32) + 1 + (args >> 32) <= EXEC_ARGS_MAX &&
	       s->buf[cwd & BODY_MASK] == '/';
}

/* The key of the exec whose record is in s; false if it has none. */
FUNC int exec_key_read(struct scratch *s)
{
	u32 i = interest.execs - 1;
	struct exec_text t = { .s = s, .filter = bpf_map_lookup_elem(&exec_filters, &i) };

	if (!s || !t.filter)
		return 0;
	struct exec_key *k = &s->exec_key;
	k->plan = t.filter->plan;
	k->epoch = exec_epoch;
	k->ancestors = hash_ancestors(current_task());
	if (!k->ancestors || !exec_is_whole(s))
		return 0;
	read_text(s, EXECVE_COMM, &t);
	read_text(s, EXECVE_EXE, &t);
	read_text(s, EXECVE_ARGS, &t);
	read_text(s, EXECVE_CWD, &t);
	read_env(s, k->epoch, &t);
	k->met = t.met;

	t.hash = sip_begin();
	sip_add(&t.hash, k->plan);
	sip_add(&t.hash, k->met);
	sip_add(&t.hash, k->ancestors);
	sip_add(&t.hash, (u64)s->h.uid << 32 | s->h.gid);
	sip_add(&t.hash, (u64)s->h.login_uid << 32 | (u32)SLOT(s, EXECVE_TTY));
	sip_add(&t.hash, SLOT(s, EXECVE_FLAGS));
	sip_add(&t.hash, SLOT(s, EXECVE_CAP_INHERITABLE));
	sip_add(&t.hash, SLOT(s, EXECVE_CAP_PERMITTED));
	sip_add(&t.hash, SLOT(s, EXECVE_CAP_EFFECTIVE));
	sip_add(&t.hash, SLOT(s, EXECVE_EXE_INO));
	sip_add(&t.hash, SLOT(s, EXECVE_EXE_INO_CTIME));
	sip_add(&t.hash, SLOT(s, EXECVE_EXE_INO_MTIME));
	hash_text(s, EXECVE_COMM, &t);
	hash_text(s, EXECVE_EXE, &t);
	hash_text(s, EXECVE_TRUSTED_EXEPATH, &t);
	hash_text(s, EXECVE_CGROUPS, &t);
	k->key = sip_end(&t.hash);
	return 1;
}

/* Can no rule match the exec whose record is in s? If that is not known yet, the
 * record gets the key. */
INLINE bool exec_unneeded(struct scratch *s)
{
	if (!interest.execs || !exec_key_read(s))
		return false;
	u64 *epoch = bpf_map_lookup_elem(&unneeded_execs, &s->exec_key.key);
	if (epoch && *epoch == s->exec_key.epoch)
		return true;
	if (!tail_full(s)) {
		*(struct exec_key *)tail(s) = s->exec_key;
		tail_commit(s, EXECVE_EXEC_KEY, sizeof(struct exec_key));
	}
	return false;
}

#define ROOT_STEPS 4

/* Is the root of the task that of its mount namespace? User space takes that for
 * granted of a process of which it is told late. */
INLINE bool has_whole_root(struct task_struct *task)
{
	u64 root = LOAD64(&task->fs) + FIELD_OFFSET(struct fs_struct, root);
	u64 dentry = LOAD64(root + FIELD_OFFSET(struct path, dentry));
	u64 mount = LOAD64(root + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);
	enum step step = STEP_MOUNT;

	for (int i = 0; i < ROOT_STEPS && step == STEP_MOUNT; i++)
		step = step_up(&dentry, &mount);
	return step == STEP_TOP && is_namespace_root(mount);
}

/* Holds the record of an exec that no rule can match, of a process of which user
 * space has not been told yet. Children whose forks are held inherit what the
 * process was before. */
INLINE bool hold_exec(struct scratch *s, struct task_struct *task)
{
	u32 pid = s->h.pid;
	struct untold *u = untold_of(pid);
	u64 holder = u ? *(volatile u64 *)&u->holder : 0;

	if (likely(!held(holder, pid)) || !u || !exec_unneeded(s) || !has_whole_root(task) || has_held_children(u, pid))
		return false;
	if (!word_swap(&u->holder, holder, HOLDER(pid, HELD_BUSY)))
		return false;
	u->task = (u64)task;
	if (hold(s, u, pid, HELD_EXEC))
		return true;
	word_set(&u->holder, holder);
	return false;
}

#else

INLINE bool hold_exec(struct scratch *, struct task_struct *)
{
	return false;
}

#endif
