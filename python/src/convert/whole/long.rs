//! The elements of long containers, a part at a time.

use std::sync::Arc;

use oocmap::{ContainerKind, Long, Members, Node, Position, ReadObjects, RunElements};
use pyo3::prelude::*;

use super::{Decoder, Place, damaged};
use crate::{access::Access, errors::OrRaise, names::Source};

/// What was read of a long container.
pub(super) struct Parts<'a> {
    long: Arc<Long>,
    access: Arc<Access>,
    near: Near<'a>,
}

enum Near<'a> {
    Nothing,
    /// Neighbours in a list, of which the first has this number.
    Numbers(usize, RunElements),
    Mixed(usize, Place<'a>, oocmap::Container),
    /// Neighbours in a dict or set, of which the first that was wanted has this number, and its place among them.
    Members(usize, Place<'a>, Members, usize),
}

impl<'a> Parts<'a> {
    pub(super) fn new(long: Arc<Long>, access: Arc<Access>) -> Self {
        Self { long, access, near: Near::Nothing }
    }

    pub(super) fn kind(&self) -> ContainerKind {
        self.long.kind()
    }

    /// An element of a list, in any order.
    fn list_element(&mut self, decoder: &mut Decoder<'a, '_>, index: usize) -> PyResult<Node<'a>> {
        let is_near = match &self.near {
            Near::Numbers(first, run) => (*first..first + run.len()).contains(&index),
            Near::Mixed(first, _, tuple) => (*first..first + tuple.len()).contains(&index),
            _ => false,
        };
        if !is_near {
            let run = decoder.reader.run(&self.long, index as u64).or_raise()?;
            let first = run.first as usize;
            self.near = match run.elements {
                RunElements::Mixed(held, tuple) => {
                    let place = decoder.enter_part(Source {
                        held,
                        access: Arc::clone(&self.access),
                        seen: None,
                        holds: None,
                    })?;
                    Near::Mixed(first, place, tuple)
                }
                numbers => Near::Numbers(first, numbers),
            };
        }
        match &self.near {
            Near::Numbers(first, RunElements::Ints(ints)) => Ok(Node::Int(ints[index - first])),
            Near::Numbers(first, RunElements::Floats(floats)) => Ok(Node::Float(floats[index - first])),
            Near::Mixed(first, place, tuple) => {
                decoder.go_to(*place);
                place.record.item(*tuple, index - first).or_raise()
            }
            _ => Err(damaged("a long list holds something else than elements")),
        }
    }

    /// The key or value of an item, or a member, one after another.
    fn member(&mut self, decoder: &mut Decoder<'a, '_>, index: usize, value: bool) -> PyResult<Node<'a>> {
        let from = match &self.near {
            Near::Members(first, _, members, at) if at + index - first < members.len() => None,
            Near::Members(_, _, members, _) => match members.position(members.len() - 1) {
                Position::Sequence(last) => Some(last + 1),
                Position::Index(_) => return Err(damaged("a part of a long container is a record")),
            },
            _ => Some(0),
        };
        if let Some(from) = from {
            let (members, at) = decoder
                .reader
                .members(&self.long, from, false)
                .or_raise()?
                .ok_or_else(|| damaged("a long dict or set ends early"))?;
            let place = decoder.enter_part(Source {
                held: Arc::clone(members.held()),
                access: Arc::clone(&self.access),
                seen: None,
                holds: None,
            })?;
            self.near = Near::Members(index, place, members, at);
        }
        let Near::Members(first, place, members, at) = &self.near else {
            return Err(damaged("a long dict or set has no members"));
        };
        decoder.go_to(*place);
        let at = at + index - first;
        let within = if value { members.value_index(at) } else { members.key_index(at) };
        place.record.item(members.tuple(), within).or_raise()
    }

    /// The element that comes next; of a dict, its keys and values in turn.
    pub(super) fn element(&mut self, decoder: &mut Decoder<'a, '_>, next: usize) -> PyResult<Node<'a>> {
        match self.kind() {
            ContainerKind::List => self.list_element(decoder, next),
            ContainerKind::Dict => self.member(decoder, next / 2, !next.is_multiple_of(2)),
            _ => self.member(decoder, next, false),
        }
    }
}
