//! Which tensors share memory: transient tensors whose lives do not overlap go into one slot.

use super::{Lifetime, Recording};

/// Memory of the transient and output tensors of a recording.
#[derive(Clone, Debug, Default)]
pub struct MemoryPlan {
    /// Size of each slot in bytes. A slot becomes one buffer: one dispatch then never sees one
    /// buffer both read-only and read-write, since tensors in use together have different slots.
    pub slots: Vec<u64>,
    /// Slot of each tensor; `None` for those that the caller supplies or nobody uses.
    pub slot_of: Vec<Option<usize>>,
}

impl MemoryPlan {
    /// Bytes of all slots.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().sum()
    }
}

/// First and last group of dispatches that touch each tensor. Within a group memory does not change
/// hands, or the group would fall apart.
fn lives(recording: &Recording) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; recording.tensors.len()];
    let groups = recording.groups();
    for (dispatch, &at) in recording.dispatches.iter().zip(&groups) {
        for binding in &dispatch.bindings {
            let life = lives[binding.tensor.0].get_or_insert((at, at));
            life.1 = at;
        }
    }
    for (tensor, life) in recording.tensors.iter().zip(&mut lives) {
        if let (Lifetime::Output, Some(life)) = (tensor.lifetime, life) {
            // Also from the start on: the content of the previous run may still be being copied.
            *life = (0, groups.len());
        }
    }
    lives
}

/// Assigns slots, largest tensors first, each into the tightest slot that is free for its life.
pub fn plan(recording: &Recording) -> MemoryPlan {
    let lives = lives(recording);
    let mut order: Vec<usize> = (0..recording.tensors.len())
        .filter(|&t| {
            let owned =
                matches!(recording.tensors[t].lifetime, Lifetime::Transient | Lifetime::Output);
            owned && lives[t].is_some()
        })
        .collect();
    order.sort_by_key(|&t| (std::cmp::Reverse(recording.tensors[t].len), t));

    let mut slots: Vec<(u64, Vec<(usize, usize)>)> = Vec::new();
    let mut slot_of = vec![None; recording.tensors.len()];
    for tensor in order {
        let Some(life) = lives[tensor] else { continue };
        let free = |busy: &[(usize, usize)]| busy.iter().all(|b| life.1 < b.0 || b.1 < life.0);
        // Slots were opened in order of falling size, so the last free one is the tightest.
        let slot = slots.iter().rposition(|(_, busy)| free(busy)).unwrap_or_else(|| {
            slots.push((recording.tensors[tensor].bytes(), Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(life);
        slot_of[tensor] = Some(slot);
    }
    MemoryPlan { slots: slots.into_iter().map(|(bytes, _)| bytes).collect(), slot_of }
}
