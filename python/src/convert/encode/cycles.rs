//! Finds the cycles that could be stored, but not be read again.

use pyo3::prelude::*;

use super::{Encoder, NOWHERE};
use crate::errors;

/// Room for so many is made at once.
const ROOM: usize = 64;

impl Encoder<'_, '_> {
    /// Notes that a container, by its place among the pending ones, stands in the one that is being filled.
    #[inline]
    pub(super) fn note_contained(&mut self, place: u32) {
        if place != NOWHERE
            && let Some(within) = self.filling
        {
            if self.scratch.contained.is_empty() {
                self.scratch.contained.reserve(ROOM);
            }
            self.scratch.contained.push((within, place));
        }
    }

    /// Raises when an instance that needs all that is in it before it can be made has itself in it.
    pub(super) fn refuse_cycles(&self) -> PyResult<()> {
        if self.encoded.is_empty() {
            return Ok(());
        }
        let Some(place) = first_in_cycle(self.scratch.pending.len(), &self.scratch.contained, &self.encoded)
        else {
            return Ok(());
        };
        let object = &self.scratch.pending[place as usize].container;
        let name = object.get_type().fully_qualified_name()?;
        Err(errors::unsupported(
            object.py(),
            format!(
                "an instance of {name} holds itself, and decode= could not make it before what is in it; leave the reference out of what encode= makes"
            ),
        ))
    }
}

/// The first of the wanted nodes of a graph that lies on a cycle: Tarjan's algorithm, without recursion.
fn first_in_cycle(nodes: usize, edges: &[(u32, u32)], wanted: &[u32]) -> Option<u32> {
    const UNSEEN: u32 = u32::MAX;
    let mut ends = vec![0_usize; nodes + 1];
    for (from, _) in edges {
        ends[*from as usize + 1] += 1;
    }
    for node in 0..nodes {
        ends[node + 1] += ends[node];
    }
    // Where the next edge of each node goes; in the end, where the edges of the next node begin.
    let mut next = ends.clone();
    let mut targets = vec![0_u32; edges.len()];
    for (from, to) in edges {
        targets[next[*from as usize]] = *to;
        next[*from as usize] += 1;
    }
    next.copy_from_slice(&ends);
    let mut on_cycle = vec![false; nodes];
    let (mut order, mut lowest, mut open) = (vec![UNSEEN; nodes], vec![UNSEEN; nodes], vec![false; nodes]);
    let (mut count, mut component, mut path) = (0, Vec::new(), Vec::new());
    for start in wanted {
        if order[*start as usize] == UNSEEN {
            path.push(*start as usize);
        }
        while let Some(&node) = path.last() {
            if order[node] == UNSEEN {
                (order[node], lowest[node], open[node]) = (count, count, true);
                count += 1;
                component.push(node);
            }
            if next[node] < ends[node + 1] {
                let target = targets[next[node]] as usize;
                next[node] += 1;
                if order[target] == UNSEEN {
                    path.push(target);
                } else if open[target] {
                    on_cycle[node] |= target == node;
                    lowest[node] = lowest[node].min(order[target]);
                }
                continue;
            }
            path.pop();
            if let Some(&above) = path.last() {
                lowest[above] = lowest[above].min(lowest[node]);
            }
            if lowest[node] == order[node] {
                let from = component.iter().rposition(|member| *member == node).unwrap_or(0);
                let alone = component.len() - from == 1;
                for member in component.drain(from..) {
                    open[member] = false;
                    on_cycle[member] |= !alone;
                }
            }
        }
    }
    wanted.iter().copied().find(|node| on_cycle[*node as usize])
}
