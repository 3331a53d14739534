//! A vacuum that is killed between any two of its transactions leaves a sound map, and the next one ends what it began.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::{
    collector::{Collection, Supervisor},
    report::VacuumStep,
    worker::Vacuum,
};
use crate::{
    Change, ContainerKind, Draft, Durability, Environment, Error, Key, ObjectId, Options, ReadObjects,
    Reference, Value, ValueBuilder, ValueRef,
    coord::collection::{Collector, Phase},
    sync::Arc,
    txn::{core::Terms, entry::EntryKey, patience::Patience},
};

/// After how many transactions a process that a test started is to die.
const DIES_AFTER: &str = "OOCMAP_TEST_DIES_AFTER";
/// The map that it vacuums until then.
const MAP: &str = "OOCMAP_TEST_MAP";

/// Dies when a vacuum of this process is about to begin its last transaction.
#[expect(unsafe_code, reason = "the standard library kills no process but children")]
pub(super) fn die_in_time() {
    static DONE: AtomicI64 = AtomicI64::new(0);
    let last = env::var(DIES_AFTER).ok().and_then(|last| last.parse().ok());
    if last == Some(DONE.fetch_add(1, Ordering::SeqCst)) {
        // SAFETY: the call takes any numbers.
        unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
    }
}

fn open(path: &Path) -> Environment {
    let options = Options { durability: Durability::NoMetaSync, ..Options::default() };
    Environment::open(path, &options).expect("the map opens")
}

fn object(environment: &Environment, key: &str) -> Reference {
    match environment.read().unwrap().get(&key.into()).unwrap().expect("the key is there") {
        ValueRef::Object(reference) => reference,
        ValueRef::Container(container) => container.reference().expect("it can change"),
        _ => panic!("{key} is no object"),
    }
}

fn refer(reference: Reference) -> Draft {
    let mut builder = ValueBuilder::new();
    let word = builder.object(reference, None).unwrap();
    builder.finish(word)
}

fn list(range: std::ops::Range<i64>) -> Value {
    Value::List(range.map(|number| Value::List(vec![number.into()])).collect())
}

/// A map with much that nothing leads to: whole records, parts of others, long containers, circles, what handles kept.
fn litter(path: &Path) {
    let environment = open(path);
    let put = |key: &str, value: &Value| {
        let mut write = environment.write().unwrap();
        write.put(&key.into(), value).unwrap();
        write.commit().unwrap();
    };
    let append = |key: &str, into: Reference, drafts: Vec<Draft>| {
        let mut write = environment.write().unwrap();
        write.change(into.id, Some(&key.into()), &[Change::Append(drafts)]).unwrap();
        write.commit().unwrap();
    };
    let alias = |key: &str, reference: Reference, seen: &str| {
        let mut write = environment.write().unwrap();
        write.put_object(&key.into(), reference, Some(&seen.into())).unwrap();
        write.commit().unwrap();
    };
    let delete = |key: &str| {
        let mut write = environment.write().unwrap();
        assert!(write.delete(&key.into()).unwrap());
        write.commit().unwrap();
    };
    for number in 0..6 {
        let (key, other) = (format!("gone {number}"), format!("other {number}"));
        put(&key, &list(0..3));
        let whole = object(&environment, &key);
        alias(&other, whole, &key);
        if number > 0 {
            // In circles, too.
            let before = object(&environment, &format!("gone {}", number - 1));
            append(&key, object(&environment, &key), vec![refer(before)]);
            append(&format!("gone {}", number - 1), before, vec![refer(object(&environment, &key))]);
        }
    }
    put("long", &list(0..400));
    let long = object(&environment, "long");
    alias("long too", long, "long");
    // A long one that only another one leads to.
    put("nest", &list(0..2));
    append("nest", object(&environment, "nest"), vec![list(0..300).draft().unwrap()]);
    alias("nest too", object(&environment, "nest"), "nest");
    put("some", &list(0..4));
    let some = object(&environment, "some");
    let inner = Reference { kind: ContainerKind::List, id: ObjectId { slot: 2, ..some.id } };
    alias("inner", inner, "some");
    alias("some too", some, "some");
    put("live", &list(0..3));
    let live = object(&environment, "live");
    alias("live too", live, "live");
    append("long", object(&environment, "long"), vec![refer(object(&environment, "live"))]);
    // Something in an entry that only a handle keeps, and with it something else.
    put("stray", &Value::List(vec![list(0..2)]));
    let stray = object(&environment, "stray");
    let hold = environment.keep(ObjectId { slot: 1, ..stray.id });
    let kept = Reference { kind: ContainerKind::List, id: ObjectId { slot: 1, ..stray.id } };
    append("stray", kept, vec![refer(object(&environment, "gone 0"))]);
    let mut write = environment.write().unwrap();
    write.change(stray.id, Some(&"stray".into()), &[Change::Clear]).unwrap();
    write.commit().unwrap();
    for number in 0..6 {
        delete(&format!("gone {number}"));
        delete(&format!("other {number}"));
    }
    for key in ["long", "long too", "nest", "nest too", "some", "some too"] {
        delete(key);
    }
    // As when the process dies.
    std::mem::forget(hold);
}

fn assert_sound(environment: &Environment) {
    let read = environment.read().unwrap();
    let problems = read.check(&mut |_, _| true).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let live = object(environment, "live");
    assert_eq!(object(environment, "live too"), live);
    assert_eq!(read.object(live.id, None).unwrap().expect("it is there").len().unwrap(), 3);
    let inner = object(environment, "inner");
    assert_eq!(read.object(inner.id, None).unwrap().expect("it is there").len().unwrap(), 1);
}

fn vacuum(environment: &Environment, compact: bool) -> u64 {
    let vacuum = environment.vacuum(compact).unwrap();
    vacuum.wait(Duration::from_mins(1)).expect("it ends").expect("it goes well").objects
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn vacuums_and_dies() {
    vacuum(&open(env::var(MAP).unwrap().as_ref()), false);
}

#[test]
fn whoever_vacuums_may_die_after_any_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let littered = directory.path().join("littered.ooc");
    // In a process of its own, which dies with its handles.
    start("litters", &littered, None);
    let mut phases = Vec::new();
    for transactions in 0.. {
        let path = directory.path().join(format!("{transactions}.ooc"));
        std::fs::copy(&littered, &path).unwrap();
        let environment = open(&path);
        let snapshot = environment.read().unwrap();
        let whole = snapshot.objects().unwrap();
        let hold = environment.keep(object(&environment, "live").id);
        let is_over = start("vacuums_and_dies", &path, Some(transactions));
        let phase = environment.read().unwrap().header().phase;
        phases.push(phase);
        assert_sound(&environment);
        // Others go on, and refer to things again.
        let mut write = environment.write().unwrap();
        let live = object(&environment, "live");
        write.put_object(&"live once more".into(), live, Some(&"live".into())).unwrap();
        write.put(&"new".into(), &list(0..2)).unwrap();
        write.commit().unwrap();
        drop(hold);
        assert_sound(&environment);
        assert_eq!(snapshot.objects().unwrap(), whole);
        assert_eq!(snapshot.check(&mut |_, _| true).unwrap(), []);
        vacuum(&environment, true);
        assert_sound(&environment);
        assert_eq!(vacuum(&environment, false), 0, "one more finds nothing, after {transactions}");
        for key in ["live", "live too", "live once more", "inner", "stray", "new"] {
            let mut write = environment.write().unwrap();
            assert!(write.delete(&key.into()).unwrap());
            write.commit().unwrap();
        }
        vacuum(&environment, true);
        assert_eq!(environment.stats().unwrap().objects, 0, "after {transactions}");
        if is_over {
            break;
        }
    }
    for phase in [Phase::Idle, Phase::Marking, Phase::Sweeping] {
        assert!(phases.contains(&phase), "{phases:?}");
    }
    assert!(phases.len() > 20, "{phases:?}");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn litters() {
    litter(env::var(MAP).unwrap().as_ref());
}

/// What runs one of the tests here in a process of its own.
fn command(test: &str, map: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    let test = format!("vacuum::tests::{test}");
    command.args(["--ignored", "--exact", "--nocapture", &test]).env(MAP, map);
    command
}

/// Runs one of the tests here in a process of its own; answers whether it came to its end.
fn start(test: &str, map: &Path, dies_after: Option<i64>) -> bool {
    let mut command = command(test, map);
    if let Some(transactions) = dies_after {
        command.env(DIES_AFTER, transactions.to_string());
    }
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success() || status.code().is_none(), "{test} failed: {status}");
    status.success()
}

#[test]
fn what_is_condemned_can_not_be_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    start("litters", &path, None);
    let environment = open(&path);
    // Handles that nobody was told of, as those of a process that does not answer.
    let untold = object_before(&environment);
    for transactions in 0.. {
        let is_over = start("vacuums_and_dies", &path, Some(transactions));
        if environment.read().unwrap().header().phase == Phase::Sweeping {
            let mut write = environment.write().unwrap();
            let refused = write.put_object(&Key::from("again"), untold, None);
            assert!(matches!(refused, Err(Error::Stale)), "{refused:?}");
            let refused = write.change(untold.id, None, &[Change::Clear]);
            assert!(matches!(refused, Err(Error::Stale)), "{refused:?}");
            write.commit().unwrap();
            assert_sound(&environment);
            return;
        }
        assert!(!is_over, "it was never sweeping");
    }
}

#[test]
fn whoever_opens_the_map_ends_the_marking_of_the_dead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    start("litters", &path, None);
    for transactions in 0.. {
        let is_over = start("vacuums_and_dies", &path, Some(transactions));
        let environment = open(&path);
        match environment.read().unwrap().header().phase {
            Phase::Marking => panic!("still marking after {transactions} transactions"),
            Phase::Sweeping => return,
            Phase::Idle => assert_sound(&environment),
        }
        assert!(!is_over, "it was never sweeping");
    }
}

/// A map so large that marking it takes a while, and a vacuum that marks it.
fn marking(path: &Path) -> (Environment, Vacuum) {
    let environment = open(path);
    let mut write = environment.write().unwrap();
    for number in 0..100_000_i64 {
        write.put(&number.into(), &Value::List(vec![number.into()])).unwrap();
    }
    write.commit().unwrap();
    let vacuum = environment.vacuum(false).unwrap();
    while environment.read().unwrap().header().phase != Phase::Marking {
        std::thread::yield_now();
    }
    (environment, vacuum)
}

#[test]
fn a_vacuum_that_is_called_off_says_so_whoever_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (environment, vacuum) = marking(&directory.path().join("m.ooc"));
    let write = environment.write().unwrap();
    vacuum.cancel();
    std::thread::sleep(Duration::from_millis(100));
    write.commit().unwrap();
    let outcome = vacuum.wait(Duration::from_mins(1)).expect("it ends");
    assert!(matches!(outcome, Err(error) if matches!(*error, Error::Interrupted)));
    assert_eq!(environment.read().unwrap().header().phase, Phase::Idle);
}

#[test]
fn a_vacuum_ends_with_the_map_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let (environment, vacuum) = marking(&path);
    drop(environment);
    assert!(vacuum.wait(Duration::from_mins(1)).expect("it ends").is_err());
    assert_eq!(open(&path).read().unwrap().header().phase, Phase::Idle);
}

struct Nobody;

impl Supervisor for Nobody {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn tell(&self, _: VacuumStep, _: u64, _: u64) {}
}

#[test]
fn what_a_handle_keeps_that_was_made_late_stays_in_its_entry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    start("litters", &path, None);
    let environment = open(&path);
    let stray = object(&environment, "stray");
    let more = Value::List(vec![Value::List(vec![7.into()])]);
    let mut write = environment.write().unwrap();
    let append = [Change::Append(vec![more.draft().unwrap()])];
    write.change(stray.id, Some(&"stray".into()), &append).unwrap();
    write.commit().unwrap();
    let terms = Terms { durability: Durability::NoMetaSync, max_size: None };
    let core = Arc::downgrade(environment.core());
    let mut collection = Collection::new(&core, terms, &Nobody);
    collection.announce().unwrap();
    collection.pin().unwrap();
    collection.ask().unwrap();
    while collection.mark_some().unwrap() {}
    assert!(!collection.mark_noted().unwrap());
    // Another process gets a handle when all were asked, and takes what it is to out of its list.
    let mut holder =
        command("holds_late", &path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    while collection.condemn_some().unwrap() {}
    collection.begin_sweep().unwrap();
    while collection.sweep_some().unwrap() {}
    collection.end().unwrap();
    holder.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(holder.wait().unwrap().success(), "the other process lost what its handle names");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn holds_late() {
    let environment = open(env::var(MAP).unwrap().as_ref());
    let stray = object(&environment, "stray");
    let slots = 0..8;
    let late = slots
        .map(|slot| ObjectId { slot, ..stray.id })
        .rfind(|id| environment.read().unwrap().object(*id, Some(b"\xa0stray")).unwrap().is_some());
    let late = late.expect("something is in the list");
    let hold = environment.keep(late);
    let mut write = environment.write().unwrap();
    write.change(stray.id, Some(&"stray".into()), &[Change::Clear]).unwrap();
    write.commit().unwrap();
    println!("\nready");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    assert!(environment.read().unwrap().object(late, Some(b"\xa0stray")).unwrap().is_some());
    drop(hold);
}

/// A record that nothing leads to; its first slot is a list.
fn object_before(environment: &Environment) -> Reference {
    let read = environment.read().unwrap();
    let dead = (1..100).map(|record| ObjectId { record, slot: 0 });
    let live = ["live", "inner", "stray"].map(|key| object(environment, key).id.record);
    let found = dead
        .filter(|id| !live.contains(&id.record))
        .find(|id| read.object(*id, None).unwrap().is_some_and(|view| view.len().unwrap() >= 3));
    Reference { kind: ContainerKind::List, id: found.expect("there is much that nothing leads to") }
}

#[test]
fn what_nobody_asked_for_stays_below_the_cap() {
    const CAP: u64 = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    for (max_size, fits) in [(None, true), (Some(CAP), false)] {
        let environment = Environment::open(&path, &Options { max_size, ..Options::default() }).unwrap();
        let core = environment.core();
        let filled = core.write_alone(core.upkeep(), &mut Patience::new(None), |state| {
            let value = Value::from("x".repeat(2 * CAP as usize).as_str());
            state.put(&EntryKey::new(&"k".into())?, value.draft()?)
        });
        assert_eq!(filled.is_ok(), fits, "{filled:?}");
        assert_eq!(matches!(filled, Err(Error::MapFull { max_size: CAP })), !fits, "{filled:?}");
        drop(environment);
        std::fs::remove_file(&path).unwrap();
    }
}
