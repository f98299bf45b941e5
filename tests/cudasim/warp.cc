// SPDX-License-Identifier: Apache-2.0
// Warp operations: every lane named in a mask has to come to the same operation with the same mask; the last one to come works
// out everybody's result. Strict where CUDA leaves values undefined: a lane of the mask that has left, or that is no lane of
// the block, and a shuffle from a lane outside the mask are faults.
#include <string.h>

#include "sim.h"

namespace cudasim {

static const char *const op_name[] = {"__syncwarp",     "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync",  "__shfl_xor_sync",   "__ballot_sync",
                                      "__any_sync",     "__all_sync",        "__match_any_sync",  "__reduce_add_sync", "__reduce_min_sync", "__reduce_min_sync",
                                      "__reduce_max_sync", "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync",  "__reduce_xor_sync"};

static struct thread *lane_of(struct thread *t, int lane) { return &the_block.t[t->warp * 32 + (uint32_t)lane]; }

static int shuffle_source(const struct thread *t) {
  int w = t->width, lane = (int)t->lane, base = lane & ~(w - 1), src;
  switch (t->kind) {
    case CUDASIM_SHFL: return base + (t->param & (w - 1));
    case CUDASIM_SHFL_UP: src = lane - t->param; return src < base ? lane : src;
    case CUDASIM_SHFL_DOWN: src = lane + t->param; return src >= base + w ? lane : src;
    default: src = lane ^ t->param; return src >= base + w ? lane : src;
  }
}

static uint32_t reduce(enum cudasim_warp_op kind, uint32_t a, uint32_t b) {
  int32_t sa = (int32_t)a, sb = (int32_t)b;
  switch (kind) {
    case CUDASIM_REDUCE_ADD: return a + b;
    case CUDASIM_REDUCE_MIN_S: return sb < sa ? b : a;
    case CUDASIM_REDUCE_MIN_U: return b < a ? b : a;
    case CUDASIM_REDUCE_MAX_S: return sb > sa ? b : a;
    case CUDASIM_REDUCE_MAX_U: return b > a ? b : a;
    case CUDASIM_REDUCE_AND: return a & b;
    case CUDASIM_REDUCE_OR: return a | b;
    default: return a ^ b;
  }
}

// What lanes of `mask` did so far is known to all of them from here on.
static void order_lanes(struct warp *w, struct thread *t) {
  uint32_t known[32] = {0};
  if (!w->ordered) {
    memset(w->vc, 0, sizeof w->vc);
    w->ordered = true;
  }
  for (int l = 0; l < 32; l++) {
    if (t->mask >> l & 1) {
      for (int i = 0; i < 32; i++) {
        known[i] = w->vc[l][i] > known[i] ? w->vc[l][i] : known[i];
      }
    }
  }
  for (int l = 0; l < 32; l++) {
    if (t->mask >> l & 1) {
      struct thread *o = lane_of(t, l);
      known[l] = ++o->when;
      o->stamp = stamp_of(running->id, the_block.serial, o->index, o->when);
    }
  }
  for (int l = 0; l < 32; l++) {
    if (t->mask >> l & 1) {
      memcpy(w->vc[l], known, sizeof known);
    }
  }
}

static void finish(struct warp *w, struct thread *t, const void *pc) {
  uint32_t mask = t->mask, folded = 0;
  bool first = true;
  for (int l = 0; l < 32; l++) {
    struct thread *o = lane_of(t, l);
    if (!(mask >> l & 1)) {
      continue;
    }
    if (t->kind >= CUDASIM_REDUCE_ADD) {
      folded = first ? (uint32_t)o->value : reduce(t->kind, folded, (uint32_t)o->value);
      first = false;
    } else if (t->kind >= CUDASIM_BALLOT && t->kind <= CUDASIM_ALL) {
      folded |= (uint32_t)(o->value & 1) << l;
    }
  }
  for (int l = 0; l < 32; l++) {
    struct thread *o = lane_of(t, l);
    if (!(mask >> l & 1)) {
      continue;
    }
    switch (t->kind) {
      case CUDASIM_SYNCWARP: break;
      case CUDASIM_SHFL:
      case CUDASIM_SHFL_UP:
      case CUDASIM_SHFL_DOWN:
      case CUDASIM_SHFL_XOR: {
        int src = shuffle_source(o);
        if (src < 0 || src > 31 || !(mask >> src & 1)) {
          fault_at(FAULT_MASK, pc, "%s of %s:%d: lane %d reads lane %d, which the mask 0x%08x does not name", op_name[t->kind], o->file, o->line, l, src, mask);
        }
        o->result = lane_of(t, src)->value;
        break;
      }
      case CUDASIM_ANY: o->result = folded != 0; break;
      case CUDASIM_ALL: o->result = folded == mask; break;
      case CUDASIM_MATCH_ANY: {
        o->result = 0;
        for (int i = 0; i < 32; i++) {
          o->result |= (uint64_t)((mask >> i & 1) && lane_of(t, i)->value == o->value) << i;
        }
        break;
      }
      default: o->result = folded; break;
    }
  }
  if (t->kind == CUDASIM_SYNCWARP) {
    order_lanes(w, t);
  }
  w->waiting &= ~mask;
  for (int l = 0; l < 32; l++) {
    if (mask >> l & 1) {
      thread_wake(lane_of(t, l));
    }
  }
}

void warp_lane_left(struct thread *t) {
  struct warp *w = &the_block.w[t->warp];
  for (int l = 0; l < 32; l++) {
    const struct thread *o = lane_of(t, l);
    if ((w->waiting >> l & 1) && (o->mask >> t->lane & 1)) {
      fault_at(FAULT_MASK, NULL, "this thread left the kernel, but lane %d waits for it in %s of %s:%d (mask 0x%08x)", l, op_name[o->kind], o->file,
               o->line, o->mask);
    }
  }
}

} // namespace cudasim

using namespace cudasim;

extern "C" uint64_t cudasim_warp_wait(enum cudasim_warp_op kind, unsigned mask, uint64_t value, int param, int width, const char *file, int line) {
  const void *pc = __builtin_return_address(0);
  struct thread *t = self;
  if (!t) {
    fault_at(FAULT_USAGE, pc, "a warp operation outside of a kernel");
  }
  struct warp *w = &the_block.w[t->warp];
  t->kind = kind;
  t->mask = mask;
  t->value = value;
  t->param = param;
  t->width = width;
  t->file = file;
  t->line = line;
  if (!(mask >> t->lane & 1)) {
    fault_at(FAULT_MASK, pc, "%s: the mask 0x%08x does not name the calling lane %u", op_name[kind], mask, t->lane);
  }
  if (mask & ~w->lanes) {
    fault_at(FAULT_MASK, pc, "%s: the mask 0x%08x names lanes that the block does not have (it has 0x%08x in this warp)", op_name[kind], mask, w->lanes);
  }
  if (mask & w->done) {
    fault_at(FAULT_MASK, pc, "%s: the mask 0x%08x names lanes that have left the kernel (0x%08x)", op_name[kind], mask, mask & w->done);
  }
  if (width < 1 || width > 32 || (width & (width - 1))) {
    fault_at(FAULT_MASK, pc, "%s: width %d is not 1, 2, 4, 8, 16 or 32", op_name[kind], width);
  }
  for (uint32_t m = mask & w->waiting; m; m &= m - 1) {
    const struct thread *o = lane_of(t, __builtin_ctz(m));
    if ((o->mask >> t->lane & 1) && (o->mask != mask || o->kind != kind)) {
      fault_at(FAULT_MASK, pc, "lane %u calls %s with mask 0x%08x (%s:%d) while lane %u waits for it in %s with mask 0x%08x (%s:%d)", t->lane, op_name[kind],
               mask, file, line, o->lane, op_name[o->kind], o->mask, o->file, o->line);
    }
  }
  t->state = T_WARP;
  w->waiting |= 1u << t->lane;
  bool all = (w->waiting & mask) == mask;
  for (uint32_t m = mask; all && m; m &= m - 1) {
    const struct thread *o = lane_of(t, __builtin_ctz(m));
    all = o->mask == mask && o->kind == kind;
  }
  if (all) {
    finish(w, t, pc);
  }
  thread_wait();
  return t->result;
}
