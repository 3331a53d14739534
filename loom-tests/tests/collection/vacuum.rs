//! A vacuum over a model of a database, for the steps of one module.

use oocmap_loom_tests::{sync::Mutex, versions::Object};
use std::collections::BTreeSet;

/// The objects that a process has handles to.
pub(crate) type Handles = Mutex<BTreeSet<Object>>;

/// What stops a vacuum, after so many steps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Never,
    Cancel(usize),
    Death(usize),
    /// One step fails.
    Failure(usize),
}

/// More steps than a vacuum has in the models in which it is stopped.
pub(crate) const STEPS: usize = 17;

/// What a run has that others have not: someone who breaks a contract, or many notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    None,
    IgnoresLastNotes,
    LooksForLastNotesBefore,
    ListsWhatIsNew,
    /// A reader looks at the newest version, not at the one that it pinned.
    ReadsWhatIsNewest,
    /// Someone notes something while handles are asked for.
    EarlyNote,
    /// Others note as fast as it marks.
    EndlessNotes,
}

/// The vacuum, over the functions and traits that are in scope.
macro_rules! vacuum {
    () => {
        impl Ledger for Version<Phase> {
            type Object = Object;
            type Error = ();

            fn phase(&self) -> Phase {
                self.phase
            }

            fn note(&mut self, object: Object) -> Result<(), ()> {
                self.notes.insert(object);
                Ok(())
            }

            fn is_condemned(&self, object: Object) -> Result<bool, ()> {
                Ok(self.list.contains(&object))
            }
        }

        /// A vacuum in a process of its own.
        struct Vacuum<'a> {
            database: &'a Database<Phase>,
            /// The handles of a process that answers.
            handles: Option<&'a Handles>,
            stop: Stop,
            twist: Twist,
            steps: &'a Cell<usize>,
            snapshot: Arc<Version<Phase>>,
            to_mark: Vec<Object>,
            noted: BTreeSet<Object>,
            marked: BTreeSet<Object>,
            listed: BTreeSet<Object>,
        }

        impl Vacuum<'_> {
            fn is_alive(&self) -> Result<(), &'static str> {
                match self.stop {
                    Stop::Death(last) if self.steps.get() >= last => Err("died"),
                    _ => Ok(()),
                }
            }

            fn is_cancelled(stop: Stop, steps: &Cell<usize>) -> bool {
                matches!(stop, Stop::Cancel(last) if steps.get() >= last)
            }

            /// Begins a step.
            fn step(&self) -> Result<(), &'static str> {
                self.is_alive()?;
                assert!(!Self::is_cancelled(self.stop, self.steps), "it goes on though it was cancelled");
                self.steps.update(|steps| steps + 1);
                assert!(self.steps.get() < 100, "it never ends");
                match self.stop {
                    Stop::Failure(last) if self.steps.get() == last => Err("failed"),
                    _ => Ok(()),
                }
            }

            fn have_marked(&mut self, notes: &BTreeSet<Object>) -> bool {
                let new: Vec<_> = notes.difference(&self.noted).copied().collect();
                self.noted.extend(&new);
                self.to_mark.extend(&new);
                !new.is_empty()
            }

            fn mark(&mut self, object: Object) {
                // What is newer than S is not there, and there is no need for it to be.
                if let Some(references) = self.snapshot.objects.get(&object)
                    && self.marked.insert(object)
                {
                    self.to_mark.extend(references);
                }
            }
        }

        impl Collector for Vacuum<'_> {
            type Error = &'static str;

            fn phase(&mut self) -> Result<Phase, Self::Error> {
                self.step()?;
                Ok(self.database.pin().phase)
            }

            fn announce(&mut self) -> Result<(), Self::Error> {
                self.step()?;
                self.database.write(|version| {
                    version.notes.clear();
                    version.list.clear();
                    version.phase = Phase::Marking;
                });
                Ok(())
            }

            fn pin(&mut self) -> Result<(), Self::Error> {
                self.step()?;
                self.snapshot = self.database.pin();
                self.to_mark.extend(&self.snapshot.entries);
                Ok(())
            }

            fn ask(&mut self) -> Result<(), Self::Error> {
                self.step()?;
                if let Some(handles) = self.handles {
                    self.to_mark.extend(&*handles.lock());
                }
                if self.twist == Twist::EarlyNote {
                    assert_eq!(self.database.write(|version| refer(version, PARENT)), Ok(true));
                }
                Ok(())
            }

            fn mark_some(&mut self) -> Result<bool, Self::Error> {
                self.step()?;
                if let Some(object) = self.to_mark.pop() {
                    self.mark(object);
                }
                Ok(!self.to_mark.is_empty())
            }

            fn mark_noted(&mut self) -> Result<bool, Self::Error> {
                self.step()?;
                let newest = self.database.pin();
                Ok(self.have_marked(&newest.notes) || self.twist == Twist::EndlessNotes)
            }

            fn condemn_some(&mut self) -> Result<bool, Self::Error> {
                self.step()?;
                let objects = match self.twist {
                    Twist::ListsWhatIsNew => self.database.pin().objects.clone(),
                    _ => self.snapshot.objects.clone(),
                };
                let is_unmarked = |object: &Object| !self.marked.contains(object) && !self.listed.contains(object);
                let mut unmarked = objects.into_keys().filter(is_unmarked);
                if let Some(object) = unmarked.next() {
                    let is_last = unmarked.next().is_none();
                    self.listed.insert(object);
                    self.database.write(|version| version.list.insert(object));
                    return Ok(!is_last);
                }
                Ok(false)
            }

            fn begin_sweep(&mut self) -> Result<(), Self::Error> {
                self.step()?;
                let has_early_note = self.twist != Twist::EarlyNote || self.marked.contains(&PARENT);
                assert!(
                    self.to_mark.is_empty() && has_early_note,
                    "writers wait for what could be marked before"
                );
                let before = (self.twist == Twist::LooksForLastNotesBefore).then(|| self.database.pin());
                let database = self.database;
                database.write(|version| {
                    if self.twist != Twist::IgnoresLastNotes {
                        self.have_marked(before.as_ref().map_or(&version.notes, |before| &before.notes));
                    }
                    while let Some(object) = self.to_mark.pop() {
                        self.mark(object);
                    }
                    version.list.retain(|object| !self.marked.contains(object));
                    version.notes.clear();
                    version.phase = Phase::Sweeping;
                });
                Ok(())
            }

            fn sweep_some(&mut self) -> Result<bool, Self::Error> {
                self.step()?;
                Ok(self.database.write(|version| {
                    let object = version.list.pop_first();
                    object.and_then(|object| version.objects.remove(&object));
                    !version.list.is_empty()
                }))
            }

            fn end(&mut self) -> Result<(), Self::Error> {
                self.step()?;
                self.database.write(|version| version.phase = Phase::Idle);
                Ok(())
            }

            fn withdraw(&mut self) -> Result<(), Self::Error> {
                self.is_alive()?;
                self.database.write(|version| {
                    version.notes.clear();
                    version.list.clear();
                    version.phase = Phase::Idle;
                });
                Ok(())
            }
        }

        fn vacuum(
            database: &Database<Phase>,
            handles: Option<&Handles>,
            stop: Stop,
            twist: Twist,
        ) -> Result<Outcome, &'static str> {
            let steps = Cell::new(0);
            let mut vacuum = Vacuum {
                database,
                handles,
                stop,
                twist,
                steps: &steps,
                snapshot: Arc::default(),
                to_mark: Vec::new(),
                noted: BTreeSet::new(),
                marked: BTreeSet::new(),
                listed: BTreeSet::new(),
            };
            collect(&mut vacuum, || Vacuum::is_cancelled(stop, &steps))
        }

        /// All that the entries lead to exists, and when no one has handles and no one writes, one more vacuum leaves
        /// nothing else.
        fn assert_collected(database: &Database<Phase>) {
            let version = database.pin();
            let reachable = version.reachable(&version.entries);
            assert_eq!(vacuum(database, None, Stop::Never, Twist::None), Ok(Outcome::Finished));
            let version = database.pin();
            assert_eq!(version.phase, Phase::Idle, "it never ends");
            assert!(version.objects.keys().eq(&reachable), "garbage is left");
        }
    };
}
