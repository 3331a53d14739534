//! What can be reached within a record.

use std::collections::HashSet;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::{Container, ContainerKind, Named, Node, ObjectId, RecordView};
use crate::error::Result;

/// What some nodes of a record lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// The slots of its own mutable containers, wherever these lie.
    pub(crate) slots: HashSet<u32>,
    /// Those of them that lie outside the record.
    pub(crate) outside: Vec<u32>,
    /// The objects of other records.
    pub(crate) objects: Vec<ObjectId>,
}

impl<'a> RecordView<'a> {
    /// What the record names that lies elsewhere.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub(crate) fn named(&self) -> Result<Named> {
        let mut named = Named::default();
        self.walk(self.entrances()?, |node| match node {
            Node::Shared(id) => named.shared.push(id),
            Node::Object(reference) if reference.id.record == self.id => {
                named.outside.push(reference.id.slot);
            }
            Node::Object(reference) => named.objects.push(reference.id),
            _ => {}
        })?;
        Ok(named)
    }

    /// What some nodes of the record lead to.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub(crate) fn reach(&self, starts: Vec<Node<'a>>) -> Result<Reach> {
        let mut reach = Reach::default();
        self.walk(starts, |node| match node {
            Node::Object(reference) if reference.id.record == self.id => {
                let is_new = reach.slots.insert(reference.id.slot);
                reach.outside.extend(is_new.then_some(reference.id.slot));
            }
            Node::Object(reference) => reach.objects.push(reference.id),
            Node::Container(container) => reach.slots.extend(container.slot()),
            _ => {}
        })?;
        Ok(reach)
    }

    /// The slots that something outside refers to.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub(crate) fn exported(&self) -> Result<SmallVec<[u32; 8]>> {
        let mut exported = SmallVec::new();
        for number in 0..self.slots() as u32 {
            if self.slot(number)?.exported {
                exported.push(number);
            }
        }
        Ok(exported)
    }

    /// The root and all that something outside refers to.
    fn entrances(&self) -> Result<Vec<Node<'a>>> {
        let exported = self.exported()?;
        let roots = [self.root()].into_iter();
        roots.chain(exported.into_iter().map(|number| self.slot_node(number))).collect()
    }

    /// Visits all nodes that some lead to, once for each place; a container's elements once.
    fn walk(&self, starts: Vec<Node<'a>>, mut visit: impl FnMut(Node<'a>)) -> Result<()> {
        let mut seen = FxHashSet::default();
        let mut pending: Vec<Container> = Vec::new();
        let mut meet = |node: Node<'a>, pending: &mut Vec<Container>| {
            visit(node);
            if let Node::Container(container) = node
                && seen.insert(container.at)
            {
                pending.push(container);
            }
        };
        for node in starts {
            meet(node, &mut pending);
        }
        while let Some(container) = pending.pop() {
            for index in 0..container.len() {
                meet(self.item(container, index)?, &mut pending);
                if container.kind == ContainerKind::Dict {
                    meet(self.value(container, index)?, &mut pending);
                }
            }
        }
        Ok(())
    }
}
