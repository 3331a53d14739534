//! What becomes of which file when it is opened.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use heed::{CommitOrAbort, DatabaseFlags, EnvFlags, EnvOpenOptions, types::Bytes};

use super::{
    super::{
        Direction, ReadTables, StoreOptions, Table, WriteKind, WriteTables,
        control::lock_of,
        lmdb::page_size,
        open::network_name,
        page::{META_BYTES, Meta},
    },
    HEADER, Random, open, open_with, options,
};
use crate::{error::Error, sync::Arc};

/// Where a meta page has the named fields.
const META_VERSION: usize = 20;
const META_PAGE_SIZE: usize = 40;
const MAIN_FLAGS: usize = 92;
const MAIN_ROOT: usize = 128;
const TXN_ID: usize = 144;

fn io_kind(result: Result<impl Sized, Error>) -> (ErrorKind, String) {
    match result.map(|_| ()) {
        Err(Error::Io { source, context }) => (source.kind(), context),
        other => panic!("{other:?}"),
    }
}

/// Opens a file that must be refused, for reading and writing, and checks that it stays as it is and alone.
fn refusal(bytes: &[u8]) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    fs::write(&path, bytes).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    for readonly in [true, false] {
        let error = open_with(&path, &StoreOptions { readonly, ..options() }).unwrap_err();
        assert!(fs::read(&path).unwrap() == bytes, "{error}: changed the file");
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{error}: left a lock file");
        if !readonly {
            return error;
        }
    }
    unreachable!()
}

fn assert_foreign(bytes: &[u8], reason: &str) {
    match refusal(bytes) {
        Error::Format { reason: found, path } => {
            assert!(found.contains(reason), "{found}");
            assert!(path.ends_with("m.ooc"));
        }
        other => panic!("{other:?}"),
    }
}

fn assert_corrupted(bytes: &[u8]) {
    let error = refusal(bytes);
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
}

/// A map with an entry, as bytes.
fn map_bytes() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    for value in [b"1", b"2", b"3"] {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        writer.put(Table::Entries, b"key", value).unwrap();
        writer.commit(crate::options::Durability::Sync).unwrap();
    }
    drop(store);
    fs::read(&path).unwrap()
}

/// The bytes of an LMDB file, with or without our header, whose named tables have some flags.
fn lmdb_bytes(header: Option<&[u8]>, main_flags: DatabaseFlags, table_flags: DatabaseFlags) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.mdb");
    let mut env_options = EnvOpenOptions::new();
    env_options.max_dbs(8).map_size(1 << 20);
    // SAFETY: the flag gives up nothing.
    unsafe { env_options.flags(EnvFlags::NO_SUB_DIR) };
    // SAFETY: the file is new and nobody else's.
    let env = unsafe { env_options.open(&path) }.unwrap();
    let txn = env.write_txn().unwrap();
    env.create_databases_and_commit(txn, |opener, txn| {
        let main = opener.database_options().types::<Bytes, Bytes>().flags(main_flags).create(txn)?;
        main.put(txn, b"some key", b"some value")?;
        if let Some(header) = header {
            main.put(txn, HEADER.0, header)?;
        }
        if main_flags.is_empty() {
            for table in Table::NAMED {
                let mut options = opener.database_options().types::<Bytes, Bytes>();
                let database = options.name(table.name()).flags(table_flags).create(txn)?;
                database.put(txn, b"key", b"value")?;
            }
        }
        heed::Result::Ok(CommitOrAbort::<_, ()>::Commit(()))
    })
    .unwrap()
    .unwrap_commit();
    drop(env);
    fs::read(&path).unwrap()
}

/// Changes bytes in both meta pages.
fn with_metas(mut bytes: Vec<u8>, at: usize, patch: &[u8]) -> Vec<u8> {
    for meta in [0, page_size()] {
        bytes[meta + at..meta + at + patch.len()].copy_from_slice(patch);
    }
    bytes
}

/// The places of the older and of the newer meta page.
fn metas_by_age(bytes: &[u8]) -> (usize, usize) {
    let txn_id = |at: usize| Meta::parse(bytes[at..].first_chunk().unwrap()).unwrap().txn_id;
    if txn_id(0) > txn_id(page_size()) { (page_size(), 0) } else { (0, page_size()) }
}

fn entry_of(bytes: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    fs::write(&path, bytes).unwrap();
    open(&path).snapshot().unwrap().get(Table::Entries, b"key").unwrap().unwrap().to_vec()
}

#[test]
fn files_of_others_are_refused_and_stay() {
    let mut random = Random::seeded(21);
    for text in [&b"x"[..], b"hello\n", b"SQLite format 3\0", &[0; 3], &[0; 100], &b"text ".repeat(3000)] {
        assert_foreign(text, "not a file of this program");
    }
    for len in [4096, 8192, 8193, 65536] {
        assert_foreign(&vec![0; len], "not a file of this program");
        assert_foreign(&random.bytes(len), "not a file of this program");
    }
}

#[test]
fn other_lmdb_files_are_refused_and_stay() {
    let plain = DatabaseFlags::empty();
    assert_foreign(&lmdb_bytes(None, plain, plain), "another program");
    assert_foreign(&lmdb_bytes(None, DatabaseFlags::DUP_SORT, plain), "another program");
    assert_foreign(&lmdb_bytes(Some(HEADER.1), DatabaseFlags::REVERSE_KEY, plain), "another program");
    assert_foreign(&lmdb_bytes(Some(HEADER.1), plain, DatabaseFlags::DUP_SORT), "the flags 0x4");
    assert_foreign(&lmdb_bytes(Some(b"format 2"), plain, plain), "newer format");
    // The same file is a map as soon as nothing is wrong with it.
    let bytes = lmdb_bytes(Some(HEADER.1), plain, plain);
    assert_eq!(entry_of(&bytes), b"value");
}

#[test]
fn other_machines_and_versions_are_named() {
    let bytes = map_bytes();
    assert_foreign(&with_metas(bytes.clone(), 16, &0xBEEF_C0DE_u32.swap_bytes().to_ne_bytes()), "byte order");
    assert_foreign(&with_metas(bytes.clone(), META_VERSION, &2_u32.to_ne_bytes()), "unknown version 2");
    assert_foreign(&with_metas(bytes.clone(), META_VERSION, &999_u32.to_ne_bytes()), "unknown version 999");
    let other = (page_size() as u32 * 2).to_ne_bytes();
    assert_foreign(&with_metas(bytes.clone(), META_PAGE_SIZE, &other), "pages of 8192 bytes");
    assert_foreign(&with_metas(bytes, MAIN_FLAGS, &4_u16.to_ne_bytes()), "another program");
}

#[test]
fn damaged_meta_pages_are_found() {
    let bytes = map_bytes();
    assert_eq!(entry_of(&bytes), b"3");
    let (older, newer) = metas_by_age(&bytes);
    assert_corrupted(&with_metas(bytes.clone(), 0, &[0; META_BYTES]));
    assert_corrupted(&with_metas(bytes.clone(), 0, &[0xff; META_BYTES]));
    for meta in [older, newer] {
        let mut bytes = bytes.clone();
        bytes[meta..meta + META_BYTES].fill(0);
        assert_corrupted(&bytes);
    }
    for root in [0_u64, 1, 10_000, u64::MAX - 1] {
        let mut bytes = bytes.clone();
        bytes[newer + MAIN_ROOT..][..8].copy_from_slice(&root.to_ne_bytes());
        assert_corrupted(&bytes);
    }
}

#[test]
fn a_torn_meta_page_gives_way_to_the_other() {
    let bytes = map_bytes();
    let (older, newer) = metas_by_age(&bytes);
    // The next commit would have gone to the older page, and the number of the transaction is its last word.
    let mut torn = bytes.clone();
    torn[older + 32..older + TXN_ID].fill(0xa5);
    torn[older + META_PAGE_SIZE..][..4].copy_from_slice(&bytes[older + META_PAGE_SIZE..][..4]);
    assert_eq!(entry_of(&torn), b"3");
    // And if the newest never arrived, the one before it counts.
    let mut lost = bytes.clone();
    lost[newer + TXN_ID..][..8].fill(0);
    assert_eq!(entry_of(&lost), b"2");
}

#[test]
fn paths_without_a_file_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.ooc");
    for (readonly, create) in [(false, false), (true, true), (true, false)] {
        let (kind, context) = io_kind(open_with(&missing, &StoreOptions { readonly, create, ..options() }));
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(context.contains("missing.ooc"), "{context}");
    }
    let (kind, context) = io_kind(open_with(&directory.path().join("no/m.ooc"), &options()));
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(context.contains("no/m.ooc"), "{context}");
    assert_eq!(io_kind(open_with(directory.path(), &options())).0, ErrorKind::IsADirectory);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(matches!(open_with(Path::new("/dev/null"), &options()), Err(Error::Format { .. })));
}

#[test]
fn an_empty_file_becomes_a_map_unless_only_for_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    fs::write(&path, b"").unwrap();
    let result = open_with(&path, &StoreOptions { readonly: true, ..options() });
    assert!(matches!(result, Err(Error::Format { reason, .. }) if reason.contains("empty")));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let store = open_with(&path, &StoreOptions { create: false, ..options() }).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(Table::Header, HEADER.0).unwrap(), Some(HEADER.1));
    assert_eq!(snapshot.len(Table::Header).unwrap(), 1);
}

#[test]
fn a_creation_that_was_killed_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let mut env_options = EnvOpenOptions::new();
    // SAFETY: the flag gives up nothing.
    unsafe { env_options.flags(EnvFlags::NO_SUB_DIR) };
    // SAFETY: the file is new and nobody else's.
    drop(unsafe { env_options.open(&path) }.unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 * page_size() as u64);
    let result = open_with(&path, &StoreOptions { readonly: true, ..options() });
    assert!(matches!(result, Err(Error::Format { .. })));
    assert_eq!(open(&path).snapshot().unwrap().get(Table::Header, HEADER.0).unwrap(), Some(HEADER.1));
}

#[test]
fn new_files_have_the_permissions_of_any_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    drop(open(&path));
    fs::File::create(directory.path().join("any")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&directory.path().join("any")));
    assert_eq!(mode(&lock_of(&path)), mode(&directory.path().join("any")));
}

#[test]
fn opening_changes_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let bytes = map_bytes();
    fs::write(&path, &bytes).unwrap();
    for readonly in [true, false] {
        let store = open_with(&path, &StoreOptions { readonly, ..options() }).unwrap();
        // The file may be written, whatever the handle is for: others of this process share the store.
        assert_eq!((store.readonly(), store.path()), (false, path.as_path()));
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.get(Table::Entries, b"key").unwrap(), Some(&b"3"[..]));
        drop((snapshot, store));
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn a_process_has_a_file_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    assert!(Arc::ptr_eq(&store, &open(&path)));
    let link = directory.path().join("link.ooc");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Arc::ptr_eq(&store, &open(&link)));
    let identity = store.identity();
    drop(store);
    assert_eq!(open(&path).identity(), identity);
}

#[test]
fn a_file_with_two_names_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    drop(open(&path));
    let other = directory.path().join("other.ooc");
    fs::hard_link(&path, &other).unwrap();
    for path in [&path, &other] {
        let refused = open_with(path, &options());
        assert!(matches!(refused, Err(Error::Format { reason, .. }) if reason.contains("2 names")));
    }
    fs::remove_file(&other).unwrap();
    drop(open(&path));
}

#[test]
fn names_that_a_killed_process_left_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let inode = open(&path).identity().1;
    for suffix in ["", "+1"] {
        fs::hard_link(&path, directory.path().join(format!("m.ooc-{inode:x}{suffix}"))).unwrap();
    }
    drop(open(&path));
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["m.ooc".to_owned(), format!("m.ooc-{inode:x}-lock"), "m.ooc-lock".to_owned()]);
}

#[test]
fn network_file_systems_are_known() {
    assert_eq!(network_name(0x6969), Some("NFS"));
    assert_eq!(network_name(0x0102_1997), Some("9p"));
    assert_eq!(network_name(0xFF53_4D42), Some("CIFS"));
    for local in [0xEF53, 0x0102_1994, 0x794C_7630, 0x9123_683E, 0x5846_5342] {
        assert_eq!(network_name(local), None);
    }
}

#[test]
fn a_file_that_a_second_process_reads_is_the_one_that_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    let file = fs::File::open(&path).unwrap();
    let before = store.newest_txn_id();
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    writer.put(Table::Entries, b"key", b"value").unwrap();
    assert_eq!(store.newest_txn_id(), before);
    writer.commit(crate::options::Durability::Sync).unwrap();
    assert_eq!(store.newest_txn_id(), before + 1);
    let mut meta = [0; META_BYTES];
    file.read_exact_at(&mut meta, ((before + 1) & 1) * page_size() as u64).unwrap();
    assert_eq!(Meta::parse(&meta).unwrap().txn_id, before + 1);
}

const CHILD_PATH: &str = "OOCMAP_TEST_CHILD_PATH";

/// The part of a process that another test starts.
#[test]
#[ignore = "started by processes_may_create_one_file_at_once"]
fn child_creates_and_writes() {
    let path = env::var_os(CHILD_PATH).expect("only the other test starts this");
    let store = open(Path::new(&path));
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    writer.put(Table::Entries, &std::process::id().to_be_bytes(), b"was here").unwrap();
    writer.commit(crate::options::Durability::Sync).unwrap();
}

#[test]
fn processes_may_create_one_file_at_once() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.ooc");
        let children: Vec<_> = (0..4)
            .map(|_| {
                Command::new(env::current_exe().unwrap())
                    .args(["--exact", "store::tests::files::child_creates_and_writes", "--ignored"])
                    .env(CHILD_PATH, &path)
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let ids: Vec<_> = children.iter().map(Child::id).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let snapshot = open(&path).snapshot().unwrap();
        for id in ids {
            assert!(snapshot.get(Table::Entries, &id.to_be_bytes()).unwrap().is_some());
        }
        assert_eq!(snapshot.len(Table::Entries).unwrap(), 4);
        let header = snapshot.seek(Table::Header, std::ops::Bound::Unbounded, Direction::Forward).unwrap();
        assert_eq!(header, Some(HEADER));
    }
}
