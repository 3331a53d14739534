//! Makes the broken twins: copies of the engine's coordination in which one place is changed.

use std::{env, fs, path::Path};

/// The file, the twin's name, what stands there and what the twin has instead.
const TWINS: &[[&str; 4]] = &[
    ["gate", "gate_leaves_silently", "owner = None;\n        self.changed.notify_all();", "owner = None;"],
    [
        "gate",
        "gate_gives_up_silently",
        "*waiting != ticket);\n                    self.changed.notify_all();",
        "*waiting != ticket);",
    ],
    ["gate", "gate_keeps_the_ticket", "state.queue.retain(|waiting| *waiting != ticket);", ""],
    [
        "gate",
        "gate_lets_two_in",
        "if state.owner.is_none() && state.queue.front() == Some(&ticket) {\n",
        "if state.queue.front() == Some(&ticket) {\n",
    ],
    [
        "gate",
        "gate_lets_newcomers_overtake",
        "state.owner.is_none() && state.queue.is_empty()",
        "state.owner.is_none()",
    ],
    [
        "gate",
        "gate_forgets_its_owner",
        "self.owner == Some(owner) || self.waiting.contains(&owner)",
        "self.waiting.contains(&owner)",
    ],
    [
        "gate",
        "gate_forgets_who_waits",
        "self.owner == Some(owner) || self.waiting.contains(&owner)",
        "self.owner == Some(owner)",
    ],
    [
        "gate",
        "gate_looks_only_before_asking",
        "Wait::For(_) if state.owner.is_none() && state.queue.front() == Some(&ticket) => {}\n",
        "",
    ],
    ["idle", "idle_holds_silently", "held = true;\n        self.changed.notify_all();", "held = true;"],
    ["idle", "idle_ends_silently", "ended = true;\n        self.changed.notify_all();", "ended = true;"],
    [
        "idle",
        "idle_takes_the_new_for_unused",
        "self.used.store(true, Ordering::Relaxed);\n        self.state",
        "self.state",
    ],
    ["idle", "idle_releases_what_is_not_held", "if state.held && ", "if "],
    ["idle", "idle_releases_what_is_used", "!self.used.swap", "self.used.swap"],
    ["idle", "idle_does_not_see_use", "{\n            self.used.store(true, Ordering::Relaxed);", "{"],
    ["idle", "idle_releases_twice", "state.held = false;", ""],
    [
        "generation",
        "generation_does_not_look_again",
        "            if is_current() {\n",
        "            if true {\n",
    ],
    [
        "generation",
        "generation_looks_only_afterwards",
        "seen;\n        if is_current() {",
        "seen;\n        if true {",
    ],
    [
        "generation",
        "generation_never_looks",
        "is_stable(seen) && sequence.load(Ordering::SeqCst) == seen",
        "sequence.load(Ordering::SeqCst) >= seen",
    ],
    ["generation", "generation_takes_a_swap_for_stable", "is_stable(seen) && ", ""],
    ["generation", "generation_refreshes_what_it_holds", "drop(held);", "refresh()?;"],
    [
        "generation",
        "generation_swaps_in_secret",
        "fetch_or(1, Ordering::SeqCst);\n    let published = publish();\n    sequence.fetch_add(1,",
        "load(Ordering::SeqCst);\n    let published = publish();\n    sequence.fetch_add(2,",
    ],
    ["generation", "generation_swaps_by_two", "fetch_or(1,", "fetch_add(2,"],
    ["generation", "generation_stays_odd_after_a_failure", "= publish();", "= Ok(publish()?);"],
    [
        "generation",
        "generation_recovers_for_ever",
        "settle()?;\n        sequence.fetch_add(1, Ordering::SeqCst);",
        "settle()?;",
    ],
    [
        "generation",
        "generation_recovers_before_it_settles",
        "settle()?;\n        sequence.fetch_add(1, Ordering::SeqCst);",
        "sequence.fetch_add(1, Ordering::SeqCst);\n        settle()?;",
    ],
    [
        "generation",
        "generation_recovers_what_is_stable",
        "if !is_stable(sequence.load(Ordering::SeqCst)) {",
        "{",
    ],
    [
        "registry",
        "registry_makes_silently",
        "drop(places);\n        self.changed.notify_all();",
        "drop(places);",
    ],
    [
        "registry",
        "registry_ends_silently",
        "other != key);\n        self.changed.notify_all();",
        "other != key);",
    ],
    ["registry", "registry_lets_two_make", "places.push((key.clone(), None));", ""],
    [
        "registry",
        "registry_replaces_what_is_ending",
        "if let Some(shared) = value.as_ref().and_then(&mut share) {\n                return Some(Found::Shared(shared));",
        "if let Some(value) = value {\n                return Some(share(value).map_or(Found::Absent, Found::Shared));",
    ],
    [
        "registry",
        "registry_looks_only_before_asking",
        "asked = Some(limit);\n            places = self.places.lock();",
        "places = self.places.lock();\n            self.changed.wait_for(&mut places, limit);",
    ],
    ["registry", "registry_mixes_up_keys", ".find(|(other, _)| other == key) else", ".next() else"],
    [
        "registry",
        "registry_ends_others",
        "retain(|(other, _)| other != key)",
        "retain(|(other, _)| other == key)",
    ],
    ["group", "group_numbers_none", "state.next_ticket += 1;", ""],
    ["group", "group_takes_the_last_first", "pop_front_if", "pop_back_if"],
    ["group", "group_takes_too_many", "while taken.len() < most\n", "while taken.len() <= most\n"],
    ["group", "group_takes_what_does_not_suit", "suits(job)", "{ suits(job); true }"],
    [
        "group",
        "group_drops_what_does_not_suit",
        "state.waiting.pop_front_if(|(_, job)| suits(job))\n        {\n            taken.push(job);",
        "state.waiting.pop_front()\n        {\n            if suits(&job.1) { taken.push(job); }",
    ],
    [
        "group",
        "group_forgets_results",
        "self.state.lock().done.push((ticket, result));",
        "drop((ticket, result));",
    ],
    ["group", "group_mixes_up_results", "position(|(done, _)| *done == ticket)", "position(|_| true)"],
    [
        "group",
        "group_takes_an_earlier_one_for_it",
        "any(|(done, _)| *done == ticket)",
        "any(|(done, _)| done.0 <= ticket.0)",
    ],
    [
        "group",
        "group_takes_a_later_one_for_it",
        "any(|(done, _)| *done == ticket)",
        "any(|(done, _)| done.0 > ticket.0)",
    ],
    ["group", "group_withdraws_another", "*waiting == ticket", "*waiting != ticket"],
    [
        "deferral",
        "deferral_pends_silently",
        "drop(state);\n        self.changed.notify_all();",
        "drop(state);",
    ],
    [
        "deferral",
        "deferral_ends_silently",
        "ended = true;\n        self.changed.notify_all();",
        "ended = true;",
    ],
    [
        "deferral",
        "deferral_settles_twice",
        "mem::take(&mut self.state.lock().pending)",
        "self.state.lock().pending",
    ],
    ["deferral", "deferral_flushes_at_once", "state.pending && waited == Some(state.batch)", "state.pending"],
    [
        "deferral",
        "deferral_flushes_what_is_settled",
        "state.pending && waited == Some(state.batch)",
        "waited == Some(state.batch)",
    ],
    ["deferral", "deferral_counts_no_batches", "state.batch += 1;", ""],
    ["deferral", "deferral_is_put_off", "if state.pending {\n            return;\n        }\n", ""],
    ["collection", "collection_notes_nothing", "ledger.note(object).map(|()| true)", "Ok(true)"],
    ["collection", "collection_relinks_the_condemned", "=> may_change(ledger, object)", "=> Ok(true)"],
    ["collection", "collection_refuses_what_is_reachable", "=> may_change(ledger, object)", "=> Ok(false)"],
    [
        "collection",
        "collection_changes_the_condemned",
        "ledger.phase() != Phase::Sweeping || !ledger.is_condemned(object)?",
        "true",
    ],
    ["collection", "collection_announces_nothing", "self.once(C::announce)?\n            && ", ""],
    [
        "collection",
        "collection_pins_before_it_announces",
        "self.once(C::announce)?\n            && self.once(C::pin)?",
        "self.once(C::pin)?\n            && self.once(C::announce)?",
    ],
    [
        "collection",
        "collection_asks_before_it_pins",
        "self.once(C::pin)?\n            && self.once(C::ask)?",
        "self.once(C::ask)?\n            && self.once(C::pin)?",
    ],
    ["collection", "collection_asks_no_one", "            && self.once(C::ask)?\n", ""],
    [
        "collection",
        "collection_marks_once",
        "self.once(C::ask)?\n            && self.all(C::mark_some)?",
        "self.once(C::ask)?\n            && self.once(|collector| collector.mark_some().map(drop))?",
    ],
    [
        "collection",
        "collection_condemns_once",
        "self.all(C::condemn_some)?",
        "self.once(|collector| collector.condemn_some().map(drop))?",
    ],
    [
        "collection",
        "collection_sweeps_once",
        "self.all(C::sweep_some)?",
        "self.once(|collector| collector.sweep_some().map(drop))?",
    ],
    [
        "collection",
        "collection_sweeps_before_it_says_so",
        "&& self.once(C::begin_sweep)?",
        "&& self.all(C::sweep_some)?\n            && self.once(C::begin_sweep)?",
    ],
    ["collection", "collection_never_ends", " && self.once(C::end)?", ""],
    ["collection", "collection_never_catches_up", "in 0..ROUNDS", "in (0..ROUNDS).take(0)"],
    ["collection", "collection_catches_up_for_ever", "in 0..ROUNDS", "in 0.."],
    [
        "collection",
        "collection_does_not_mark_what_it_caught_up_with",
        " || noted && !self.all(C::mark_some)?",
        "",
    ],
    [
        "collection",
        "collection_forgets_what_is_condemned",
        "Steps { collector, is_cancelled }.sweep()",
        "Ok(Outcome::Finished)",
    ],
    [
        "collection",
        "collection_does_not_look_for_a_sweep",
        "resume(collector, &mut is_cancelled)? == Outcome::Cancelled",
        "is_cancelled()",
    ],
    [
        "collection",
        "collection_withdraws_a_sweep",
        "Ok(if swept { Outcome::Finished } else { Outcome::Cancelled })",
        "if swept { return Ok(Outcome::Finished) }\n        self.collector.withdraw().map(|()| Outcome::Cancelled)",
    ],
    ["collection", "collection_keeps_marking_when_cancelled", "steps.collector.withdraw()?;\n", ""],
    ["collection", "collection_keeps_marking_when_it_fails", "let _ = steps.collector.withdraw();", ""],
    ["collection", "collection_ignores_that_it_is_cancelled", "while !(self.is_cancelled)()", "loop"],
    [
        "collection",
        "collection_begins_though_it_is_cancelled",
        "    if is_cancelled() {\n        return Ok(Outcome::Cancelled);\n    }\n",
        "",
    ],
];

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo names the directory");
    for [file, twin, sound, broken] in TWINS {
        let path = format!("../src/coord/{file}.rs");
        println!("cargo::rerun-if-changed={path}");
        let source = fs::read_to_string(&path).expect("the engine's sources are beside this crate");
        assert_eq!(
            source.matches(sound).count(),
            1,
            "{path}: {twin} needs exactly one place like this:\n{sound}"
        );
        // `include!` takes no inner documentation.
        let copy = source.replace(sound, broken).replace("//!", "//");
        fs::write(Path::new(&out).join(twin).with_extension("rs"), copy)
            .expect("the directory can be written to");
    }
}
