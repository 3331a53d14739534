//! Replaces elements of a long sequence by others: along the way to the first and to the last of them, and no further.

use super::{
    node::{Child, FANOUT, Header, children, node, read_header},
    open_leaf,
    write::TreeWriter,
};
use crate::{
    error::{Error, Result},
    format::frame::Frame,
    store::ReadTables,
    txn::{
        changes::Changes,
        long::{
            elements::{Elements, Run, Source},
            leaf::Leaf,
            packing::{LARGEST, Piece, pack, pack_around},
            place::Place,
        },
    },
};

/// Removes so many elements from an index on, and inserts others there.
///
/// # Errors
///
/// `Corrupted`, `TooLarge`, `Unsupported` when other things than bytes are put into a byte array, and those of
/// [`Changes::write`].
///
/// # Panics
///
/// When the elements to be removed are not all there.
pub(crate) fn splice(
    tables: &mut impl Changes,
    place: Place,
    at: u64,
    remove: u64,
    insert: &Elements,
) -> Result<()> {
    let mut header = read_header(tables, place)?;
    let end = at.checked_add(remove).filter(|end| *end <= header.len);
    let Some(end) = end else { panic!("elements {at} to {at} + {remove} of {}", header.len) };
    if remove == 0 && insert.is_empty() {
        return Ok(());
    }
    let old = header;
    let len = (old.len - remove).checked_add(insert.len() as u64);
    header.len = len.ok_or_else(|| Error::TooLarge("a sequence of more than 2^64 elements".into()))?;
    header.note_change();
    if old.height == 0 || header.len == 0 {
        let pieces = pack(old.kind, &[Run { source: insert.source()?, range: 0..insert.len() }])?;
        let mut writer = TreeWriter::new(tables, place, header, Vec::new());
        if let Some(root) = old.root() {
            writer.free(vec![(root, old.height)])?;
        }
        let leaves = writer.put_leaves(pieces)?;
        writer.grow(leaves, 1)?;
        return writer.finish();
    }

    // What is inserted goes to the end of a leaf rather than to the beginning of the next.
    let left = descend(tables, place, &old, if remove == 0 { at.saturating_sub(1) } else { at })?;
    let right = match end.checked_sub(1) {
        Some(last) if remove > 0 && last - left.first >= left.leaf.len => descend(tables, place, &old, last)?,
        _ => left.clone(),
    };
    let begin = [
        Run {
            source: Source::Leaf(open_leaf(tables, place, old.kind, left.leaf)?.0),
            range: 0..(at - left.first) as usize,
        },
        Run { source: insert.source()?, range: 0..insert.len() },
    ];
    let rest = Run {
        source: Source::Leaf(open_leaf(tables, place, old.kind, right.leaf)?.0),
        range: (end - right.first) as usize..right.leaf.len as usize,
    };
    let mut pieces = pack_around(old.kind, &begin, rest)?;
    let mut span = Span { left, right, depth: usize::from(old.height) - 1, before: 0, after: 0 };
    let mut given_up = span.numbers();
    if remove > 0 || pieces.len() > 1 {
        given_up.extend(span.join_leaves(tables, place, &old, &mut pieces)?);
    }
    let mut writer = TreeWriter::new(tables, place, header, given_up);
    let mut nodes = writer.put_leaves(pieces)?;
    if span.is_replaced_by(&nodes) {
        return writer.finish();
    }
    while span.depth > 0 {
        let (begin, end, dropped) = span.ascend(nodes);
        let height = old.height - span.depth as u8 - 1;
        writer.free(dropped.into_iter().map(|child| (child, height)).collect())?;
        let mut groups = group_around(begin, &end);
        let mut given_up = span.numbers();
        if remove > 0 || groups.len() > 1 {
            given_up.extend(span.join_branches(writer.tables, place, &mut groups)?);
        }
        writer.give_up(given_up)?;
        nodes = writer.put_branches(groups.iter().map(Vec::as_slice))?;
    }
    writer.grow(nodes, old.height)?;
    if remove > 0 {
        writer.shrink()?;
    }
    writer.finish()
}

/// A branch on the way to a leaf.
#[derive(Clone)]
struct Step {
    number: u32,
    children: Vec<Child>,
    /// Which of the children the way goes on with.
    at: usize,
}

/// The way to a leaf.
#[derive(Clone)]
struct Path {
    steps: Vec<Step>,
    leaf: Child,
    /// The index of the leaf's first element.
    first: u64,
}

fn descend(tables: &impl ReadTables, place: Place, header: &Header, index: u64) -> Result<Path> {
    let mut path = Path { steps: Vec::new(), leaf: Child { number: header.root, len: header.len }, first: 0 };
    for _ in 1..header.height {
        let children = children(tables, place, path.leaf)?;
        let mut at = 0;
        // The children have as many elements as the branch, so one of them has this.
        while index - path.first >= children[at].len {
            path.first += children[at].len;
            at += 1;
        }
        let number = std::mem::replace(&mut path.leaf, children[at]).number;
        path.steps.push(Step { number, children, at });
    }
    Ok(path)
}

/// The nodes of one level that are replaced: those between the two ways, with their ends.
struct Span {
    left: Path,
    right: Path,
    /// How many branches are above the level.
    depth: usize,
    /// How many nodes before the left one are replaced too.
    before: usize,
    /// How many nodes behind the right one are replaced too.
    after: usize,
}

impl Span {
    /// The numbers of the nodes that the two ways lead through.
    fn numbers(&self) -> Vec<u32> {
        let number = |path: &Path| path.steps.get(self.depth).map_or(path.leaf.number, |step| step.number);
        let mut numbers = vec![number(&self.left), number(&self.right)];
        numbers.dedup();
        numbers
    }

    /// Whether nothing changes above the leaves: a single one was replaced, by one of as many elements in its place.
    fn is_replaced_by(&self, nodes: &[Child]) -> bool {
        self.left.leaf.number == self.right.leaf.number
            && (self.before, self.after) == (0, 0)
            && *nodes == [self.left.leaf]
    }

    /// Goes to the level above, where new nodes replace the span. Answers the children there up to the end of the new
    /// ones, those behind, and those between the two ways, which are gone.
    fn ascend(&mut self, new: Vec<Child>) -> (Vec<Child>, Vec<Child>, Vec<Child>) {
        self.depth -= 1;
        let (left, right) = (&self.left.steps[self.depth], &self.right.steps[self.depth]);
        let mut begin = left.children[..left.at - self.before].to_vec();
        begin.extend(new);
        let end = right.children[right.at + 1 + self.after..].to_vec();
        let mut dropped = Vec::new();
        if left.number == right.number {
            dropped.extend_from_slice(left.children.get(left.at + 1..right.at).unwrap_or_default());
        } else {
            dropped.extend_from_slice(&left.children[left.at + 1..]);
            dropped.extend_from_slice(&right.children[..right.at]);
        }
        (self.before, self.after) = (0, 0);
        (begin, end, dropped)
    }

    /// The nodes before and behind the span that have the same parents.
    fn neighbours(&self) -> (Option<Child>, Option<Child>) {
        let Some(above) = self.depth.checked_sub(1) else { return (None, None) };
        let (left, right) = (&self.left.steps[above], &self.right.steps[above]);
        (
            left.at.checked_sub(1).map(|before| left.children[before]),
            right.children.get(right.at + 1).copied(),
        )
    }

    /// Joins a first or last leaf that is rather empty with its neighbour, when they fit. Answers the numbers of the
    /// neighbours that are replaced then.
    fn join_leaves(
        &mut self,
        tables: &impl ReadTables,
        place: Place,
        header: &Header,
        pieces: &mut [Piece],
    ) -> Result<Vec<u32>> {
        let joined = |piece: &Piece, neighbour: Child, is_before: bool| -> Result<Option<Piece>> {
            if piece.frame.len() >= LARGEST / 2
                || piece.frame.len() + node(tables, place, neighbour.number)?.len() > LARGEST / 4 * 3
            {
                return Ok(None);
            }
            let (leaf, _) = open_leaf(tables, place, header.kind, neighbour)?;
            let own = Leaf::open(&Frame::decode(&piece.frame)?)?;
            let mut runs = [own, leaf].map(|leaf| Run { source: Source::Leaf(leaf), range: 0..leaf.len() });
            if is_before {
                runs.swap(0, 1);
            }
            // Leaves of different kinds may need more room together.
            Ok(pack(header.kind, &runs)?.pop().filter(|joined| joined.len == piece.len + neighbour.len))
        };
        let mut given_up = Vec::new();
        let (before, after) = self.neighbours();
        if let (Some(first), Some(neighbour)) = (pieces.first_mut(), before)
            && let Some(joined) = joined(first, neighbour, true)?
        {
            *first = joined;
            self.before = 1;
            given_up.push(neighbour.number);
        }
        if let (Some(last), Some(neighbour)) = (pieces.last_mut(), after)
            && let Some(joined) = joined(last, neighbour, false)?
        {
            *last = joined;
            self.after = 1;
            given_up.push(neighbour.number);
        }
        Ok(given_up)
    }

    /// Does the same with branches.
    fn join_branches(
        &mut self,
        tables: &impl ReadTables,
        place: Place,
        groups: &mut [Vec<Child>],
    ) -> Result<Vec<u32>> {
        let joined = |own: &[Child], neighbour: Child| -> Result<Option<Vec<Child>>> {
            if own.len() >= FANOUT / 2 {
                return Ok(None);
            }
            let children = children(tables, place, neighbour)?;
            Ok((own.len() + children.len() <= FANOUT / 4 * 3).then_some(children))
        };
        let mut given_up = Vec::new();
        let (before, after) = self.neighbours();
        if let (Some(first), Some(neighbour)) = (groups.first_mut(), before)
            && let Some(mut joined) = joined(first, neighbour)?
        {
            joined.append(first);
            *first = joined;
            self.before = 1;
            given_up.push(neighbour.number);
        }
        if let (Some(last), Some(neighbour)) = (groups.last_mut(), after)
            && let Some(joined) = joined(last, neighbour)?
        {
            last.extend(joined);
            self.after = 1;
            given_up.push(neighbour.number);
        }
        Ok(given_up)
    }
}

/// The children of branches, of which new ones end the `begin`; when there are too many for one, branches end there too.
fn group_around(mut begin: Vec<Child>, end: &[Child]) -> Vec<Vec<Child>> {
    let last = begin.len() % FANOUT;
    let apart = if last > 0 && last + end.len() <= FANOUT {
        begin.extend_from_slice(end);
        &[]
    } else {
        end
    };
    begin.chunks(FANOUT).chain(apart.chunks(FANOUT)).map(<[_]>::to_vec).collect()
}
