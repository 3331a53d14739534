//! How a vacuum finds and deletes what nothing leads to, while others write.
//!
//! The state is in the data file and changes in write transactions, one at a time among all processes: a [`Phase`],
//! the *notes* (objects that writers began to refer to), and the *list* of condemned objects. Who writes asks
//! [`refer`] and [`may_change`] first; the vacuum goes through [`collect`].
//!
//! A version S is pinned after `Marking` was committed, and what S has is marked from the entries, from the handles of
//! all who answer, and from the notes, along the references of S. What S has and is not marked is condemned.
//!
//! # Why nothing reachable is condemned
//!
//! Let c be condemned when the phase becomes `Sweeping`, and look at a reference p → c that exists then. Either S has
//! it too: then p was not marked, or c would be, so p is no entry but condemned itself. Or it was made after S, by a
//! transaction that saw `Marking` and either noted c, so that c is marked, or made c, so that S does not have it. So
//! only the condemned lead to the condemned. The notes are complete, since no one writes while the last are marked and
//! the phase becomes `Sweeping`: that is one transaction.
//!
//! The argument asks nothing of handles. They are roots so that who has one may go on using it: with a handle that was
//! not told of, a condemned object is refused.
//!
//! # Why the condemned do not come back
//!
//! From then on [`refer`] refuses each condemned object, so still only the condemned lead to the condemned. It can't
//! take one off the list instead: what that leads to may have been deleted already, by any of the transactions that
//! sweep. For the same reason a sweep that was begun is never taken back, only ended, by the next vacuum if need be; a
//! vacuum that marked anew would find handles to what is half gone.

/// What a vacuum is doing, as the data file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// It looks for what nothing leads to; new references are noted.
    Marking,
    /// It deletes what is condemned.
    Sweeping,
}

/// How a collection ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// It came to its end: nothing is condemned any more.
    Finished,
    /// It was cancelled. What is condemned stays so if it was sweeping; otherwise nothing has changed.
    Cancelled,
}

/// What a write transaction knows of the vacuum. All of it is of that transaction: what it notes is committed and
/// rolled back, to a savepoint too, with the references that it makes.
pub(crate) trait Ledger {
    /// What references lead to, in the unit in which the vacuum marks and deletes. What is made inside an older unit is
    /// as old as that.
    type Object: Copy;
    /// What may go wrong.
    type Error;

    /// The phase, which stays the same for as long as the transaction lasts.
    fn phase(&self) -> Phase;

    /// Notes an object; once is enough.
    fn note(&mut self, object: Self::Object) -> Result<(), Self::Error>;

    /// Whether an object is on the list. Asked only while sweeping.
    fn is_condemned(&self, object: Self::Object) -> Result<bool, Self::Error>;
}

/// Whether a new reference to an object may be made. To be asked for each, in the transaction that makes it, if the
/// object existed before that transaction; also when the reference is moved.
pub(crate) fn refer<L: Ledger>(ledger: &mut L, object: L::Object) -> Result<bool, L::Error> {
    match ledger.phase() {
        Phase::Idle => Ok(true),
        Phase::Marking => ledger.note(object).map(|()| true),
        Phase::Sweeping => may_change(ledger, object),
    }
}

/// Whether an object may be changed through a handle. One that is condemned may not: the change would be lost, and so
/// would what it puts there.
pub(crate) fn may_change<L: Ledger>(ledger: &L, object: L::Object) -> Result<bool, L::Error> {
    Ok(ledger.phase() != Phase::Sweeping || !ledger.is_condemned(object)?)
}

/// The steps of a vacuum, which [`collect`] puts in order. No other vacuum is under way.
///
/// What writes is said to be one transaction or several; the rest reads versions and holds up no one. A step may be the
/// last one: a process can die after each, and between the transactions of each.
pub(crate) trait Collector {
    /// What may go wrong.
    type Error;

    /// The phase in the newest version.
    fn phase(&mut self) -> Result<Phase, Self::Error>;

    /// Drops the notes and the list, which a vacuum that died may have left, in as many transactions as it takes; in the last
    /// one the phase becomes `Marking`.
    fn announce(&mut self) -> Result<(), Self::Error>;

    /// Pins the newest version, S. Its entries are to be marked.
    fn pin(&mut self) -> Result<(), Self::Error>;

    /// Asks all who have handles for them: they are to be marked. Who takes long, or does not answer, is left out, and
    /// so are handles that are made later from a version before S.
    fn ask(&mut self) -> Result<(), Self::Error>;

    /// Marks some of what is to be marked, and with it what that leads to in S; answers whether there is more to do.
    fn mark_some(&mut self) -> Result<bool, Self::Error>;

    /// Looks for notes that were committed since it last did: they are to be marked. Answers whether there were any.
    fn mark_noted(&mut self) -> Result<bool, Self::Error>;

    /// Several transactions, each of which lists some of what S has and is not marked, and of nothing newer. Answers
    /// whether there is more to do. The phase is still `Marking`, so no writer looks at the list.
    fn condemn_some(&mut self) -> Result<bool, Self::Error>;

    /// One transaction: marks what was noted up to this very moment and all that it leads to in S, takes off the list
    /// what was marked since it was listed, and drops the notes; the phase is `Sweeping`. S may be let go of.
    fn begin_sweep(&mut self) -> Result<(), Self::Error>;

    /// One transaction: deletes some of the listed objects, as far as they still exist, and takes them off the list.
    /// Nothing else goes with them: what only they refer to may be what someone told a handle of. Answers whether there
    /// is more to do.
    fn sweep_some(&mut self) -> Result<bool, Self::Error>;

    /// One transaction: the phase is `Idle`. The list is empty.
    fn end(&mut self) -> Result<(), Self::Error>;

    /// One transaction: the phase is `Idle`, so that notes and list mean nothing. S is let go of. Nothing was deleted.
    fn withdraw(&mut self) -> Result<(), Self::Error>;
}

/// How often notes are looked for before the rest is left to the transaction in which writers wait.
const ROUNDS: usize = 8;

/// Deletes what nothing leads to. `is_cancelled` is asked before every step.
///
/// A sweep that another vacuum has left is ended first, and a failure before the own sweep withdraws.
pub(crate) fn collect<C: Collector>(
    collector: &mut C,
    mut is_cancelled: impl FnMut() -> bool,
) -> Result<Outcome, C::Error> {
    if resume(collector, &mut is_cancelled)? == Outcome::Cancelled {
        return Ok(Outcome::Cancelled);
    }
    let mut steps = Steps { collector, is_cancelled };
    match steps.condemn() {
        Ok(true) => steps.sweep(),
        Ok(false) => {
            steps.collector.withdraw()?;
            Ok(Outcome::Cancelled)
        }
        Err(error) => {
            // Even if `begin_sweep` was committed before it failed, nothing was deleted. If this fails too, writers go
            // on as they would if this process had died, and the first error says more than the second.
            let _ = steps.collector.withdraw();
            Err(error)
        }
    }
}

/// Ends the sweep of a vacuum that was cancelled or died, if there is one.
pub(crate) fn resume<C: Collector>(
    collector: &mut C,
    mut is_cancelled: impl FnMut() -> bool,
) -> Result<Outcome, C::Error> {
    if is_cancelled() {
        return Ok(Outcome::Cancelled);
    }
    match collector.phase()? {
        Phase::Sweeping => Steps { collector, is_cancelled }.sweep(),
        Phase::Idle | Phase::Marking => Ok(Outcome::Finished),
    }
}

/// The steps that are done until there is nothing more to do, or until it is cancelled; they answer which.
struct Steps<'a, C, F> {
    collector: &'a mut C,
    is_cancelled: F,
}

impl<C: Collector, F: FnMut() -> bool> Steps<'_, C, F> {
    /// Goes as far as the transaction from which on objects are condemned.
    fn condemn(&mut self) -> Result<bool, C::Error> {
        // Announced before S, so that all who commit after S have seen it. Asked after S, so that a handle which is made
        // after the answer is to what S has, or to what was noted or made since.
        Ok(self.once(C::announce)?
            && self.once(C::pin)?
            && self.once(C::ask)?
            && self.all(C::mark_some)?
            && self.catch_up()?
            && self.all(C::condemn_some)?
            && self.catch_up()?
            && self.once(C::begin_sweep)?)
    }

    fn sweep(&mut self) -> Result<Outcome, C::Error> {
        let swept = self.all(C::sweep_some)? && self.once(C::end)?;
        Ok(if swept { Outcome::Finished } else { Outcome::Cancelled })
    }

    /// Marks what was noted, so that little is left to the transaction in which writers wait.
    fn catch_up(&mut self) -> Result<bool, C::Error> {
        for _ in 0..ROUNDS {
            let mut noted = false;
            let look = |collector: &mut C| {
                noted = collector.mark_noted()?;
                Ok(false)
            };
            if !self.all(look)? || noted && !self.all(C::mark_some)? {
                return Ok(false);
            }
            if !noted {
                break;
            }
        }
        Ok(true)
    }

    fn once(&mut self, step: fn(&mut C) -> Result<(), C::Error>) -> Result<bool, C::Error> {
        self.all(|collector| step(collector).map(|()| false))
    }

    /// Goes on with a step for as long as there is more of it to do.
    fn all(&mut self, mut step: impl FnMut(&mut C) -> Result<bool, C::Error>) -> Result<bool, C::Error> {
        while !(self.is_cancelled)() {
            if !step(self.collector)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
